"""Runs are written to real MLflow stores and read back with MLflow's own client."""

import logging
import math
import multiprocessing
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest

from clep import tracking
from clep.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The address of one SQLite store for the whole file: MLflow takes 3 s to create one."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('a store 100%')}/mlflow.db"
    tracking.prepare(uri, "shared")
    return uri


@pytest.fixture
def experiment(store, request):
    return tracking.prepare(store, request.node.name)


@pytest.fixture
def client(store):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


def new_run(store, experiment, name="a run", tags=None, params=None, parent=None):
    return tracking.Run(store, experiment, name, tags=tags or {}, params=params or {}, parent_run_id=parent)


def points(client, run_id, name):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def run_clep(code, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


# Addresses


def test_the_default_store_is_an_absolute_sqlite_file_in_the_working_directory(tmp_path):
    assert tracking.tracking_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert f"sqlite:///{tmp_path}".startswith("sqlite:////")


def test_the_environment_variable_is_used_unless_an_address_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from_env.db")
    assert tracking.tracking_uri(None) == f"sqlite:///{tmp_path}/from_env.db"
    assert tracking.tracking_uri("sqlite:///given.db") == f"sqlite:///{tmp_path}/given.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking.tracking_uri(None) == "http://server:5000"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlite:///runs/x.db", "sqlite:///{here}/runs/x.db"),
        ("sqlite:///./x.db?timeout=9", "sqlite:///{here}/x.db?timeout=9"),
        ("sqlite:////elsewhere/x.db", "sqlite:////elsewhere/x.db"),
        ("sqlite:///~/x.db", "sqlite:///{home}/x.db"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:///{here}/x.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("https://host/path", "https://host/path"),
    ],
)
def test_only_relative_sqlite_paths_are_rewritten(tmp_path, given, expected):
    assert tracking.tracking_uri(given) == expected.format(here=tmp_path, home=Path.home())


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(uri):
    with pytest.raises(ConfigError, match=r"tracking\.uri: expected the path of an SQLite file"):
        tracking.tracking_uri(uri)


def test_the_printed_ui_command_names_the_same_store_from_another_directory(store, tmp_path, monkeypatch):
    """The path holds spaces and a percent sign: unquoted, the shell would pass on something else."""
    relative = tracking.ui_command(tracking.tracking_uri("sqlite:///here.db"))
    assert relative == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/here.db"
    monkeypatch.chdir("/")
    assert shlex.split(tracking.ui_command(store)) == ["mlflow", "ui", "--backend-store-uri", store]
    assert tracking.ui_command("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_the_ui_command_hides_a_password():
    assert "secret" not in tracking.ui_command("postgresql://me:secret@host/db")
    assert tracking.ui_command("https://me:secret@host") == "https://me:***@host"


# Contents


def test_a_run_is_read_back_as_it_was_written(store, experiment, client, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"\x00\x01")
    params = tracking.flatten({"learner": {"lr": 0.1}, "seed": 0})
    with new_run(store, experiment, "comparison") as parent:
        tags = {"strategies": "naive", "seed": 0}
        with new_run(store, experiment, "naive, seed 0", tags, params, parent.run_id) as run:
            run.log({tracking.ACCURACY_SEEN: 0.75, tracking.ACCURACY_EXPERIENCE.format(3): 0.5}, step=2)
            run.log({tracking.ACCURACY_SEEN: 0.5}, step=3)
            run.log_series(tracking.TRAIN_LOSS, [2.0, 1.0, 0.5], [0, 10, 20])
            run.artifact(tmp_path / "weights.pt")
            run.text("seed: 0\n", "config.yaml")

    read = client.get_run(run.run_id)
    assert points(client, run.run_id, "accuracy/seen") == [(2, 0.75), (3, 0.5)]
    assert points(client, run.run_id, "accuracy/experience_03") == [(2, 0.5)]
    assert points(client, run.run_id, "train/loss") == [(0, 2.0), (10, 1.0), (20, 0.5)]
    assert read.data.params == {"learner.lr": "0.1", "seed": "0"}
    assert read.data.tags.items() >= {
        ("strategies", "naive"),
        ("seed", "0"),
        ("mlflow.parentRunId", parent.run_id),
        ("mlflow.runName", "naive, seed 0"),
        ("mlflow.source.name", "clep"),
    }
    assert read.data.tags["mlflow.user"]
    assert "mlflow.parentRunId" not in client.get_run(parent.run_id).data.tags
    assert read.info.experiment_id == experiment
    assert read.info.status == "FINISHED"
    assert sorted(file.path for file in client.list_artifacts(run.run_id)) == ["config.yaml", "weights.pt"]
    assert tracking.artifacts(store, run.run_id, "weights.pt").read_bytes() == b"\x00\x01"


def test_artifacts_lie_next_to_the_store_and_not_in_the_working_directory(store, experiment, tmp_path):
    with new_run(store, experiment) as run:
        run.text("hello", "note.txt")
    folder = Path(store.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert [path.read_text() for path in folder.rglob("note.txt") if run.run_id in str(path)] == ["hello"]
    assert list(tmp_path.iterdir()) == []


def test_every_metric_name_is_accepted_by_mlflow(store, experiment, client):
    constants = [value for name, value in vars(tracking).items() if name.isupper() and not name.startswith("_")]
    names = [value.format(7) for value in constants if isinstance(value, str)]
    assert len(names) > 20
    with new_run(store, experiment) as run:
        run.log(dict.fromkeys(names, 1.0), step=0)
    assert set(client.get_run(run.run_id).data.metrics) == set(names)


def test_undefined_and_infinite_values_are_left_out(store, experiment, client):
    values = {"none": None, "nan": math.nan, "inf": math.inf, "minus": -math.inf, "zero": 0.0}
    with new_run(store, experiment) as run:
        run.log(values, step=0)
        run.log_series("series", [1.0, math.nan, 3.0], [0, 1, 2])
    assert client.get_run(run.run_id).data.metrics.keys() == {"zero", "series"}
    assert points(client, run.run_id, "series") == [(0, 1.0), (2, 3.0)]


def test_a_series_with_fewer_steps_than_values_is_refused(store, experiment):
    with pytest.raises(ValueError, match="shorter"), new_run(store, experiment) as run:
        run.log_series("series", [1.0, 2.0], [0])


def test_more_points_and_parameters_than_one_batch_holds_all_arrive(store, experiment, client):
    """MLflow's stores refuse batches of more than 1 000 entities or 100 parameters."""
    with new_run(store, experiment, params={f"p{k}": k for k in range(250)}) as run:
        run.log_series("long", range(2500), range(2500))
        run.log({f"wide_{k}": k for k in range(1200)}, step=0)
    assert points(client, run.run_id, "long") == [(k, k) for k in range(2500)]
    read = client.get_run(run.run_id)
    assert len(read.data.metrics) == 1201
    assert read.data.params == {f"p{k}": str(k) for k in range(250)}


def test_metrics_are_sent_in_few_batches_and_visible_after_a_flush(store, experiment, client, monkeypatch):
    with new_run(store, experiment) as run:
        calls = []
        send = run._client.log_batch
        monkeypatch.setattr(run._client, "log_batch", lambda *a, **k: (calls.append(1), send(*a, **k)))
        for step in range(300):
            run.log({"a": step, "b": step}, step=step)
        assert calls == []
        run.flush()
        assert len(calls) == 1
        assert len(points(client, run.run_id, "a")) == 300


def test_flatten_makes_dotted_names_and_cuts_values_to_the_length_mlflow_accepts(store, experiment, client):
    config = {"stream": {"name": "digits", "order": [1, 0]}, "strategy": {}, "none": None, "long": "x" * 9000}
    flat = tracking.flatten(config)
    assert flat == {
        "stream.name": "digits",
        "stream.order": "[1, 0]",
        "strategy": "{}",
        "none": "None",
        "long": "x" * 6000,
    }
    with new_run(store, experiment, params=flat) as run:
        pass
    assert client.get_run(run.run_id).data.params == flat
    assert tracking.flatten({}) == {}


# Endings


def leave(run, exception, metric="a"):
    """Log one point and leave the run's block by an exception."""
    with run:
        run.log({metric: 1.0}, step=4)
        raise exception


@pytest.mark.parametrize(
    ("exception", "status", "error"),
    [
        (KeyboardInterrupt(), "KILLED", None),
        (SystemExit(3), "KILLED", None),
        (ValueError("the loss is not finite"), "FAILED", "ValueError: the loss is not finite"),
        (RuntimeError("x" * 9000), "FAILED", "RuntimeError: " + "x" * 486),
    ],
)
def test_the_status_says_how_the_block_was_left_and_nothing_buffered_is_lost(
    store, experiment, client, exception, status, error
):
    run = new_run(store, experiment)
    with pytest.raises(type(exception)) as caught:
        leave(run, exception)
    assert caught.value is exception
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags.get("error")) == (status, error)
    assert read.info.end_time is not None
    assert points(client, run.run_id, "a") == [(4, 1.0)]


def test_the_callers_exception_wins_when_the_store_fails_as_well(store, experiment, client, caplog):
    run = new_run(store, experiment)
    with pytest.raises(ZeroDivisionError):
        leave(run, ZeroDivisionError("first"), metric="a name * that MLflow refuses")
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags["error"]) == ("FAILED", "ZeroDivisionError: first")
    assert f"Run {run.run_id} is incomplete" in caplog.text


def test_a_run_whose_metrics_could_not_be_stored_is_not_finished(store, experiment, client):
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="Invalid"), new_run(store, experiment) as run:
        run.log({"a name * that MLflow refuses": 1.0}, step=0)
    assert client.get_run(run.run_id).info.status == "FAILED"


def test_parameters_that_cannot_be_stored_leave_no_run_running(store, experiment, client):
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="Invalid"), new_run(store, experiment, params={"a * name": 1}):
        pytest.fail("the block must not be entered")
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]


def test_a_run_whose_process_died_is_ended_from_outside(store, experiment, client):
    run = new_run(store, experiment).__enter__()
    assert client.get_run(run.run_id).info.status == "RUNNING"
    tracking.end(store, run.run_id, "FAILED", "killed by signal 9")
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags["error"]) == ("FAILED", "killed by signal 9")


# Provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_provenance_names_the_commit_of_clep_and_not_of_a_repository_around_it(tmp_path, monkeypatch):
    copy = tmp_path / "clep" / "tracking.py"
    copy.parent.mkdir()
    copy.write_text("")
    monkeypatch.setattr(tracking, "__file__", str(copy))
    assert tracking.provenance() == {"version": metadata.version("clep")}
    (tmp_path / "other.txt").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "other.txt")
    git(tmp_path, "commit", "-m", "a repository around it")
    assert "git_commit" not in tracking.provenance()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "clep")
    assert tracking.provenance()["git_commit"] == git(tmp_path, "rev-parse", "HEAD")
    copy.write_text("changed = True")
    assert tracking.provenance()["git_commit"] == git(tmp_path, "rev-parse", "HEAD") + "-dirty"


def test_provenance_needs_no_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert tracking.provenance() == {"version": metadata.version("clep")}


# Stores


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


@pytest.mark.parametrize("uri", ["nonsense://host", "runs_folder"])
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
        tracking.artifacts(store, run_id or run.run_id, name)


def test_looking_for_an_artifact_creates_no_store(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*mlflow\.db"):
        tracking.artifacts(tracking.tracking_uri(None), "0" * 32, "x.txt")
    assert list(tmp_path.iterdir()) == []


def _prepare_and_log(uri, barrier, results):
    barrier.wait()
    try:
        with new_run(uri, tracking.prepare(uri, "race"), str(os.getpid())) as run:
            run.log({"a": 1.0}, step=0)
        results.put("")
    except BaseException as error:
        results.put(repr(error))


def test_six_processes_racing_on_a_fresh_store_all_succeed(tmp_path):
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
assert tracking.artifacts(uri, run.run_id, "note.txt").read_text() == "text"
assert (logging.root.handlers, logging.root.level) == ([], logging.WARNING)
import mlflow, mlflow.telemetry.utils, threading
assert mlflow.telemetry.utils.is_telemetry_disabled()
assert not [thread.name for thread in threading.enumerate() if "elemetry" in thread.name]
assert mlflow.active_run() is None
"""


def test_a_fresh_store_beside_a_stale_mlruns_folder_is_created_in_silence(tmp_path, monkeypatch):
    """A leftover `mlruns/0/meta.yaml` makes MLflow fall back to its file store, which then refuses to work.

    CI variables switch telemetry off by themselves and are taken away; so are MLflow's, which this process has set.
    """
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    for name in list(os.environ):
        if name.startswith("MLFLOW_") or name in ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS"):
            monkeypatch.delenv(name)
    done = run_clep(QUIET_RUN, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "mlflow.db").is_file()


def test_settings_of_the_user_are_kept(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "error")
    tracking.prepare(store, "settings")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert logging.getLogger("mlflow").level == logging.ERROR


# Servers


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
