"""Temporary folders that do not stay behind: one of a process that was killed is removed by the next command."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import util
from pathlib import Path

from clep import processes

_PREFIX = "clep-"
_OWNER = "process.json"  # in a folder: whose it is
_FILES = "files"
_AFTER_MULTIPROCESSING = -200  # its own priority is -100
_LONGEST = 65  # characters of a path below which libraries make their sockets; the system allows 104 in all


_left: list[Path] = []
_owned_now: list[Path] = []


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for a block.

    Example:
        >>> from clep import temporary
        >>> with temporary.folder() as path:
        ...     path.is_dir(), list(path.iterdir())
        (True, [])
        >>> path.exists()
        False
    """
    with _owned() as path:
        (path / _FILES).mkdir()
        yield path / _FILES


@contextmanager
def everything_within() -> Iterator[None]:
    """Let this process and those that it starts make all of their temporary files in one folder.

    For a process that ends with the block: what libraries keep there until then is gone after it.
    """
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with ExitStack() as stack:
        try:
            sweep()
            path = stack.enter_context(_owned())
        except OSError:  # no place for such files; whoever needs one will say so
            yield
            return
        if len(str(path)) <= _LONGEST:
            tempfile.tempdir = os.environ["TMPDIR"] = str(path)
        try:
            yield
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR", None)
            if variable is not None:
                os.environ["TMPDIR"] = variable


def sweep() -> None:
    """Remove the folders of this user's processes that have ended."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = json.loads((path / _OWNER).read_text(encoding="utf-8"))
            gone = path.stat().st_uid == os.getuid() and processes.is_gone(owner)
        except (OSError, ValueError, AttributeError):  # another user's, or no folder of ours
            continue
        if gone:
            shutil.rmtree(path, ignore_errors=True)


def remove_left() -> None:
    """Remove what waits for the end of the process, for a process that ends without Python's own end."""
    while _left:
        shutil.rmtree(_left.pop(), ignore_errors=True)


def remove_all() -> None:
    """Remove all folders of this process, for one that ends in the middle of its blocks."""
    _left.extend(_owned_now)
    remove_left()


@contextmanager
def _owned() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _owned_now.append(path)
    try:
        (path / _OWNER).write_text(json.dumps(processes.own()), encoding="utf-8")
        yield path
    finally:
        _owned_now.remove(path)
        if any(path.glob("pymp-*")):
            # Multiprocessing removes its own part when the process ends, and prints a traceback if it is gone by then.
            _left.append(path)
            util.Finalize(None, remove_left, exitpriority=_AFTER_MULTIPROCESSING)
        else:
            shutil.rmtree(path, ignore_errors=True)
