"""Jobs in processes of their own, without any training."""

import os
import subprocess
import sys

import pytest

import clep
from clep.tracking.store import client_of
from clep.workers import run_jobs
from tests.oracles.stores import empty_store

JOBS = """
import multiprocessing.forkserver, pathlib, re, signal
from clep import interrupts
from clep.workers import run_jobs

def listens(job, tell):
    tell("begun")
    return not set(interrupts.SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, [])

if __name__ == "__main__":
    messages = list(run_jobs(listens, [0], workers=1, preload=[]))
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    masked = int(re.search(r"SigBlk:\\s*(\\w+)", pathlib.Path(f"/proc/{server}/status").read_text()).group(1), 16)
    shielded = all(masked & 1 << number - 1 for number in interrupts.SIGNALS)
    print([(message.kind, message.value) for message in messages], shielded)
"""


def test_signals_never_reach_the_process_that_workers_come_from_and_reach_a_worker_that_listens(tmp_path):
    """Ctrl-C while it imports torch would end it with a traceback; without it nobody knows how a worker has ended."""
    (tmp_path / "jobs.py").write_text(JOBS)
    done = subprocess.run([sys.executable, "jobs.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[('progress', 'begun'), ('done', True)] True\n", done.stderr


SERVED = """
import multiprocessing, multiprocessing.forkserver, sys, time
from clep.workers import run_jobs

def imported(name, tell):
    return name in sys.modules

def told(name):
    (message,) = run_jobs(imported, [name], workers=1, preload=[name])
    return message.value, multiprocessing.forkserver._forkserver._forkserver_pid

if __name__ == "__main__":
    first, second, again = told("wave"), told("colorsys"), told("wave")
    print(first[0], second[0], again[0], first[1] == second[1], second[1] == again[1])
    other = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
    other.start()
    print(told("sndhdr")[1] == again[1])
    other.kill()
    other.join()
    print(other.exitcode)
"""


def test_the_process_that_workers_come_from_has_imported_what_they_need_whatever_it_was_started_for(tmp_path):
    """Otherwise each worker imports torch and the rest anew. Once all is there the same process serves, and one whose
    processes still run is left alone."""
    (tmp_path / "jobs.py").write_text(SERVED)
    done = subprocess.run([sys.executable, "-W", "ignore", "jobs.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True True True False True\nTrue\n-9\n", done.stderr


IMPORTS = """
import multiprocessing.forkserver, os, pathlib, signal, threading, time
from clep import interrupts
from clep.workers import run_jobs

def interrupt():
    while not pathlib.Path("importing").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    threading.Thread(target=interrupt).start()
    with interrupts.listening():
        try:
            list(run_jobs(print, [0], workers=1, preload=["slow_to_import"]))
        except KeyboardInterrupt:
            server = int(pathlib.Path("importing").read_text())
            print(os.path.exists(f"/proc/{server}"))
"""


def test_an_interrupt_while_the_process_that_workers_come_from_imports_ends_it(tmp_path):
    """It would hold the terminal's streams, and write into temporary folders that are gone."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, pathlib, time\npathlib.Path('new').write_text(str(os.getpid()))\n"
        "os.rename('new', 'importing')\ntime.sleep(600)"
    )
    (tmp_path / "jobs.py").write_text(IMPORTS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "jobs.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.stdout, done.stderr) == ("False\n", "")


AHEAD = """
import multiprocessing.forkserver, os, sys
from clep.workers import importing, run_jobs

def server():
    return multiprocessing.forkserver._forkserver._forkserver_pid

def doubled(job, tell):
    return 2 * job

if __name__ == "__main__":
    with importing(["slow_to_import"]):
        begun = server()
        jobs = list(map(int, sys.argv[1:]))
        print([message.value for message in run_jobs(doubled, jobs, workers=1, preload=["slow_to_import"])])
    print(server() == begun, os.path.exists(f"/proc/{begun}"))
"""


@pytest.mark.parametrize(
    ("jobs", "out"), [(["1", "2"], "imported\n[2, 4]\nTrue True\n"), ([], "[]\nFalse False\n")], ids=["jobs", "no jobs"]
)
def test_workers_come_from_the_process_that_has_begun_to_import_and_without_jobs_it_ends(jobs, out, tmp_path):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.0)\nprint('imported', flush=True)")
    (tmp_path / "jobs.py").write_text(AHEAD)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "jobs.py", *jobs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout == out, done.stderr


def doubled(job, tell):
    tell(job)
    if job == "bad":
        raise ValueError("no")
    return 2 * job


def test_without_workers_jobs_run_here_and_one_that_fails_leaves_the_others_alone():
    here = run_jobs(lambda job, tell: (doubled(job, tell), os.getpid()), [1, "bad", 3], workers=0, preload=[])
    ends = {message.job: (message.kind, message.value) for message in here if message.kind != "progress"}
    assert ends == {0: ("done", (2, os.getpid())), 1: ("error", "ValueError: no"), 2: ("done", (6, os.getpid()))}


def test_without_workers_ctrl_c_reaches_the_caller():
    def interrupted(job, tell):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(interrupted, [1, 2], workers=0, preload=[]))


UNGUARDED = """
import clep
config = {"cells": [["naive"]], "controls": [], "seeds": [0, 1], "learner": {"epochs": 1}}
config["stream"] = {"samples_per_experience": 16}
clep.compare(config)
"""


@pytest.mark.slow
def test_a_script_without_the_guard_is_told_what_to_write_and_runs_nothing_twice(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    uri = empty_store(tmp_path)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("clep.errors.ConfigError: workers: each worker process imports the ")
    runs = client_of(uri).search_runs([client_of(uri).get_experiment_by_name("clep").experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]  # the comparison itself


@pytest.mark.slow
def test_a_comparison_without_workers_has_the_numbers_of_one_with_them(tmp_path):
    empty_store(tmp_path)
    small = ["stream.samples_per_experience=32", "network.hidden=[16]", "learner.epochs=2", "seeds=[0,1]"]
    config = {"cells": [["naive"], ["awake_rehearsal", "sleep_replay"]], "controls": []}
    here, there = (clep.compare(config, small, workers=workers) for workers in (0, 2))
    assert [run.accuracy_matrix for run in here.runs] == [run.accuracy_matrix for run in there.runs]
    assert len(here.runs) == 4


WARNINGS = """
import warnings
from clep.errors import CheckpointWarning, UnusedWarning
from clep.workers import run_jobs

def warns(job, tell):
    warnings.warn("mir had no effect", UnusedWarning)
    warnings.warn(f"clep-state/{job:032x}/experience-0001.ckpt cannot be written", CheckpointWarning)
    warnings.warn("of a library")
    warnings.warn_explicit("to its authors", DeprecationWarning, "/site-packages/library.py", 1)

warnings.simplefilter("always")  # as Avalanche does

if __name__ == "__main__":
    warnings.showwarning = lambda message, category, *place: print(category.__name__, message)
    print([message.kind for message in run_jobs(warns, [0, 1, 2], workers=1, preload=[])])
"""


def test_what_workers_warn_of_is_told_once_by_the_parent(tmp_path):
    (tmp_path / "jobs.py").write_text(WARNINGS)
    done = subprocess.run([sys.executable, "jobs.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "UnusedWarning mir had no effect",
        f"CheckpointWarning clep-state/{0:032x}/experience-0001.ckpt cannot be written",
        "['done', 'done', 'done']",
    ]
    assert done.stderr.count("UserWarning: of a library") == 3
    assert "to its authors" not in done.stderr
