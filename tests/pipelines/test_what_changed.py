"""Commands that go on train again what their data or plug-ins have changed, and say so."""

import json
import sys

import numpy as np
import pytest
from clep.pipelines import tune

import clep
from clep import on_ray, tracking, workers
from clep.cli import main
from clep.comparison import page
from clep.errors import StaleWarning

OWN = ["stream=npz", "stream.path=a.npz", "stream.experiences=2", "learner.epochs=1", "network.hidden=[4]"]
CLAIM = f"""
claim: Own data.
config: class_incremental
seeds: [0]
set: {json.dumps(OWN)}
cells:
  mine: {{set: ["strategies=[changing:Mine]"]}}
"""
ZEROES = """
    consolidates = True
    def after_training_exp(self, strategy, **kwargs):
        for weight in strategy.model.parameters():
            weight.data.zero_()
"""


def save(first_class):
    """Two classes told apart by one input; `first_class` is the label of those where it is high."""
    x = np.tile([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]], (10, 1))
    y = np.tile([first_class, 1 - first_class], 10)
    np.savez("a.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('changed')}/mlflow.db"


@pytest.fixture(autouse=True)
def experiment(uri, request, monkeypatch):
    """One store, without worker processes and figures: what is found and what is run again is the subject."""

    def run_jobs(function, jobs, **_):
        return workers.run_jobs(function, jobs, workers=0, preload=[])

    monkeypatch.setattr(on_ray, "run_jobs", run_jobs)
    monkeypatch.setattr(page, "write", lambda *_: iter(()))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    return request.node.name


def trained(experiment):
    """The runs that were trained, by their ids."""
    runs = tracking.runs_of(tracking.tracking_uri(None), experiment, "tags.seed = '0'")
    return {run.run_id: run for run in runs}


def test_a_claim_is_run_again_after_a_change_of_its_data_or_of_its_plug_in(experiment, tmp_path, monkeypatch, recwarn):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "changing", raising=False)
    (tmp_path / "mine.yaml").write_text(CLAIM)
    (tmp_path / "changing.py").write_text("import clep\nclass Mine(clep.Strategy):\n    adds_penalty = False\n")
    save(first_class=0)

    def reproduce():
        assert main(["reproduce", "mine.yaml", "--output", "out"]) == 0
        said = [str(warning.message) for warning in recwarn.list if warning.category is StaleWarning]
        recwarn.clear()
        return said, len(trained(experiment))

    assert reproduce() == ([], 1)
    (run,) = trained(experiment).values()
    save(first_class=1)
    [text], count = reproduce()
    assert (text.partition(" (was ")[0], count) == ("data changed: a.npz, to learn from", 2)
    assert text.endswith("; 1 run will be trained again")
    now = next(other for run_id, other in trained(experiment).items() if run_id != run.run_id)
    changed = {key for key, value in now.tags.items() if key.startswith("clep.identity") and value != run.tags[key]}
    assert changed == {"clep.identity", "clep.identity.data"}
    with (tmp_path / "changing.py").open("a") as file:
        file.write(ZEROES)
    [text], count = reproduce()
    assert (text.partition(" (was ")[0], count) == ("plug-ins changed: changing", 3)
    assert reproduce() == ([], 3)


def test_a_comparison_that_is_added_to_is_trained_again_where_its_data_changed(experiment):
    save(first_class=0)
    first = clep.compare(None, [*OWN, "cells=[[naive]]", "controls=none", "seeds=[0]"])
    save(first_class=1)
    with pytest.warns(StaleWarning, match=r"^data changed: a\.npz, .*; 1 run will be trained again$"):
        second = clep.compare(None, ["cells=[[joint]]"], into=first.parent_run_id)
    assert [run.label for run in second.runs] == ["naive", "joint"]
    assert len(trained(experiment)) == 3
    assert second.runs[0].run_id != first.runs[0].run_id


def test_the_inputs_of_a_run_have_the_digests_of_its_identity():
    import mlflow

    save(first_class=0)
    result = clep.run(None, OWN)
    part = clep.run(None, [*OWN, "stream.evaluation_samples=5"])
    client = mlflow.MlflowClient(result.tracking_uri)
    whole, limited = (client.get_run(each.run_id) for each in (result, part))

    def digests(run):
        return {each.tags[0].value: each.dataset.digest for each in run.inputs.dataset_inputs}

    train, test = whole.data.tags["clep.identity.data"].split("+")
    assert digests(whole) == {"training": train, "evaluation": test}
    assert digests(limited)["training"] == train
    assert digests(limited)["evaluation"] not in (train, test)
    assert limited.data.tags["clep.identity.data"] == f"{train}+{test}"


def test_a_search_of_other_data_makes_trials_of_its_own(experiment, monkeypatch):
    monkeypatch.setattr(tune, "_scores", lambda configs, run: [[0.5]])
    space = "tune.space={learner.lr: {low: 0.1, high: 0.2}}"
    command = ["tune", *OWN, space, "tune.trials=1", "tune.seeds=[100]"]
    save(first_class=0)
    assert main(command) == 0
    save(first_class=1)
    with pytest.warns(StaleWarning, match=r"^data changed: a\.npz, .*; the search begins anew$"):
        assert main(command) == 0
    runs = tracking.runs_of(tracking.tracking_uri(None), experiment)
    assert sum(run.tags.get("mlflow.runName", "").startswith("trial") for run in runs) == 2
    assert len({run.tags["clep.identity.data"] for run in runs if "tune" in run.tags}) == 2
