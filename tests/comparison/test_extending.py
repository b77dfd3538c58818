"""What a stored comparison becomes when seeds or cells are added: only what leaves its results as they are."""

import pytest

from clep.comparison.extending import extended
from clep.config import cells_of, compose
from clep.errors import ConfigError
from clep.schema import label_of
from tests.oracles.comparisons import store_comparison
from tests.oracles.stores import empty_store

SMALL = {"stream": {"experiences": 2}, "network": {"hidden": [8]}, "cells": [["naive"], ["joint"]], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return empty_store(tmp_path_factory.mktemp("extending"))


@pytest.fixture(scope="module")
def stored(uri):
    return store_comparison(uri, SMALL)


def test_seeds_and_cells_become_the_union_of_both(stored, uri):
    changes = ["seeds=[1,5]", "cells=[[joint],[ewc],{label: ep, set: [network=ep]}]", f"tracking.uri={uri}"]
    found = extended(stored.parent_run_id[:10], changes)
    assert found.run_id == stored.parent_run_id
    assert found.config.seeds == [0, 1, 5]
    assert [label_of(cell) for cell in found.config.cells] == ["naive", "joint", "ewc", "ep"]
    composed = {cell.label: cell_config for cell, cell_config in cells_of(found.config)}
    assert composed["ep"].network == compose(SMALL, ["network=ep"]).network
    assert composed["naive"].network.hidden == [8]


def test_a_grid_is_added_beside_the_cells(stored, uri):
    found = extended(stored.parent_run_id, ["grid.learner.lr=[0.1,0.2]", f"tracking.uri={uri}"])
    assert [label_of(cell) for cell in found.config.cells] == ["naive", "joint", "lr=0.1", "lr=0.2"]


def test_workers_baseline_and_where_data_lie_may_change(stored, uri):
    found = extended(
        stored.parent_run_id, ["workers=7", "baseline=naive", "data.root=x", f"tracking.uri={uri}"], "resume"
    )
    assert (found.config.workers, found.config.baseline, found.config.data.root) == (7, "naive", "x")
    assert (found.config.seeds, found.config.cells) == ([0, 1], [["naive"], ["joint"]])


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        (
            "learner.lr=1",
            "into",
            r"^learner\.lr: with --into the results that are there keep .*set: \[learner\.lr=VALUE",
        ),
        ("strategy.ewc.ewc_lambda=1", "into", r"^strategy\.ewc\.ewc_lambda: with --into the results"),
        ("threads=2", "into", r"^threads: with --into the results"),
        ("learner.lrr=1", "into", r"^learner\.lrr: unknown key `lrr`"),
        ("tracking.experiment=x", "into", r"^tracking\.experiment: with --into a comparison stays in its experiment"),
        ("cells={naive: {set: [learner.lr=1]}}", "into", r"^cells\[0\]: the comparison has another cell `naive`"),
        ("cells=[[nave]]", "into", r"unknown strategy `nave`"),
        ("baseline=nave", "into", r"^baseline: unknown cell `nave`"),
        ("seeds=[7]", "resume", r"^seeds: --resume only runs what is missing; to add seeds, use --into"),
        ("cells=[[ewc]]", "resume", r"^cells: --resume only runs"),
    ],
)
def test_what_would_change_the_results_that_are_there_is_refused(stored, uri, change, how, message):
    with pytest.raises(ConfigError, match=message):
        extended(stored.parent_run_id, [change, f"tracking.uri={uri}"], how)


def test_an_id_that_is_no_comparison_is_refused(stored, uri):
    with pytest.raises(ConfigError, match=r"^into: expected the id of a comparison, .* got that of `naive seed 0`"):
        extended(str(stored.runs[0].run_id), [f"tracking.uri={uri}"])
    with pytest.raises(ConfigError, match=r"^resume: .* has no run `ffff`"):
        extended("ffff", [f"tracking.uri={uri}"], "resume")
