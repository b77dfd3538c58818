"""A comparison read back from its store: ended, interrupted, and after more was added."""

import pytest

import clep
from clep import tracking
from clep.comparison import plan
from clep.comparison.stored import find, load
from clep.config import cells_of, compose
from clep.errors import ConfigError
from tests.oracles.comparisons import store_comparison, store_run
from tests.oracles.stores import empty_store

SOURCE = {"cells": [["naive"], {"label": "ep", "strategies": ["naive"], "set": ["network=ep"]}], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return empty_store(tmp_path_factory.mktemp("stored"))


def places(comparison):
    return [(run.label, run.seed, run.failed) for run in comparison.runs]


def test_a_comparison_is_read_back_as_it_was_returned(uri):
    comparison = store_comparison(uri, SOURCE, ["baseline=ep"], accuracies={("ep", 1): 0.75})
    again = clep.load_comparison(comparison.parent_run_id[:12], tracking_uri=uri)
    assert sorted(again.runs, key=str) == sorted(comparison.runs, key=str)
    assert places(again) == [("naive", 0, False), ("naive", 1, False), ("ep", 0, False), ("ep", 1, False)]
    assert (again.classes, again.seconds, again.baseline) == (4, {"total": 3.0}, "ep")
    assert again.parent_run_id == comparison.parent_run_id


def test_an_interrupted_comparison_has_the_runs_that_ended(uri):
    comparison = store_comparison(uri, SOURCE, ended=False)
    assert places(load(comparison.parent_run_id, uri)) == [("naive", 0, False), ("naive", 1, False), ("ep", 0, False)]


def test_a_failed_run_gives_way_to_a_later_one_that_finished_and_to_no_other(uri):
    comparison = store_comparison(uri, SOURCE, errors={("naive", 0): "DivergenceError: no", ("ep", 0): "Boom: no"})
    jobs = plan(cells_of(compose(SOURCE, [f"tracking.uri={uri}"])), [0])
    mended = store_run(uri, jobs[0], parent_run_id=comparison.parent_run_id)
    again = load(comparison.parent_run_id, uri)
    assert places(again) == [("naive", 0, False), ("naive", 1, False), ("ep", 0, True), ("ep", 1, False)]
    assert again.runs[0].run_id == mended.run_id
    assert again.failures == ["ep, seed 0: FAILED: Boom: no"]
    assert again.again == f"clep compare --resume {comparison.parent_run_id} tracking.uri={uri}"


def test_an_id_must_be_that_of_one_run(uri):
    first, second = (store_comparison(uri, SOURCE, ended=False).parent_run_id for _ in range(2))
    common = next(first[:n] for n in range(32) if first[: n + 1] != second[: n + 1])
    assert find(first, uri).run_id == first
    for run_id, message in (("z" * 8, "has no run"), ("", "expected the id"), ("a'b", "expected the id")):
        with pytest.raises(ConfigError, match=message):
            find(run_id, uri)
    if common:
        with pytest.raises(ConfigError, match="more than one run begins"):
            find(common, uri)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigError, match=r"^tracking\.uri: there is no file .*nothing\.db"):
        find("abc", f"sqlite:///{tmp_path}/nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_runs_are_found_by_filter_and_experiment(uri):
    comparison = store_comparison(uri, SOURCE, ["tracking.experiment=other"])
    found = tracking.runs_of(uri, "other", "tags.`clep.label` = 'ep'")
    assert {run.run_id for run in found} == {run.run_id for run in comparison.runs if run.label == "ep"}
    for experiment, condition, message in (
        ("othr", "", "did you mean `other`"),
        ("other", "metrics.x ~ 3", "^filter:"),
    ):
        with pytest.raises(ConfigError, match=message):
            tracking.runs_of(uri, experiment, condition)
