"""`clep report`: what is stored, as `clep compare` would have ended with it."""

import json

import pytest

from clep import cli
from tests.oracles.comparisons import store_comparison
from tests.oracles.stores import empty_store

TWO = {"cells": [["naive"], ["joint"]], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return empty_store(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def stored(uri):
    return store_comparison(uri, TWO, accuracies={("joint", 0): 0.8}, errors={("naive", 1): "DivergenceError: no"})


def reported(capsys, *words):
    code = cli.main(["report", *words])
    return code, *capsys.readouterr()


def test_a_stored_comparison_is_reported_as_it_ended(stored, uri, tmp_path, capsys):
    code, out, err = reported(capsys, stored.parent_run_id[:12], f"tracking.uri={uri}", "--output", "here")
    assert code == 0
    assert out.splitlines()[:6] == stored.to_text().splitlines()[:6]
    assert "Written to here/" in out.splitlines()
    assert out.splitlines()[-1] == f"Open the results: clep ui {stored.parent_run_id} --tracking {uri}"
    assert "naive, seed 1: FAILED: DivergenceError: no" in err
    assert f"run what failed again: clep compare --resume {stored.parent_run_id} tracking.uri={uri}" in err
    written = json.loads((tmp_path / "here" / "comparison.json").read_text())
    assert [run["run_id"] for run in written["runs"]] == [run.run_id for run in stored.runs]
    assert (tmp_path / "here" / "comparison.png").is_file()
    shown = (tmp_path / "here" / "report.html").read_text()
    assert f"clep compare --into {stored.parent_run_id}" in shown


def test_it_prints_json_with_what_it_wrote_and_left_out(stored, uri, tmp_path, capsys):
    ids = ",".join(str(run.run_id) for run in stored.runs[2:])
    code, out, _ = reported(capsys, "--runs", ids, f"tracking.uri={uri}", "--json")
    values = json.loads(out)
    assert code == 0
    assert [(run["label"], run["seed"]) for run in values["runs"]] == [("joint", 0), ("joint", 1)]
    assert values["notes"] == []
    assert "report/comparison.json" in values["files"]


def test_a_single_run_is_reported_by_itself(stored, uri, capsys, tmp_path):
    run = stored.runs[2]
    code, out, _ = reported(capsys, str(run.run_id), f"tracking.uri={uri}")
    assert code == 0
    assert out.startswith(run.to_text())
    assert f"clep ui {run.run_id}" in out
    assert str(run.run_id) in (tmp_path / "report" / "report.html").read_text()
    assert json.loads((tmp_path / "report" / "result.json").read_text())["accuracy"] == run.accuracy


def test_a_baseline_is_one_of_the_cells_and_nothing_is_written_otherwise(stored, uri, capsys, tmp_path):
    place = [stored.parent_run_id, f"tracking.uri={uri}"]
    code, out, _ = reported(capsys, *place, "--baseline", "joint", "--json")
    assert json.loads(out)["answer"]["baseline"] == "joint"
    code, _, err = reported(capsys, *place, "--baseline", "jont", "--output", "none")
    assert code == 2
    assert err.splitlines()[-1].startswith("clep: error: baseline: unknown cell `jont`; did you mean `joint`?")
    assert not (tmp_path / "none").exists()


def test_it_takes_no_change_but_the_store(capsys):
    code, _, err = reported(capsys, "learner.lr=1")
    assert code == 2
    assert err.startswith("clep: error: learner.lr: `clep report` only reads; it takes tracking.uri=URI")
