"""Jobs in processes of their own, without any training."""

import subprocess
import sys

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


WARNINGS = """
import warnings
from clep.errors import CheckpointWarning, UnusedWarning
from clep.workers import run_jobs

def warns(job, tell):
    warnings.warn("mir had no effect", UnusedWarning)
    warnings.warn(f"clep-state/{job:032x}/experience-0001.ckpt cannot be written", CheckpointWarning)
    warnings.warn("of a library")

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
