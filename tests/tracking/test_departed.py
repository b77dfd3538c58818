"""Runs whose process is gone are closed by the next command; those of others are left alone."""

import multiprocessing
import os
import signal

import pytest

from clep import processes, tracking
from clep.config import compose
from clep.tracking.journal import FILE

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def _die(uri, experiment, tags):
    with new_run(uri, experiment, tags=tags):
        os.kill(os.getpid(), signal.SIGKILL)


def killed(uri, experiment, **tags):
    """Start a run in a process that is killed."""
    process = multiprocessing.get_context("fork").Process(target=_die, args=(uri, experiment, tags))
    process.start()
    process.join()
    return tracking.runs_of(uri, condition="attributes.status = 'RUNNING'")[0].run_id


def status(client, run_id):
    return client.get_run(run_id).info.status


def test_the_run_of_a_killed_process_is_killed_and_offered_for_resume_once(store, experiment, client, capsys):
    run_id = killed(store, experiment)
    with new_run(store, experiment) as alive:
        tracking.open_store(compose(None, [f"tracking.uri={store}"]).tracking)
        assert [status(client, each) for each in (run_id, alive.run_id)] == ["KILLED", "RUNNING"]
        expected = f"go on with: clep resume {run_id} 'tracking.uri={store}'\n"
        assert capsys.readouterr().err == f"clep: 1 run, whose process is gone, is KILLED in MLflow now; {expected}"
        assert tracking.close_departed(store) == []
        assert capsys.readouterr().err == ""


def test_of_a_comparison_the_command_that_goes_on_with_all_of_it_is_told(store, experiment, capsys):
    parent = killed(store, experiment, comparison="true")
    killed(store, experiment, **{"mlflow.parentRunId": parent})
    assert len(tracking.close_departed(store)) == 2
    said = capsys.readouterr().err
    assert said.startswith("clep: 2 runs, whose processes are gone, are KILLED in MLflow now; go on with: clep compare")
    assert f"--resume {parent}" in said


@pytest.mark.parametrize("process", [{"clep.host": "elsewhere"}, {"clep.pid": str(os.getppid())}, {"clep.started": ""}])
def test_a_run_whose_process_may_live_stays_running(store, experiment, client, process, capsys):
    there = {"clep.pid": str(2**22 + 1)} | process
    if "clep.pid" in process:
        there["clep.started"] = processes._began(os.getppid())
    run = new_run(store, experiment, tags=there)
    with run:
        assert tracking.close_departed(store) == []
        assert status(client, run.run_id) == "RUNNING"
    assert capsys.readouterr().err == ""


def test_what_waits_in_a_journal_is_left_to_sync(store, experiment, client):
    run_id = killed(store, experiment)
    folder = tracking.address.state_folder(store, run_id)
    folder.mkdir(parents=True)
    (folder / FILE).touch()
    assert tracking.close_departed(store) == []
    (folder / FILE).unlink()
    assert [run.run_id for run in tracking.close_departed(store)] == [run_id]
