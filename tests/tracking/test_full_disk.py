"""A disk that is full from some moment of a command on, or for a while: a small one of its own, in memory.

Nothing ends in a traceback, results are printed, and once there is space the command that is named makes the store
whole: in the end it holds what it holds of an undisturbed run.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from clep import tracking
from tests.pipelines.conftest import WORDS

from .runs import stored

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow 3.17 in SQLAlchemy 2.1
]
FILLS = """
import contextlib, pathlib, clep

class Fills(clep.Strategy):
    \"\"\"Fills the disk before the experience that the file `fill` names, and frees it before another.\"\"\"

    def before_training_exp(self, strategy, **kwargs):
        if pathlib.Path("fill").exists():
            fill, free = map(int, pathlib.Path("fill").read_text().split())
            if strategy.clock.train_exp_counter == fill:
                fill_up()
            if strategy.clock.train_exp_counter == free:
                pathlib.Path("filler").unlink()

def fill_up():
    with contextlib.suppress(OSError), open("filler", "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
"""
NEVER = 99


class Disk:
    """A folder that holds little, with a strategy that fills it, and the command `clep` in it."""

    def __init__(self, folder, cache):
        self.folder, self.cache, self.uri = folder, cache, f"sqlite:///{folder}/mlflow.db"
        (folder / "fills.py").write_text(FILLS)

    def clep(self, *words):
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CLEP_CACHE": str(self.cache)}
        done = subprocess.run(
            [sys.executable, "-m", "clep", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert all(len(line) < 700 for line in done.stderr.splitlines()), done.stderr
        return done

    def fill(self):
        command = [sys.executable, "-c", f"{FILLS}\nfill_up()"]
        subprocess.run(command, cwd=self.folder, check=True)

    def free(self):
        for name in ("fill", "filler"):
            (self.folder / name).unlink(missing_ok=True)

    def runs(self):
        return tracking.runs_of(self.uri)


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        yield Disk(folder, tmp_path / "cache")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def matrix(text):
    return text.partition("accuracy matrix")[2].partition("seconds")[0]


RUN = ["run", *WORDS, "strategies=[fills:Fills]"]


@pytest.mark.parametrize(
    ("fill", "free"),
    [
        pytest.param(0, NEVER, id="from its first experience on"),
        pytest.param(2, NEVER, id="from the middle on"),
        pytest.param(4, NEVER, id="at its end"),
        pytest.param(1, 3, id="for a while"),
    ],
)
def test_a_disk_that_fills_up_in_mid_run_costs_no_result_and_the_store_is_made_whole(disk, fill, free):
    """Checkpoints, metrics, journal and the files at the end: none of them can be written."""
    undisturbed = disk.clep(*RUN)
    assert undisturbed.returncode == 0, undisturbed.stderr
    (disk.folder / "fill").write_text(f"{fill} {free}")
    disturbed = disk.clep(*RUN)
    assert disturbed.returncode == 0, disturbed.stderr
    assert matrix(disturbed.stdout) == matrix(undisturbed.stdout) != ""
    if free == NEVER:
        full = disk.clep("report")  # it can still be read
        assert full.returncode == 2, full.stderr
        disk.free()
        (command,) = re.findall("once there is space, go on with: clep (.*)", disturbed.stderr)
        again = disk.clep(*command.split())
        assert again.returncode == 0, again.stderr
        assert matrix(again.stdout) == matrix(undisturbed.stdout)
    else:
        assert disturbed.stderr.count("checkpoint: ") == 2, disturbed.stderr
    assert disk.clep("sync").stdout == "Nothing waits for delivery.\n"
    one, other = (stored(disk.uri, run.run_id) for run in disk.runs())
    assert one == other
    assert one[0] == "FINISHED"
    assert not (disk.folder / "clep-state").exists()


def test_a_disk_that_is_full_when_a_run_begins_is_named_and_the_next_command_runs(disk):
    assert disk.clep(*RUN).returncode == 0
    disk.fill()
    refused = disk.clep(*RUN)
    assert refused.returncode == 2
    assert re.fullmatch(r"clep: error: tracking\.uri: .*(full|space).*\n", refused.stderr), refused.stderr
    disk.free()
    assert disk.clep(*RUN).returncode == 0
    assert [run.status for run in disk.runs()] == ["FINISHED"] * 2


def test_a_comparison_whose_disk_fills_up_prints_its_table_and_is_made_whole(disk, tmp_path):
    words = ["compare", *WORDS, "cells=[['fills:Fills'],[naive]]", "controls=none", "seeds=[0]", "workers=1"]
    undisturbed = disk.clep(*words, f"tracking.uri=sqlite:///{tmp_path}/elsewhere.db")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert disk.clep(*RUN, "seed=1").returncode == 0  # makes the store
    (disk.folder / "fill").write_text(f"2 {NEVER}")
    disturbed = disk.clep(*words)
    assert disturbed.returncode == 0, disturbed.stderr

    def table(text):
        return [line.split()[:4] for line in text.splitlines() if line.startswith(("naive", "fills"))]

    assert table(disturbed.stdout) == table(undisturbed.stdout) != []
    disk.free()
    again = re.findall("once there is space, go on with: clep (compare .*)", disturbed.stderr)
    assert len(again) == 1, disturbed.stderr
    whole = disk.clep(*again[0].split())
    assert whole.returncode == 0, whole.stderr
    assert table(whole.stdout) == table(undisturbed.stdout)
    assert disk.clep("sync").stdout == "Nothing waits for delivery.\n"
    parent = next(run.run_id for run in disk.runs() if "comparison" in run.tags)
    assert tracking.run_of(disk.uri, parent).status == "FINISHED"
    ended = [run.tags["cell"] for run in disk.runs() if run.parent == parent and run.status == "FINISHED"]
    assert sorted(ended) == ["fills:Fills", "naive"]
    assert not (disk.folder / "clep-state").exists()
