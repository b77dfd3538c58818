"""A lock on a file, which its process takes with it when it dies."""

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

_LOOK_SECONDS = 0.25  # SQLite's own waiting is deaf to Ctrl-C
_TELL_SECONDS = 1.5


class Held(TimeoutError):
    """Another process holds the lock; the message says which, if that is known."""


@contextmanager
def locked(path: Path, what: str, *, patience: float) -> Iterator[None]:
    """Hold the lock of a file; whoever waits for it says so once, and for whom.

    The lock is one of SQLite: the same on every platform, and released when its process dies.

    Args:
        path: what the lock is for; it lies beside it.
        what: what is locked, for the line on stderr and the message.
        patience: seconds to wait.

    Raises:
        Held: if another process holds it for longer.

    Example:
        >>> from pathlib import Path
        >>> with locked(Path("mlflow.db"), "the store", patience=1):
        ...     pass
    """
    holder = Path(f"{path}.holder")
    with closing(sqlite3.connect(f"{path}.lock", timeout=0, isolation_level=None)) as lock:
        _wait(lock, holder, what, patience)
        with suppress(OSError):  # only words for those who wait
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                holder.unlink(missing_ok=True)


def _wait(lock: sqlite3.Connection, holder: Path, what: str, patience: float) -> None:
    started, told = time.monotonic(), False
    while True:
        try:
            lock.execute("BEGIN EXCLUSIVE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
        waited = time.monotonic() - started
        if waited >= patience:
            raise Held(f"{_name(holder)} has held the lock of {what} for {waited:.0f} s")
        if waited >= _TELL_SECONDS and not told:
            print(f"clep: waiting for {what}, which {_name(holder)} holds; Ctrl-C ends the waiting", file=sys.stderr)
            told = True
        time.sleep(min(_LOOK_SECONDS, patience))


def _name(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
