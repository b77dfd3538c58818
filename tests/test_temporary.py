"""Temporary folders: gone after their block, and after a process that was killed at the next command."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from clep import temporary

KILLED = """
import os, signal, tempfile
from clep import temporary
with temporary.everything_within(), temporary.folder() as path:
    (path / "half.txt").write_text("half")
    tempfile.mkdtemp()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(monkeypatch):
    """Where temporary files go; empty, and with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(place)


def test_a_folder_is_gone_after_its_block_whatever_ends_it(place):
    def interrupted():
        with temporary.folder() as path:
            (path / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_is_swept_and_nothing_else(place):
    (place / "clep-of-somebody").mkdir()
    (place / "clep-damaged").mkdir()
    (place / "clep-damaged" / "process.json").write_text("[1]")
    with temporary.folder() as mine:
        subprocess.run([sys.executable, "-c", KILLED], check=False)
        assert len(list(place.iterdir())) == 4
        temporary.sweep()
        assert sorted(path.name for path in place.iterdir() if path.name not in str(mine)) == [
            "clep-damaged",
            "clep-of-somebody",
        ]
        assert mine.is_dir()


def test_everything_made_within_is_gone_with_it_and_processes_started_there_follow(place):
    code = "import tempfile; print(tempfile.mkdtemp())"
    with temporary.everything_within():
        (inside,) = place.iterdir()
        started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert {Path(tempfile.mkdtemp()).parent, Path(started.stdout.strip()).parent} == {inside}
    assert list(place.iterdir()) == []
    assert (os.environ["TMPDIR"], Path(tempfile.mkdtemp()).parent) == (str(place), place)


def test_a_long_place_is_left_as_it_is_since_sockets_made_there_would_not_fit(tmp_path, monkeypatch):
    (place := tmp_path / ("long" * 15)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with temporary.everything_within():
        assert tempfile.gettempdir() == str(place)


def test_without_any_place_commands_work_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with temporary.everything_within():
        assert tempfile.gettempdir() == str(tmp_path / "nowhere")


def test_a_process_that_ends_within_its_blocks_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.folder() as outer, temporary.folder() as inner:
        temporary.remove_all()
        assert not outer.exists()
        assert not inner.exists()
    assert list(tmp_path.iterdir()) == []
