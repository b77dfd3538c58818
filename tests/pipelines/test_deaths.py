"""A comparison that is interrupted or loses a process: what has finished is told and kept, and nothing stays behind.

One cell finishes, and the next waits for good in the middle of its training, so that each moment is a certain one.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from clep import temporary, tracking
from clep.cli import main
from clep.errors import ConfigError
from tests.oracles.stores import empty_store
from tests.pipelines.conftest import WORDS

_KILLS = 5
WAITS = """
import os, pathlib, time, clep

class Waits(clep.Strategy):
    def after_training_exp(self, strategy, **kwargs):
        pathlib.Path(f"waits-{os.getpid()}").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)

class Hangs(clep.Strategy):
    \"\"\"As in a long call of a library: no signal is seen meanwhile.\"\"\"

    def after_training_exp(self, strategy, **kwargs):
        pathlib.Path(f"waits-{os.getpid()}").touch()
        import ctypes
        ctypes.CDLL(None).usleep(20_000_000)
"""


class Comparison:
    """`clep compare` of `naive` and a cell that waits, in a process of its own, from the moment that the cell waits."""

    def __init__(self, folder, cell="waits:Waits", **environment):
        (folder / "waits.py").write_text(WAITS)
        self.folder, self.uri = folder, f"sqlite:///{folder}/mlflow.db"
        self.place = Path(tempfile.mkdtemp(dir="/tmp"))
        words = [
            sys.executable,
            "-m",
            "clep",
            "compare",
            f"cells=[[naive],['{cell}']]",
            "seeds=[0]",
            "workers=1",
            "controls=none",
        ]
        self.process = subprocess.Popen(
            [*words, *WORDS, f"tracking.uri={self.uri}"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(self.place), **environment},
        )
        while not (waiting := list(folder.glob("waits-*"))):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        self.worker = int(waiting[0].name.removeprefix("waits-"))

    def runs(self):
        """Cell, or `parent` -> the run in MLflow."""
        store = mlflow.MlflowClient(tracking_uri=self.uri)
        found = store.search_runs([store.get_experiment_by_name("clep").experiment_id])
        return {run.data.tags.get("cell", "parent"): run for run in found}

    def statuses(self):
        return {name: run.info.status for name, run in self.runs().items()}

    def left(self):
        """Processes of its session that are still there."""
        found = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(self.process.pid)], capture_output=True, text=True)
        return [line for line in found.stdout.splitlines() if " Z" not in line]

    def gone_within(self, seconds):
        deadline = time.monotonic() + seconds
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.left()


@pytest.fixture
def started(tmp_path):
    all_started = []

    def start(*arguments, **options):
        all_started.append(Comparison(tmp_path, *arguments, **options))
        return all_started[-1]

    yield start
    for each in all_started:
        for line in each.left():
            os.kill(int(line.split()[0]), signal.SIGKILL)
        each.process.communicate()


@pytest.mark.parametrize(
    ("number", "to_group", "code", "environment"),
    [
        (signal.SIGINT, True, 130, {}),
        pytest.param(signal.SIGINT, False, 130, {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, True, 75, {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, 75, {"SLURM_JOB_ID": "7"}, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, 129, {}, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_comparison_shows_what_has_finished(started, number, to_group, code, environment):
    """From a terminal a signal reaches every process, from `kill` the parent alone."""
    comparison = started(**environment)
    begun = time.monotonic()
    (os.killpg if to_group else os.kill)(comparison.process.pid, number)
    stdout, stderr = comparison.process.communicate(timeout=60)
    assert time.monotonic() - begun < 10  # five on an idle machine
    assert comparison.process.returncode == code, stderr
    assert comparison.statuses() == {"parent": "KILLED", "naive": "FINISHED", "waits:Waits": "KILLED"}
    assert stdout == ""
    assert re.search(r"^naive +-?\d", stderr, re.MULTILINE)
    parent = comparison.runs()["parent"].info.run_id
    assert f"go on with: clep compare --resume {parent}" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert "leaked" not in stderr  # locks and objects that nobody has let go
    assert comparison.gone_within(1)
    assert list(comparison.place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["waits:Waits", "waits:Hangs"])
def test_the_workers_of_a_killed_parent_end_within_two_seconds_and_the_next_command_closes_its_runs(
    started, cell, capsys, monkeypatch
):
    comparison = started(cell)
    comparison.process.kill()
    comparison.process.communicate()
    assert comparison.gone_within(4)  # two on an idle machine
    assert comparison.statuses()["parent"] == "RUNNING"
    assert main(["report", f"tracking.uri={comparison.uri}"]) == 0
    parent = comparison.runs()["parent"].info.run_id
    assert "KILLED in MLflow now; go on with: clep compare --resume " + parent in capsys.readouterr().err
    assert comparison.statuses() == {"parent": "KILLED", "naive": "FINISHED", cell: "KILLED"}
    monkeypatch.setattr(tempfile, "tempdir", str(comparison.place))
    temporary.sweep()
    assert list(comparison.place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_after_a_death_what_is_missing_is_run_and_nothing_else(started, victim, tmp_path):
    comparison = started()
    os.kill(comparison.process.pid if victim == "parent" else comparison.worker, signal.SIGKILL)
    comparison.process.communicate()
    assert comparison.gone_within(10)
    before = comparison.runs()
    (tmp_path / "go").touch()
    assert main(["compare", "--resume", before["parent"].info.run_id, f"tracking.uri={comparison.uri}"]) == 0
    store = mlflow.MlflowClient(tracking_uri=comparison.uri)
    after = store.search_runs([before["parent"].info.experiment_id])
    ended = [(run.data.tags["cell"], run.info.status) for run in after if "cell" in run.data.tags]
    died = "KILLED" if victim == "parent" else "FAILED"
    assert ended.count(("naive", "FINISHED")) == ended.count(("waits:Waits", "FINISHED")) == 1
    assert [status for _, status in ended if status != "FINISHED"] in ([], [died])
    assert store.get_run(before["naive"].info.run_id).info.end_time == before["naive"].info.end_time
    parent = store.get_run(before["parent"].info.run_id)
    assert (parent.info.status, "error" in parent.data.tags) == ("FINISHED", False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_comparison_whose_parent_is_killed_again_and_again_finishes_every_cell_once(tmp_path):
    uri, generator = empty_store(tmp_path), random.Random(1)
    command = [sys.executable, "-m", "clep", "compare"]
    words = ["cells=[[naive],[sleep_replay],[joint]]", "controls=none", "seeds=[0,1]", "workers=2", *WORDS]
    parent, seen = "", 0
    for _ in range(_KILLS):
        given = ["--resume", parent] if parent else words
        with open(os.devnull, "w") as nowhere:
            process = subprocess.Popen(
                [*command, *given, f"tracking.uri={uri}"], stdout=nowhere, stderr=nowhere, cwd=tmp_path
            )
        while process.poll() is None and len(runs := runs_in(uri)) <= seen:  # until it has begun something
            time.sleep(0.1)
        time.sleep(generator.uniform(0, 3))
        process.kill()
        process.wait()
        runs = runs_in(uri)
        parent, seen = next(run.run_id for run in runs if "comparison" in run.tags), len(runs)
    done = subprocess.run([*command, "--resume", parent, f"tracking.uri={uri}"], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = tracking.children_of(uri, parent)
    ended = Counter((run.tags["cell"], run.tags["seed"]) for run in runs if run.status == "FINISHED")
    print(Counter(run.status for run in runs))
    assert ended == {(cell, seed): 1 for cell in ("naive", "sleep_replay", "joint") for seed in ("0", "1")}
    assert {run.status for run in runs} <= {"FINISHED", "KILLED"}
    assert tracking.run_of(uri, parent).status == "FINISHED"


def runs_in(uri):
    """All runs of a store, also of one that is only being made."""
    try:
        return tracking.runs_of(uri)
    except ConfigError:
        return []
