"""A store may be an MLflow server: here one with PostgreSQL behind it, which also keeps the artifacts."""

import json
import multiprocessing

import pytest

import clep
from clep import tracking
from clep.cli import main
from clep.comparison import Cell, plan
from clep.config import compose
from clep.tracking.ui import page_of
from tests.oracles.comparisons import store_run

from .runs import new_run, text_of
from .servers import MlflowServer, Postgres

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1
_WRITERS, _POINTS = 8, 400


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        yield running


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    """The address of an `mlflow server` with PostgreSQL behind it."""
    with MlflowServer(tmp_path_factory.mktemp("server"), postgres.uri(), workers=2) as running:
        yield running.uri


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
def test_several_processes_at_once_on_an_empty_database_all_succeed(postgres):
    """Each makes MLflow's tables if it finds none."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "clep.tracking"])
    barrier, results = context.Barrier(4), context.Queue()
    job = postgres.empty_database("empty"), barrier, results
    work = [context.Process(target=_record_once_all_are_there, args=job) for _ in range(4)]
    for process in work:
        process.start()
    found = [results.get(timeout=200) for _ in work]
    for process in work:
        process.join()
    assert all(len(run_id) == 32 for run_id in found), found
    assert len(set(found)) == 4
