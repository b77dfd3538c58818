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
