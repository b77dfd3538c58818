"""A store may be an MLflow server."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from clep import tracking
from clep.errors import ConfigError

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    """The address of an `mlflow server` of its own on the loopback interface."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.slow
def test_a_server_stores_a_run_with_its_artifacts(server, tmp_path, capfd):
    from mlflow import MlflowClient

    experiment = tracking.prepare(server, "remote")
    assert tracking.prepare(server, "remote") == experiment
    with new_run(server, experiment, params={"seed": 0}) as run:
        run.log_series("train/loss", range(2000), range(2000))
        run.text("remote", "note.txt")
    client = MlflowClient(tracking_uri=server)
    assert len(client.get_metric_history(run.run_id, "train/loss")) == 2000
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.params) == ("FINISHED", {"seed": "0"})
    assert tracking.artifacts(server, run.run_id, "note.txt").read_text() == "remote"
    assert (tmp_path / "kept").is_dir(), "the server keeps the artifacts"
    assert tracking.ui_command(server) == server
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_refused_within_seconds():
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"tracking\.uri: the MLflow store `http://127.0.0.1"):
        tracking.prepare(f"http://127.0.0.1:{free_port()}", "clep")
    assert time.monotonic() - start < 20
