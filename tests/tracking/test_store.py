"""Stores are created, found and refused; several processes may race for one."""

import logging
import multiprocessing
import os
import subprocess
import sys
import time
from importlib import metadata

import pytest

from clep import tracking
from clep.errors import ConfigError

from .runs import new_run, text_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def test_preparing_twice_finds_the_same_experiment(store):
    first = tracking.prepare(store, "twice")
    assert tracking.prepare(store, "twice") == first
    assert tracking.prepare(store, "another") != first


def test_a_deleted_experiment_is_refused_with_its_id_and_the_key_to_change(store, client):
    deleted = tracking.prepare(store, "deleted")
    client.delete_experiment(deleted)
    with pytest.raises(ConfigError, match=rf"`deleted` was deleted: restore id {deleted} or .*`tracking\.experiment`"):
        tracking.prepare(store, "deleted")


@pytest.mark.parametrize("damaged", [True, False])
def test_a_damaged_store_and_a_folder_are_refused_at_once(tmp_path, damaged):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"this is not a database" * 100) if damaged else path.mkdir()
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"tracking\.uri: the MLflow store `sqlite:.*(not a|unable to open) database"):
        tracking.prepare(tracking.tracking_uri(None), "clep")
    assert time.monotonic() - start < 3


def test_a_database_that_is_not_mlflows_is_refused(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE experiments (a INTEGER)")
    with pytest.raises(ConfigError, match=r"tracking\.uri: the MLflow store"):
        tracking.prepare(tracking.tracking_uri(None), "clep")


refuses_folders = pytest.mark.skipif(
    tuple(map(int, metadata.version("mlflow").split(".")[:2])) < (3, 14), reason="MLflow still takes folders as stores"
)


@pytest.mark.parametrize("uri", ["nonsense://host", pytest.param("runs_folder", marks=refuses_folders)])
def test_an_address_that_mlflow_does_not_accept_is_refused(uri):
    with pytest.raises(ConfigError, match=r"tracking\.uri"):
        tracking.prepare(uri, "clep")


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"tracking\.uri"):
        tracking.prepare(tracking.tracking_uri("sqlite:///file/mlflow.db"), "clep")


@pytest.mark.parametrize(("run_id", "name"), [("0" * 32, "x.txt"), (None, "missing.txt")])
def test_an_unknown_run_or_artifact_is_refused(store, experiment, run_id, name):
    with new_run(store, experiment) as run:
        run.text("there", "x.txt")
    with pytest.raises(ConfigError, match=f"`{name}` of run"):
        text_of(store, run_id or run.run_id, name)


def test_looking_for_an_artifact_creates_no_store(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*mlflow\.db"):
        text_of(tracking.tracking_uri(None), "0" * 32, "x.txt")
    assert list(tmp_path.iterdir()) == []


def _prepare_and_log(uri, barrier, results):
    barrier.wait()
    try:
        with new_run(uri, tracking.prepare(uri, "race"), str(os.getpid())) as run:
            run.log({"a": 1.0}, step=0)
        results.put("")
    except BaseException as error:
        results.put(repr(error))


def test_six_processes_racing_on_a_fresh_store_all_succeed():
    from mlflow import MlflowClient

    uri = tracking.tracking_uri(None)
    # A fork server that has imported MLflow: the processes reach the store at the same moment, and cost one import.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "clep.tracking"])
    barrier, results = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_prepare_and_log, args=(uri, barrier, results)) for _ in range(6)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [""] * 6
    for process in processes:
        process.join()
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("race").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 6


QUIET_RUN = """
import logging, os, sys
import clep.tracking as tracking
assert "mlflow" not in sys.modules, "importing clep.tracking must be cheap"
assert not any(name.startswith("MLFLOW_") for name in os.environ), "importing clep changes nothing"
uri = tracking.tracking_uri(None)
with tracking.Run(uri, tracking.prepare(uri, "quiet"), "run", tags={}, params={}) as run:
    run.log({"a": 1.0}, step=0)
    run.text("text", "note.txt")
with tracking.artifacts(uri, run.run_id, "note.txt") as path:
    assert path.read_text() == "text"
assert (logging.root.handlers, logging.root.level) == ([], logging.WARNING)
import mlflow, mlflow.telemetry.utils, threading
assert mlflow.telemetry.utils.is_telemetry_disabled()
assert not [thread.name for thread in threading.enumerate() if "elemetry" in thread.name]
assert mlflow.active_run() is None
"""


@refuses_folders
def test_a_fresh_store_beside_a_stale_mlruns_folder_is_created_in_silence(tmp_path, monkeypatch):
    """A leftover `mlruns/0/meta.yaml` makes MLflow fall back to its file store, which then refuses to work.

    CI variables switch telemetry off by themselves and are taken away; so are MLflow's, which this process has set.
    """
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    for name in list(os.environ):
        if name.startswith("MLFLOW_") or name in ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS"):
            monkeypatch.delenv(name)
    done = subprocess.run([sys.executable, "-c", QUIET_RUN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "mlflow.db").is_file()


def test_settings_of_the_user_are_kept(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "error")
    tracking.prepare(store, "settings")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert logging.getLogger("mlflow").level == logging.ERROR
