"""Whole runs on a store that fails in the middle of them: the numbers are those of an undisturbed run, and after a sync
so is what is stored."""

import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from clep.pipelines import class_incremental

import clep
from clep import tracking
from clep.config import compose

from .runs import stored
from .servers import MlflowServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow 3.17 in SQLAlchemy 2.1
]


def config(small, uri, **more):
    return compose(small | {"tracking": {"uri": uri}} | more)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_is_gone_or_hangs_in_mid_run_costs_nothing(small, tmp_path, capfd, number, back, monkeypatch):
    """`back`: while the run goes on, so that no sync is needed."""
    from clep.tracking import delivery

    monkeypatch.setattr(delivery, "_SECONDS_BETWEEN_TRIES", 0.5)
    with MlflowServer(tmp_path) as server:
        undisturbed = class_incremental.run(config(small, server.uri))

        def revive():
            server.start() if number == signal.SIGKILL else server.send(signal.SIGCONT)

        def disturb(message):
            if message.get("experience") == 0:
                server.send(number)
            if message.get("experience") == 3 and back:
                revive()

        began = time.monotonic()
        disturbed = class_incremental.run(config(small, server.uri), on_progress=disturb)
        took = time.monotonic() - began - undisturbed.seconds["total"]
        assert disturbed.accuracy_matrix == undisturbed.accuracy_matrix
        assert disturbed.status == "FINISHED"
        if not back:
            assert took < 40
            assert tracking.undelivered(server.uri) == [disturbed.run_id]
            assert "clep sync" in capfd.readouterr().err
            revive()
            assert tracking.sync(server.uri).delivered == [disturbed.run_id]
        assert tracking.undelivered(server.uri) == []
        assert stored(server.uri, disturbed.run_id) == stored(server.uri, undisturbed.run_id)


def test_an_sqlite_file_that_is_locked_for_a_minute_costs_a_comparison_nothing(tmp_path):
    """Locked for readers, too; the table is printed, and everything is stored in the end."""
    changes = ["stream.samples_per_experience=64", "network.hidden=[32]", "learner.epochs=2", "cells=[[naive],[joint]]"]
    command = [sys.executable, "-m", "clep", "compare", *changes, "controls=none", "seeds=[0,1]", "workers=2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # makes the store, too
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    while not len(tracking.runs_of(uri, condition="attributes.status = 'RUNNING'")) >= 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None, timeout=60)
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(60)
    other.close()
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "naive" in out
    assert "joint" in out
    assert "SQL:" not in said, said
    tracking.sync(uri)
    runs = tracking.runs_of(uri)
    assert [run.status for run in runs] == ["FINISHED"] * 10
    parents = [run for run in runs if run.tags.get("comparison")]
    first, second = (clep.load_comparison(run.run_id, tracking_uri=uri) for run in parents)
    assert [run.accuracy_matrix for run in first.runs] == [run.accuracy_matrix for run in second.runs]
    for run in first.runs:
        assert stored(uri, run.run_id)[0] == "FINISHED"
