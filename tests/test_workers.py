"""Jobs in processes of their own, without any training."""

import subprocess
import sys

JOBS = """
import multiprocessing.forkserver, pathlib, re, signal
from clep.workers import run_jobs

def blocked(job, tell):
    tell("begun")
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

if __name__ == "__main__":
    messages = list(run_jobs(blocked, [0], workers=1, preload=[]))
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    masked = int(re.search(r"SigBlk:\\s*(\\w+)", pathlib.Path(f"/proc/{server}/status").read_text()).group(1), 16)
    print([(message.kind, message.value) for message in messages], bool(masked & 1 << signal.SIGINT - 1))
"""


def test_ctrl_c_never_reaches_the_process_that_workers_come_from_and_reaches_a_worker_that_listens(tmp_path):
    """Otherwise one pressed while it imports torch would end it with a traceback."""
    (tmp_path / "jobs.py").write_text(JOBS)
    done = subprocess.run([sys.executable, "jobs.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[('progress', 'begun'), ('done', False)] True\n", done.stderr
