"""`clep compare`: cells over seeds in worker processes; isolated, summarised, interruptible."""

import json
import sys

import mlflow
import pytest
import yaml
from clep.pipelines import compare as comparing

import clep
from clep.comparison.stored import artifact
from clep.config import cells_of, compose, replace

CELLS = [["naive"], ["sleep_replay"], ["joint"]]


def children(result):
    store = mlflow.MlflowClient(tracking_uri=result.tracking_uri)
    experiment = store.get_experiment_by_name("clep").experiment_id
    return store.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{result.parent_run_id}'")


def test_cells_equal_their_runs_alone_and_the_table_their_means(small):
    """Alone or among others, first or last in a worker: the same matrix to the bit."""
    comparison = clep.compare(small | {"cells": CELLS, "seeds": [0, 1], "workers": 2})
    assert not comparison.failed
    assert [(run.label, run.seed) for run in comparison.runs] == [(cell[0], seed) for cell in CELLS for seed in (0, 1)]
    alone = clep.run(small | {"strategies": ["sleep_replay"], "seed": 1})
    assert alone.accuracy_matrix == comparison.runs[3].accuracy_matrix
    row = comparison.table[1]
    values = [run.accuracy for run in comparison.runs[2:4]]
    assert row["label"] == "sleep_replay"
    assert row["accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    assert row["accuracy"]["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert row["accuracy"]["n"] == 2
    assert comparison.table[2]["forgetting"] == {"mean": None, "std": None, "n": 0}
    json.dumps(comparison.to_json(), allow_nan=False)
    found = children(comparison)
    assert len(found) == 6
    assert {run.info.status for run in found} == {"FINISHED"}
    store = mlflow.MlflowClient(tracking_uri=comparison.tracking_uri)
    artifacts = {a.path for a in store.list_artifacts(comparison.parent_run_id)}
    tables = {"table.csv", "table.md", "table.tex"}
    written = {"comparison.json", "comparison.txt", "comparison.png", "overview.png", "report.html", "figures"}
    assert artifacts == {"config.yaml", *tables, *written}
    figures = {a.path for a in store.list_artifacts(comparison.parent_run_id, "figures")}
    assert {"figures/forgetting.svg", "figures/forgetting.pdf", "figures/matrices.pdf"} <= figures
    page = artifact(comparison.tracking_uri, comparison.parent_run_id, "report.html")
    assert comparison.parent_run_id in page  # in the command that adds seeds
    assert "version " in page
    parent = store.get_run(comparison.parent_run_id).data
    assert (parent.tags["seeds"], parent.tags["stream"], parent.params) == ("0, 1", "digits", {})
    assert parent.metrics["cell/sleep_replay/accuracy_mean"] == pytest.approx(row["accuracy"]["mean"])
    assert {run.info.run_name for run in found} == {f"{cell} seed {seed}" for [cell] in CELLS for seed in (0, 1)}
    assert len({run.data.tags["clep.cell"] for run in found}) == 3
    assert all(comparison.parent_run_id in run.data.tags["mlflow.note.content"] for run in found)


@pytest.mark.usefixtures("without_page")
def test_controls_are_run_beside_the_cells_and_kept_with_them(small):
    config = small | {"cells": [["naive"]], "controls": ["naive", "class_means"], "seeds": [0], "workers": 0}
    comparison = clep.compare(config)
    assert [run.label for run in comparison.runs] == ["naive", "class_means"]
    assert [run.updates == 0 for run in comparison.runs] == [False, True]
    stored = artifact(comparison.tracking_uri, comparison.parent_run_id, "config.yaml")
    assert yaml.safe_load(stored)["cells"] == [["naive"], ["class_means"]]


@pytest.mark.usefixtures("without_page")
def test_cells_that_differ_in_a_key_are_the_runs_with_that_key(small):
    """Two values of one constant: each cell equals its run alone, and MLflow can group each by one tag."""
    key = "strategy.sleep_replay.steps"
    config = small | {"strategies": ["sleep_replay"], "grid": {key: [0, 200]}, "seeds": [0, 1], "baseline": "steps=0"}
    comparison = clep.compare(config | {"workers": 2})
    assert [(run.label, run.seed) for run in comparison.runs] == [(f"steps={n}", s) for n in (0, 200) for s in (0, 1)]
    assert comparison.baseline == "steps=0"
    alone = clep.run(small | {"strategies": ["sleep_replay"], "seed": 1}, [f"{key}=0"])
    assert alone.accuracy_matrix == comparison.runs[1].accuracy_matrix != comparison.runs[3].accuracy_matrix
    tags = [run.data.tags for run in children(comparison)]
    cells = {tag["clep.label"]: tag["clep.cell"] for tag in tags}
    assert len({tag["clep.cell"] for tag in tags}) == 2
    assert all(cells[name].startswith(f"{name} | digits | hts_ep | ") for name in ("steps=0", "steps=200"))
    store = mlflow.MlflowClient(tracking_uri=comparison.tracking_uri)
    again = compose(store.download_artifacts(comparison.parent_run_id, "config.yaml"))
    assert [cell.label for cell, _ in cells_of(again)] == ["steps=0", "steps=200"]


@pytest.mark.usefixtures("without_page")
def test_a_cell_that_fails_has_its_status_and_the_others_go_on(small, tmp_path, monkeypatch):
    """One raises, one takes its process down, one does so before it has a run; naive finishes, and MLflow knows each
    fate."""
    (tmp_path / "broken.py").write_text(
        "import os, clep\n"
        "class Raises(clep.Strategy):\n"
        "    def after_training_exp(self, strategy, **kwargs):\n"
        "        strategy.model.connections[0].weight.data.fill_(float('nan'))\n"
        "class Dies(clep.Strategy):\n"
        "    def after_training_exp(self, strategy, **kwargs):\n"
        "        os._exit(9)\n"
    )
    (tmp_path / "early.py").write_text(
        "import multiprocessing, os, signal, clep\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "class Dies(clep.Strategy):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cells = [["broken:Raises"], ["broken:Dies"], ["early:Dies"], ["naive"]]
    comparison = clep.compare(small | {"cells": cells, "seeds": [0], "workers": 2})
    raised, died, early, naive = comparison.runs
    assert comparison.failed
    assert raised.status == "FAILED"
    assert "diverged at the consolidation of experience 0" in raised.error
    assert died.status == "FAILED"
    assert "exit code 9" in died.error
    assert naive.status == "FINISHED"
    assert [row["status"] for row in comparison.table] == ["FAILED", "FAILED", "FAILED", "FINISHED"]
    assert comparison.table[0]["accuracy"]["n"] == 0
    found = {run.data.tags["cell"]: run for run in children(comparison)}
    assert len(found) == 4
    assert [found[cell].info.status for [cell] in cells] == ["FAILED", "FAILED", "FAILED", "FINISHED"]
    assert early.run_id == found["early:Dies"].info.run_id
    assert found["early:Dies"].data.tags["error"].startswith("the worker process ended with signal 9")
    assert found["early:Dies"].data.tags["seed"] == "0"
    parent = mlflow.MlflowClient(tracking_uri=comparison.tracking_uri).get_run(comparison.parent_run_id)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["error"] == "did not finish: " + "; ".join(f"{cell}, seed 0" for [cell] in cells[:3])


def test_a_wrong_cell_is_refused_before_the_first_is_trained(small, tmp_path):
    small["tracking"]["uri"] = f"sqlite:///{tmp_path}/new.db"
    with pytest.raises(clep.errors.ConfigError, match=r"strategy\.sleep_replay\.stepz: unknown key `stepz`; did"):
        clep.compare(small | {"cells": [["naive"], ["sleep_replay"]], "strategy": {"sleep_replay": {"stepz": 1}}})
    with pytest.raises(clep.errors.ConfigError, match=r"\(in the cell `sleep_replay`\)$"):
        clep.compare(small | {"cells": [["naive"], ["sleep_replay"]], "strategy": {"sleep_replay": {"steps": -1}}})
    assert not (tmp_path / "new.db").exists()


@pytest.mark.usefixtures("without_page")
def test_a_comparison_taken_up_again_runs_only_what_is_missing(small):
    """By default it starts afresh, since one compares what has just been changed."""
    config = compose(small | {"cells": [["naive"], ["joint"]], "seeds": [0], "workers": 2})
    first = comparing.compare(config)
    wider = replace(config, cells=[["naive"], ["joint"], ["sleep_replay"]])
    second = comparing.compare(wider, resume=True)
    assert [run.run_id for run in second.runs[:2]] == [run.run_id for run in first.runs]
    assert [run.accuracy_matrix for run in second.runs[:2]] == [run.accuracy_matrix for run in first.runs]
    assert len(children(second)) == 1
    assert second.to_text().splitlines()[2].split() == first.to_text().splitlines()[2].split()


def test_seeds_and_cells_are_added_to_a_stored_comparison_and_nothing_is_trained_twice(small):
    """The parent is the same run, with everything it shows written anew."""
    first = clep.compare(small | {"cells": [["naive"]], "seeds": [0], "workers": 2})
    place = f"tracking.uri={first.tracking_uri}"
    other = "{label: joint, strategies: [joint], set: [network=ep]}"
    second = clep.compare(None, ["seeds=[1]", f"cells=[{other}]", place], into=first.parent_run_id[:12])
    assert second.parent_run_id == first.parent_run_id
    assert [(run.label, run.seed) for run in second.runs] == [(c, s) for c in ("naive", "joint") for s in (0, 1)]
    assert second.runs[0] == first.runs[0]
    assert len(children(second)) == 4
    store = mlflow.MlflowClient(tracking_uri=first.tracking_uri)
    parent = store.get_run(first.parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "compare digits: 2 cells x 2 seeds"
    assert (parent.data.tags["cells"], parent.data.tags["seeds"]) == ("naive, joint", "0, 1")
    assert (parent.data.tags["network"], parent.data.params) == ("hts_ep, ep", {})  # what was true of all is so no more
    assert second.answer.sentence in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["cell/joint/accuracy_n"] == 2
    alone = clep.run(small | {"seed": 1})
    assert alone.accuracy_matrix == second.runs[1].accuracy_matrix
    assert clep.load_comparison(first.parent_run_id, tracking_uri=first.tracking_uri).runs == second.runs


@pytest.mark.usefixtures("without_page")
def test_what_failed_is_run_again_under_the_id_of_its_comparison(small, tmp_path, monkeypatch):
    (tmp_path / "fragile.py").write_text(
        "import pathlib, clep\n"
        "class Fragile(clep.Strategy):\n"
        "    def after_training_exp(self, strategy, **kwargs):\n"
        "        assert pathlib.Path('mended').exists(), 'not mended'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fragile", raising=False)  # of another test
    config = small | {"cells": [["naive"], ["fragile:Fragile"]], "seeds": [0], "workers": 2}
    first = clep.compare(config)
    (failure,) = first.failures
    assert failure.startswith("fragile:Fragile, seed 0: FAILED: StrategyError: strategies: Fragile.after_training_exp")
    assert failure.endswith("fragile.py, line 4) in experience 0: AssertionError: not mended")
    assert first.again.startswith(f"clep compare --resume {first.parent_run_id}")
    (tmp_path / "mended").touch()
    place = f"tracking.uri={first.tracking_uri}"
    second = clep.compare(None, [place], resume=first.parent_run_id)
    assert (second.failures, second.again) == ([], "")
    assert second.runs[0] == first.runs[0]
    assert second.runs[1].run_id == first.runs[1].run_id  # it goes on in its own run
    assert len(children(second)) == 2
    with pytest.raises(clep.errors.ConfigError, match=r"^config: a stored comparison has a configuration of its own"):
        clep.compare("mnist", [place], resume=first.parent_run_id)
