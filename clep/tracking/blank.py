"""An empty store of this MLflow, kept among the user's caches: a copy of it spares a new store MLflow's migrations,
which take longer than a small run. Whatever is wrong with it, MLflow makes the store itself.
"""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path
from uuid import uuid4

from clep.destinations import cache_folder


def copy_blank(path: Path) -> bool:
    """Copy the empty store to a file; False if there is none that is whole, and then there is no such file.

    Args:
        path: of a file that does not exist.
    """
    try:
        shutil.copyfile(_place(), path)
        with closing(sqlite3.connect(path)) as database:  # MLflow would try a damaged one for minutes
            whole = database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except OSError:  # there is none, or no space
        path.unlink(missing_ok=True)
        return False
    except sqlite3.Error:
        whole = False
    if not whole:
        path.unlink(missing_ok=True)
        forget_blank()
    return whole


def keep_blank(store: Path) -> None:
    """Keep a store without its experiments, if none is kept; a cache that cannot be written only costs time.

    Args:
        store: a file that was just made, with nothing in it but what MLflow puts into each.
    """
    place = _place()
    draft = place.with_name(f"{place.name}.{uuid4().hex[:8]}")
    if place.exists():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for left in place.parent.glob(f"{place.name}.*"):  # by one that was killed; one at work does without
            left.unlink(missing_ok=True)
        shutil.copyfile(store, draft)
        with closing(sqlite3.connect(draft)) as database, database:
            database.execute("DELETE FROM experiments")  # MLflow's own: it has the folder of this store
        os.replace(draft, place)
    except (OSError, sqlite3.Error):
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def forget_blank() -> None:
    """Remove the empty store: it is no good."""
    with suppress(OSError):
        _place().unlink(missing_ok=True)


def _place() -> Path:
    return cache_folder() / f"store-mlflow-{metadata.version('mlflow')}.db"
