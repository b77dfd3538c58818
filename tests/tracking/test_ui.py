"""`clep ui`: the right page of the right store, served until Ctrl-C, with no process left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from clep import tracking
from clep.cli import main
from clep.errors import ConfigError
from clep.tracking import ui

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A store of its own with a comparison and its run, a claim and its run, and a run alone, in this order."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('viewed')}/mlflow.db"
    experiment = tracking.prepare(uri, "viewed")
    ids = {"uri": uri, "experiment": experiment}
    for kind, tags in (("comparison", {"comparison": "true"}), ("claim", {"claim": "mine"})):
        with new_run(uri, experiment, tags=tags) as parent:
            of_claim = {"claim": "mine"} if kind == "claim" else {}
            with new_run(uri, experiment, tags=of_claim, parent=parent.run_id) as run:
                pass
        ids |= {kind: parent.run_id, f"run of {kind}": run.run_id}
    with new_run(uri, experiment) as run:
        pass
    return ids | {"alone": run.run_id}


@pytest.mark.parametrize("kind", ["comparison", "claim"])
def test_what_has_runs_of_its_own_is_shown_as_charts_of_them(runs, kind):
    page = ui.page_of(runs["uri"], runs[kind])
    assert "compareRunsMode=CHART" in page
    assert runs[kind] in page


@pytest.mark.parametrize("kind", ["run of comparison", "run of claim", "alone"])
def test_a_run_is_shown_on_its_own_page(runs, kind):
    assert ui.page_of(runs["uri"], runs[kind]).startswith(f"#/experiments/{runs['experiment']}/runs/{runs[kind]}?")


def test_without_an_id_the_latest_comparison_is_shown_and_not_a_later_run(runs):
    assert runs["comparison"] in ui.page_of(runs["uri"])


def test_without_any_comparison_the_latest_run_is_shown(store, tmp_path):
    uri = tracking.tracking_uri(None)
    experiment = tracking.prepare(uri, "clep")
    with pytest.raises(ConfigError, match="holds no run yet"):
        ui.page_of(uri)
    with new_run(uri, experiment) as run:
        pass
    assert f"/runs/{run.run_id}?" in ui.page_of(uri)


def test_an_unknown_id_and_a_missing_store_are_refused(runs, capsys):
    with pytest.raises(ConfigError, match=r"ui: `0123` is not in the store .* `--tracking` names another store"):
        ui.page_of(runs["uri"], "0123")
    assert main(["ui"]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert not os.listdir()


def test_for_a_server_only_the_link_is_printed(runs, capsys, monkeypatch):
    """The page is looked up in a store that stands in for the server's."""
    page_of = ui.page_of
    monkeypatch.setattr(ui, "page_of", lambda uri, run_id: page_of(runs["uri"], run_id))
    assert main(["ui", runs["alone"], "--tracking", "http://me:secret@tracking:5000/"]) == 0
    out, err = capsys.readouterr()
    link = f"http://me:***@tracking:5000/#/experiments/{runs['experiment']}/runs/{runs['alone']}?"
    assert out == f"{link}workflowType=machine_learning\n"
    assert err == ""


def test_a_port_that_is_taken_is_replaced_by_a_free_one():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert ui.free_port(taken) not in (taken, 0)
    assert ui.free_port(taken) == taken


def test_a_server_that_does_not_start_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("no database")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    with pytest.raises(ui.ClepError, match="does not start"), ui.Server("nonsense://here", 0):
        pytest.fail("the block must not be entered")


def processes_of(group):
    """Ids of the processes of a process group."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, state in lines if int(pgid) == group and not state.startswith("Z")]


def group_of_server(pid):
    found = subprocess.run(["ps", "-eo", "pgid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()]
    return next(int(pgid) for pgid, ppid, args in rows if int(ppid) == pid and "mlflow ui" in args)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, id="kill", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, id="the terminal is closed", marks=pytest.mark.slow),
    ],
)
def test_the_printed_link_answers_until_the_command_is_stopped_and_no_process_is_left(runs, end, tmp_path):
    command = [sys.executable, "-m", "clep", "ui", runs["comparison"], "--tracking", runs["uri"], "--no-open"]
    with socket.socket() as listener:  # the usual port is taken
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command += ["--port", str(listener.getsockname()[1])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        link = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#/experiments/\d+/runs\?workflowType=machine_learning&.*", link)
    with urllib.request.urlopen(link.partition("#")[0], timeout=30) as answer:
        assert "<title>MLflow</title>" in answer.read().decode()
    group = group_of_server(process.pid)
    assert processes_of(group)
    process.send_signal(end)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (0, ""), err
    assert "Ctrl-C stops the server" in err
    assert "Traceback" not in err
    deadline = time.monotonic() + 5
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(group) == []
