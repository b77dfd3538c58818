"""Signals that Python or a library drops are seen all the same."""

import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from clep import interrupts, tracking
from clep.cli import main
from clep.tracking.store import client_of


class Thing:
    pass


def dropped(number=signal.SIGINT):
    """A signal that arrives while a weakref callback runs: Python drops the exception."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    return reference


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_dropped_signal_is_raised_at_the_next_look(number, code, capfd):
    with interrupts.listening():
        dropped(number)
        assert interrupts.exit_code() == code
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    interrupts.check()  # nothing is left for whoever comes after
    assert capfd.readouterr().err == ""


def test_further_signals_do_not_cut_the_way_out_short():
    with interrupts.listening():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.exit_code() == 143


def test_what_is_held_ends_before_the_interrupt():
    with interrupts.listening():
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def statuses():
    client = client_of(tracking.tracking_uri(None))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [(run.info.status, run.info.run_id) for run in client.search_runs(experiments)]


PLUGIN = """
import os, signal, weakref, clep

class X: pass

class Drops(clep.Strategy):
    def after_training_epoch(self, strategy, **kwargs):
        x = X()
        r = weakref.ref(x, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del x

class Fails(clep.Strategy):
    def after_training_epoch(self, strategy, **kwargs):
        raise RuntimeError("mine")
"""
SMALL = ["learner.epochs=1", "stream.samples_per_experience=20", "stream.experiences=2", "network.hidden=[4]"]


def test_a_dropped_ctrl_c_ends_a_run_killed_and_a_failure_keeps_its_traceback(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_that_fails.py").write_text(PLUGIN)
    assert main(["run", *SMALL, "strategies=[mine_that_fails:Drops]"]) == 130
    assert [status for status, _ in statuses()] == ["KILLED"]
    assert "Traceback" not in capsys.readouterr().err
    assert main(["run", *SMALL, "strategies=[mine_that_fails:Fails]"]) == 1
    said = capsys.readouterr().err
    assert "Fails.after_training_epoch failed" in said
    assert "in experience 0: RuntimeError: mine" in said
    (failed,) = (run_id for status, run_id in statuses() if status == "FAILED")
    client = client_of(tracking.tracking_uri(None))
    text = Path(client.download_artifacts(failed, "traceback.txt")).read_text()
    assert 'raise RuntimeError("mine")' in text


def test_a_module_of_the_working_directory_takes_no_dependencys_place(tmp_path):
    (tmp_path / "pandas.py").write_text("raise SystemExit('mine')")
    (tmp_path / "my_module.py").write_text("import clep\n\n\nclass Mine(clep.Strategy):\n    pass\n")
    command = [os.path.join(os.path.dirname(sys.executable), "clep"), "run", "--json", *SMALL]
    done = subprocess.run(
        [*command, "strategies=[my_module:Mine]"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
