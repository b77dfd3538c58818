"""The learner of a run as an MLflow model: loaded, asked, served and registered by MLflow's own means."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

import clep
from clep import tracking
from clep.tracking.ui import free_port

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1

X = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)


@pytest.fixture(scope="module")
def learner():
    return clep.Learner(clep.Network([64, 16, 10], seed=1))


@pytest.fixture
def model(store, experiment, learner, tmp_path):
    """Id of a run whose model holds the learner."""
    folder = tmp_path / "files" / tracking.FOLDER
    folder.mkdir(parents=True)
    with new_run(store, experiment) as run:
        tracking.write_model(folder, run.run_id, X[:2], classes=10)
        learner.save(folder / tracking.DATA)
        run.artifacts(folder.parent)
    return run.run_id


@pytest.fixture
def loaded(store, model, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)
    yield mlflow.pyfunc.load_model(f"runs:/{model}/model")
    mlflow.set_tracking_uri(None)


def outputs(learner):
    with torch.no_grad():
        return learner(torch.as_tensor(X)).numpy()


def test_mlflow_predicts_with_the_model_as_the_learner_does(loaded, learner):
    assert np.array_equal(loaded.predict(X), outputs(learner))


def test_the_model_has_a_signature_and_refuses_another_shape(loaded):
    from mlflow.exceptions import MlflowException

    assert loaded.metadata.get_input_schema().inputs[0].shape == (-1, 1, 8, 8)
    assert loaded.metadata.get_output_schema().inputs[0].shape == (-1, 10)
    with pytest.raises(MlflowException, match="shape"):
        loaded.predict(X[:, :, :4])


def test_the_model_has_an_example_that_it_answers(store, model, loaded):
    with tracking.artifacts(store, model, tracking.FOLDER) as folder:
        example = loaded.metadata.load_input_example(str(folder))
    assert np.array_equal(example, X[:2])
    assert loaded.predict(example).shape == (2, 10)


def test_a_request_is_answered_as_the_server_does(loaded, learner):
    """What `mlflow models serve` calls for each request."""
    from mlflow.pyfunc.scoring_server import invocations

    data = json.dumps({"inputs": X.tolist()})
    schema = loaded.metadata.get_input_schema()
    answer = invocations(data=data, content_type="application/json", model=loaded, input_schema=schema)
    assert answer.status == 200
    assert np.allclose(json.loads(answer.response)["predictions"], outputs(learner), atol=1e-6)


def test_registering_makes_one_more_version(store, experiment, model, client, learner):
    import mlflow

    for _ in range(2):
        with tracking.Run(store, experiment, "again", tags={}, params={}, run_id=model) as run:
            run.register("my-learner", tracking.FOLDER)
    versions = client.search_model_versions("name = 'my-learner'")
    assert {(str(each.version), each.run_id) for each in versions} == {("1", model), ("2", model)}
    mlflow.set_tracking_uri(store)
    try:
        found = mlflow.pyfunc.load_model("models:/my-learner/2")
    finally:
        mlflow.set_tracking_uri(None)
    assert np.array_equal(found.predict(X), outputs(learner))


def test_the_learner_is_loaded_from_the_model_and_from_runs_made_before_there_were_any(
    store, experiment, model, learner, tmp_path
):
    learner.save(tmp_path / "learner.ckpt")
    with new_run(store, experiment) as run:
        run.artifact(tmp_path / "learner.ckpt")
    for run_id in (model, run.run_id):
        weights = clep.load(run_id, tracking_uri=store).network.state_dict()
        assert all(torch.equal(weights[key], value) for key, value in learner.network.state_dict().items())


@pytest.mark.slow
def test_mlflow_serves_the_model(client, model, learner, tmp_path, monkeypatch):
    """With `uvicorn` of this environment, which MLflow looks for on the path."""
    folder, port = Path(client.download_artifacts(model, tracking.FOLDER, str(tmp_path))), free_port(0)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "uvicorn"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m uvicorn "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    process = subprocess.Popen([*command, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            data=(folder / "serving_input_example.json").read_bytes(),
            headers={"Content-Type": "application/json"},
        )
        for _ in range(120):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    found = json.load(answer)["predictions"]
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        assert np.allclose(found, outputs(learner)[:2], atol=1e-6)
    finally:
        process.terminate()
        process.wait(timeout=30)
