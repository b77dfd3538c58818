"""Signals that Python or a library drops are seen all the same."""

import os
import signal
import sys
import weakref
from pathlib import Path

import pytest

from clep import interrupts, tracking
from clep.cli import main
from clep.tracking.store import client_of
from tests.oracles.stores import empty_store


class Thing:
    pass


def dropped(number=signal.SIGINT):
    """A signal that arrives while a weakref callback runs: Python drops the exception."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    return reference


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 75)]
)
def test_a_dropped_signal_is_raised_at_the_next_look(number, code, capfd, request):
    before = signal.signal(number, signal.default_int_handler)  # under `nohup` SIGHUP is ignored, and stays so
    request.addfinalizer(lambda: signal.signal(number, before))
    with interrupts.listening():
        dropped(number)
        assert interrupts.exit_code() == code
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    interrupts.check()  # nothing is left for whoever comes after
    assert capfd.readouterr().err == ""


def test_in_a_job_of_slurm_kill_asks_for_another_turn(monkeypatch):
    with interrupts.listening():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.exit_code() == 143
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        assert interrupts.exit_code() == 75


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
    empty_store(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_that_fails.py").write_text(PLUGIN)
    assert main(["run", *SMALL, "strategies=[mine_that_fails:Drops]"]) == 130
    ((status, killed),) = statuses()
    assert status == "KILLED"
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"; go on with: clep resume {killed}\n" in said
    assert main(["run", *SMALL, "strategies=[mine_that_fails:Fails]"]) == 1
    said = capsys.readouterr().err
    assert "Fails.after_training_epoch failed" in said
    assert "in experience 0: RuntimeError: mine" in said
    (failed,) = (run_id for status, run_id in statuses() if status == "FAILED")
    client = client_of(tracking.tracking_uri(None))
    text = Path(client.download_artifacts(failed, "traceback.txt")).read_text()
    assert 'raise RuntimeError("mine")' in text


def test_a_module_of_the_working_directory_takes_no_dependencys_place(tmp_path, monkeypatch, capsys):
    (dependencies := tmp_path / "dependencies").mkdir()
    (dependencies / "imported_late.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(dependencies), *sys.path])
    (tmp_path / "imported_late.py").write_text("raise SystemExit('mine')")
    (tmp_path / "my_module.py").write_text("import clep, imported_late\n\nclass Mine(clep.Strategy):\n    pass\n")
    assert main(["show", "strategies=[my_module:Mine]"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("ends", "expected"), [(True, [143]), (False, ["raised"])])
def test_while_libraries_load_a_signal_raises_nothing_in_a_process_that_ends_with_it(ends, expected):
    """An exception within a library in C++ is a crash. A host that goes on, such as a notebook, is not ended."""
    left, handlers = [], {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    try:
        with interrupts.listening(to_the_end=ends):
            try:
                with interrupts.leaving_at_once(lambda: left.append(interrupts.exit_code())):
                    signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                left += ["raised"] if not left else []  # in a process, `leave` would not have come back
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert left == expected
