"""A new SQLite store. MLflow needs seconds for it, and what a kill, an interrupt or a full disk leaves of it in between
no command can open: so it is made under another name, and gets its own when it is whole.
"""

import importlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from clep.tracking.blank import copy_blank, forget_blank, keep_blank

_logger = logging.getLogger(__name__)

_MAKING = ".making"


def make(path: Path, uri_of_file: str, artifacts: str) -> None:
    """Make the SQLite file of a store if there is none, or an empty one. Call it with the lock of the store.

    Args:
        path: the file.
        uri_of_file: address of an SQLite file with `{}` for its path.
        artifacts: folder of the artifacts of MLflow's own experiment.

    Raises:
        LookupError: if the file is the database of another program.
    """
    path = path.resolve()  # a link stays one
    tables = _tables(path)
    if tables and "experiments" not in tables:
        raise LookupError("it is the database of another program, without MLflow's tables")
    if tables:
        return
    _clear(path)  # those of makers that have died: the lock is ours
    try:
        new = _named(path)
        if copy_blank(new):
            try:
                _make(new, uri_of_file, artifacts)
            except Exception as error:
                _logger.debug("the empty store is no good: %s", error)
                forget_blank()
                new = _named(path)
                _make(new, uri_of_file, artifacts)
        else:
            _make(new, uri_of_file, artifacts)
            keep_blank(new)
        os.replace(new, path)
    finally:
        _clear(path)


def _named(path: Path) -> Path:
    """A name for a file in the making.

    Each time another one: of one that failed, this process keeps a connection to the file that is gone.
    """
    return path.with_name(f"{path.name}{_MAKING}-{uuid4().hex[:8]}")


def _make(new: Path, uri_of_file: str, artifacts: str) -> None:
    """Let MLflow make what a file lacks."""
    store = importlib.import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore
    with _written_once(new):
        store(uri_of_file.format(new), artifacts).engine.dispose()


@contextmanager
def _written_once(path: Path) -> Iterator[None]:
    """Wait for the disk at the end, and not after each of some hundred migrations: nobody knows the file before."""
    event, engines = importlib.import_module("sqlalchemy.event"), importlib.import_module("sqlalchemy.engine").Engine

    def hurry(connection: Any, record: Any) -> None:
        is_sqlite = isinstance(connection, sqlite3.Connection)
        if is_sqlite and connection.execute("PRAGMA database_list").fetchone()[2] == str(path):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(engines, "connect", hurry)
    try:
        yield
    finally:
        event.remove(engines, "connect", hurry)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _tables(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path, timeout=20)) as database:  # raises if the file cannot be opened
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _clear(path: Path) -> None:
    """Remove files in the making, and SQLite's own beside them."""
    for left in path.parent.iterdir():
        if left.name.startswith(path.name + _MAKING):
            with suppress(OSError):
                left.unlink()
