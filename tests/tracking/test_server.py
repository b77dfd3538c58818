"""A store may be an MLflow server: here one with PostgreSQL behind it, which also keeps the artifacts."""

import json
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import clep
from clep import tracking
from clep.cli import main
from clep.comparison import Cell, plan
from clep.config import compose
from clep.tracking.ui import free_port, page_of
from tests.oracles.comparisons import store_run

from .runs import new_run, text_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1
_WRITERS, _POINTS = 8, 400
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def postgres_tool(name):
    """The path of a program of PostgreSQL; Debian keeps most of them off the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else "")


@contextmanager
def running(command, log, answers, **options):
    """A process with a group of its own, from the moment that it answers; ended with all that it started."""
    with log.open("w") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, start_new_session=True, **options)
    try:
        deadline = time.monotonic() + 120
        while not answers():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)  # PostgreSQL: end now and orderly
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The address of a PostgreSQL of its own, reached by a socket in its folder."""
    if not (initdb := postgres_tool("initdb")):
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed (the extra `dev` has it)")
    folder = Path(tempfile.mkdtemp(prefix="clep-pg-"))  # a short path, which an unprivileged user may enter
    user = {}
    if os.geteuid() == 0:
        known = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, known.pw_uid, known.pw_gid)
        user = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    data = folder / "data"
    create = [initdb, "-D", str(data), "-U", "clep", "--auth", "trust", "--no-sync", "--encoding", "UTF8"]
    subprocess.run(create, check=True, capture_output=True, cwd=folder, **user)
    command = [
        postgres_tool("postgres"),
        "-D",
        str(data),
        "-k",
        str(folder),
        "-h",
        "",
        "-F",
        "-c",
        "max_connections=200",
    ]
    log = tmp_path_factory.mktemp("postgres") / "log"
    ready = [postgres_tool("pg_isready"), "-q", "-h", str(folder)]
    try:
        with running(command, log, lambda: subprocess.run(ready, check=False).returncode == 0, cwd=folder, **user):
            yield f"postgresql+psycopg2://clep@/postgres?host={folder}"  # SQLAlchemy 2.1 would take psycopg 3
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    """The address of an `mlflow server` of its own on the loopback interface; it keeps artifacts in `kept`."""
    folder = tmp_path_factory.mktemp("server")
    address = f"http://127.0.0.1:{free_port(0)}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--workers", "2", "--serve-artifacts", "--artifacts-destination", str(folder / "kept")]
    settings = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def answers():
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return True
        except OSError:
            return False

    with running(command, folder / "log", answers, cwd=folder, env={**os.environ, **settings}):
        yield address


@pytest.mark.server
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
    assert read.info.artifact_uri.startswith("mlflow-artifacts:"), "artifacts go through the server"
    assert text_of(server, run.run_id, "note.txt") == "remote"
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


@pytest.mark.server
def test_a_comparison_on_a_server_is_the_same_as_in_a_file(server, small):
    """Its runs, its page, its view, its learners, and what is run again: nothing."""
    from mlflow import MlflowClient

    config = small | {"tracking": {"uri": server}, "cells": [["naive"], ["joint"]], "seeds": [0]}
    first = clep.compare(config)
    assert not first.failed
    client = MlflowClient(tracking_uri=server)
    parent = client.get_run(first.parent_run_id)
    runs = client.search_runs([parent.info.experiment_id], tracking.runs_filter(first.parent_run_id))
    assert {run.data.tags["clep.label"] for run in runs} == {"naive", "joint"}
    assert all("final/accuracy" in run.data.metrics and len(run.inputs.dataset_inputs) == 2 for run in runs)
    assert first.answer.sentence in parent.data.tags["mlflow.note.content"]
    assert "viewStateShareKey=" in page_of(server, first.parent_run_id)
    assert clep.load(first.runs[0].run_id, tracking_uri=server).network.spec.neuron
    again = clep.compare(config, resume=True)
    assert [run.run_id for run in again.runs] == [run.run_id for run in first.runs]


@pytest.mark.server
def test_what_several_people_wrote_to_one_server_is_reported_as_one_comparison(server, tmp_path, capsys):
    from mlflow import MlflowClient

    cells = [
        (Cell(name), compose({}, [f"strategies={name}", "tracking.experiment=shared"])) for name in ("naive", "si")
    ]
    for user, seed in (("ada", 0), ("bob", 1)):
        for job in plan(cells, [seed]):
            store_run(server, job, tags={"mlflow.user": user}, accuracy=0.8 if job.cell == "si" else 0.2)
    words = ["--experiment", "shared", f"tracking.uri={server}", "--output", str(tmp_path / "out"), "--json"]
    assert main(["report", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["label"], run["seed"]) for run in found["runs"]] == [(c, s) for c in ("naive", "si") for s in (0, 1)]
    assert [row["accuracy"]["n"] for row in found["table"]] == [2, 2]
    assert found["answer"]["sentence"].startswith("si forgets least")
    assert (tmp_path / "out" / "report.html").is_file()
    client = MlflowClient(tracking_uri=server)
    stored = client.search_runs([client.get_experiment_by_name("shared").experiment_id])
    assert {run.data.tags["mlflow.user"] for run in stored} == {"ada", "bob"}
    assert {run.info.run_id for run in stored} == {run["run_id"] for run in found["runs"]}  # reporting stores nothing


def _write(uri, experiment, number, barrier, results):
    barrier.wait()
    try:
        with new_run(uri, experiment, f"writer {number}") as run:
            for start in range(0, _POINTS, 50):
                run.log_series("a", range(start, start + 50), range(start, start + 50))
                run.log({"b": number}, step=start)
                run.flush()
            run.text(str(number), "note.txt")
        results.put(run.run_id)
    except BaseException as error:
        results.put(repr(error))


@pytest.mark.server
def test_eight_concurrent_writers_lose_no_metric(server):
    from mlflow import MlflowClient

    experiment = tracking.prepare(server, "race")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "clep.tracking"])
    barrier, results = context.Barrier(_WRITERS), context.Queue()
    jobs = [(server, experiment, number, barrier, results) for number in range(_WRITERS)]
    processes = [context.Process(target=_write, args=job) for job in jobs]
    for process in processes:
        process.start()
    run_ids = [results.get(timeout=100) for _ in processes]
    for process in processes:
        process.join()
    client = MlflowClient(tracking_uri=server)
    assert {run.info.run_id for run in client.search_runs([experiment])} == set(run_ids)
    for run_id in run_ids:
        points = client.get_metric_history(run_id, "a")
        assert [point.step for point in points] == list(range(_POINTS))
        assert len(client.get_metric_history(run_id, "b")) == _POINTS // 50
        assert client.get_run(run_id).info.status == "FINISHED"
    notes = {text_of(server, run_id, "note.txt") for run_id in run_ids}
    assert notes == {str(number) for number in range(_WRITERS)}


def _record_once_all_are_there(uri, barrier, results):
    barrier.wait()
    try:
        with new_run(uri, tracking.prepare(uri, "clep")) as run:
            run.log({"a": 1.0}, 0)
        results.put(run.run_id)
    except BaseException as error:
        results.put(repr(error))


@pytest.mark.server
def test_several_processes_at_once_on_an_empty_database_all_succeed(database):
    """Each makes MLflow's tables if it finds none."""
    import psycopg2

    connection = psycopg2.connect(database.replace("postgresql+psycopg2", "postgresql"))
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE empty")
    connection.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "clep.tracking"])
    barrier, results = context.Barrier(4), context.Queue()
    job = database.replace("/postgres?", "/empty?"), barrier, results
    work = [context.Process(target=_record_once_all_are_there, args=job) for _ in range(4)]
    for process in work:
        process.start()
    found = [results.get(timeout=200) for _ in work]
    for process in work:
        process.join()
    assert all(len(run_id) == 32 for run_id in found), found
    assert len(set(found)) == 4
