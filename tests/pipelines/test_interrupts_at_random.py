"""Ctrl-C, once or many times, at any moment of a command from its first imports to its end."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest

from tests.pipelines.conftest import WORDS

_MOMENTS = 24
COMMANDS = {
    "run": ["run"],
    "compare": ["compare", "cells=[[naive],[joint]]", "controls=none", "seeds=[0,1]", "workers=2"],
}
_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 75}
_STARTING = 0.4  # seconds, for Python itself and the first modules
_AT_MOST = 10  # seconds to the end; five on an idle machine, and longer where a whole command takes long, too


def pressed(words, folder, uri, after, number, times, generator):
    """Start a command and send it a signal some times from a moment on: exit code, stdout, stderr, seconds to the end,
    what is left of it in the temporary folder, processes that are left."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        process = subprocess.Popen(
            [sys.executable, "-m", "clep", *words, *WORDS, "learner.epochs=30", f"tracking.uri={uri}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "TMPDIR": place},
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        begun = time.monotonic()
        for _ in range(times):
            if process.poll() is None:
                os.killpg(process.pid, number)
                time.sleep(generator.uniform(0, 0.6))
        stdout, stderr = process.communicate(timeout=60)
        seconds = time.monotonic() - begun
        deadline = time.monotonic() + 10
        while (left := of_session(process.pid)) and time.monotonic() < deadline:  # what serves workers ends with them
            time.sleep(0.1)
        return process.returncode, stdout, stderr, seconds, [path.name for path in Path(place).iterdir()], left


def of_session(number):
    """The processes of a session that are still there."""
    return subprocess.run(["ps", "-o", "pid=", "-s", str(number)], capture_output=True, text=True).stdout.split()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_killed_at_once_whenever_and_however_often_it_is_interrupted(command, tmp_path):
    uri, generator = f"sqlite:///{tmp_path}/mlflow.db", random.Random(0)
    for _ in range(2):  # the first one makes the store
        begun = time.monotonic()
        code, _, stderr, *_ = pressed(COMMANDS[command], tmp_path, uri, 600, signal.SIGINT, 0, generator)
        assert code == 0, stderr
        whole = time.monotonic() - begun
    codes, slowest = Counter(), 0.0
    for k in range(_MOMENTS):
        number = signal.SIGINT if k % 3 else generator.choice(list(_SIGNALS))
        after, times = generator.uniform(_STARTING, whole), generator.choice([1, 1, 2, 5])
        code, stdout, stderr, seconds, files, processes = pressed(
            COMMANDS[command], tmp_path, uri, after, number, times, generator
        )
        told = f"{number.name} x {times} after {after:.2f} of {whole:.1f} s: {code} in {seconds:.1f} s\n{stderr}"
        print(told)
        done = "Open the results" in stdout  # nothing is left but the end of Python itself
        assert code == _SIGNALS[number] or (done and code in (0, -number)), told
        assert "Traceback" not in stderr, told
        assert (files, processes) == ([], []), told
        assert seconds < max(_AT_MOST, whole / 2), told
        codes["done" if done else code] += 1
        slowest = max(slowest, seconds)
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("clep").experiment_id])
    statuses = Counter(run.info.status for run in runs)
    print(codes, statuses, f"slowest {slowest:.1f} s")
    assert set(statuses) <= {"KILLED", "FINISHED"}
    finished = [run for run in runs if run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags]
    assert len(finished) == codes["done"] + 2
