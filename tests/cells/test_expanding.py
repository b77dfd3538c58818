"""Cells that differ in anything: each is what `clep run` would compose, also from a stored configuration."""

import dataclasses

import pytest
import yaml

from clep.chosen import refuse_ignored
from clep.config import cells_of, compose, to_yaml
from clep.errors import ConfigError

DEEP = "{label: deep, set: ['network.hidden=[8,8]']}"


def what_is_run(config):
    """What a run reads of a configuration: without cells, and without the parameters of other strategies."""
    parameters = {name: values for name, values in config.strategy.items() if name in config.strategies}
    return dataclasses.replace(config, cells=[], grid={}, strategy=parameters)


def alone(base, *changes):
    """The configuration of `clep run`, to compare with that of a cell."""
    return what_is_run(compose(base, changes))


def composed(config):
    return {cell.label: what_is_run(found) for cell, found in cells_of(config)}


@pytest.mark.parametrize("stored", [False, True], ids=["as typed", "from a stored configuration"])
@pytest.mark.parametrize(
    ("base", "shared", "changes"),
    [
        (None, [], ["network=ep"]),  # the time steps of the other network's file must not stay
        (None, [], ["network=bptt", "learner.lr=1e-5"]),  # a network that brings settings of the learner
        (None, ["network.time_step.mean=0.7"], ["network=ep"]),  # typed beats the file, whoever names the file
        ("mnist", ["network=ep", "learner.batch_size=7"], ["network=hts_ep"]),
        ("mnist", [], ["stream=kmnist", "strategies=[ewc,sleep_replay]", "strategy.sleep_replay.keep=0.7"]),
        (None, ["strategies=si"], ["learner.gradient=cost", "learner.nudge=outside"]),
        (
            {},
            [],
            [
                "stream.class_order=[3,1,2]",
                "stream.samples_per_experience=null",
                "strategy.m:C.z='on'",
                "strategies=[m:C]",
            ],
        ),
    ],
)
def test_a_cell_is_what_run_composes_with_its_changes(base, shared, changes, stored):
    cell = {"label": "mine", "set": changes}
    config = compose(base, [*shared, f"cells=[naive, {cell}]"])
    if stored:
        config = compose(yaml.safe_load(to_yaml(config)))
    assert composed(config)["mine"] == alone(base, *shared, *changes)
    assert composed(config)["naive"] == alone(base, *shared, "strategies=naive")


def test_a_stored_configuration_composes_to_the_same_comparison():
    config = compose("mnist", [f"cells=[naive, {DEEP}]", "grid={network: [ep, bptt], learner.lr: [0.1, 1]}"])
    again = compose(yaml.safe_load(to_yaml(config)))
    assert again == config
    assert composed(again) == composed(config)
    assert len(composed(config)) == 6


def test_a_grid_alone_replaces_the_default_cells_and_stands_beside_those_that_are_given(tmp_path):
    grid = "grid.network=[ep,bptt]"
    assert list(composed(compose(None, [grid]))) == ["ep", "bptt"]
    assert list(composed(compose(None, [grid, "cells=[naive]"]))) == ["naive", "ep", "bptt"]
    path = tmp_path / "mine.yaml"
    path.write_text("cells: [joint]\n")
    assert list(composed(compose(path, [grid]))) == ["joint", "ep", "bptt"]


def test_a_combination_is_named_so_that_one_knows_what_it_is():
    grid = {"strategies": ["naive", "ewc+si"], "learner.lr": [1, 0.1], "depth": {"deep": ["network.hidden=[8,8]"]}}
    found = composed(compose({"grid": grid}))
    labels = ["naive, lr=1, deep", "naive, lr=0.1, deep", "ewc+si, lr=1, deep", "ewc+si, lr=0.1, deep"]
    assert list(found) == labels
    last = found[labels[-1]]
    assert (last.strategies, last.learner.lr, last.network.hidden) == (["ewc", "si"], 0.1, [8, 8])


def test_axes_on_the_command_line_are_added_one_by_one():
    found = composed(compose(None, ["grid.learner.lr=[0.1,1]", "grid.strategy.ewc.ewc_lambda=[1,2]", "strategies=ewc"]))
    assert list(found) == ["lr=0.1, ewc_lambda=1", "lr=0.1, ewc_lambda=2", "lr=1, ewc_lambda=1", "lr=1, ewc_lambda=2"]
    assert [cell.strategy["ewc"]["ewc_lambda"] for cell in found.values()] == [1, 2, 1, 2]


def test_a_grid_that_is_a_list_replaces_a_mapping_and_takes_no_further_axes():
    parts = "grid=[{network: [ep, bptt], learner.lr: [0.1]}, {network: [hts_ep], learner.lr: [1]}]"
    assert list(composed(compose({"grid": {"network": ["ep"]}}, [parts]))) == [
        "ep, lr=0.1",
        "bptt, lr=0.1",
        "hts_ep, lr=1",
    ]
    assert compose({"grid": []}).cells == compose({}).cells
    for changes in ([parts, "grid.learner.epochs=[1]"], ["grid=3"]):
        with pytest.raises(ConfigError, match=r"^grid: "):
            compose(None, changes)


def test_labels_are_unique_across_cells_and_grid():
    with pytest.raises(ConfigError, match=r"^cells: expected each entry once, got `ep` 2 times"):
        compose(None, ["cells=[{label: ep, set: [learner.lr=1]}]", "grid.network=[ep,bptt]"])


def test_a_refused_cell_of_a_file_names_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("cells: [naive, {lable: x}]\n")
    with pytest.raises(ConfigError, match=rf"^cells\[1\]\.lable: .*\(set in {path}\)$"):
        compose(path)


def test_a_strategy_that_does_not_exist_is_refused_by_the_place_of_its_cell():
    with pytest.raises(ConfigError, match=r"^cells\[1\]: unknown strategy `slep_replay`; did you mean `sleep_replay`"):
        cells_of(compose(None, ["cells=[[naive],[slep_replay]]"]))


def test_a_baseline_is_one_of_the_cells():
    assert cells_of(compose(None, ["baseline=naive"]))
    with pytest.raises(ConfigError, match=r"^baseline: unknown cell `nave`; did you mean `naive`"):
        cells_of(compose(None, ["baseline=nave"]))


def test_changes_that_a_comparison_would_ignore_are_refused_with_the_fix():
    for changes, fix in (
        (["strategies=[ewc,si]"], r"^strategies: .*; set cells=\[\[ewc,si\]\]$"),
        (["seed=3"], r"^seed: .*; set seeds=\[3\]$"),
    ):
        with pytest.raises(ConfigError, match=fix):
            refuse_ignored(compose(None, changes), changes)
    inherits = ["strategies=ewc", "grid.network=[ep,bptt]"]
    refuse_ignored(compose(None, inherits), inherits)
