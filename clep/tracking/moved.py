"""A project folder that was moved or copied: its store names the artifacts by their old place.

MLflow keeps absolute paths in its database and has no call that changes them. So this module writes to the database
itself, and only where clep's own layout, a folder `mlartifacts` beside the SQLite file, leaves no doubt what is meant.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

FOLDER = "mlartifacts"
"""Of the artifacts, beside the SQLite file."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of the experiments that clep makes; the UI then opens on runs, not on traces."""

_OF_RUN = re.compile(rf"(?:file://)?(/.*)/{FOLDER}/([0-9a-f]{{32}})/artifacts(/.*)?")
_COLUMNS = ("model_versions", "source"), ("model_versions", "storage_location"), ("logged_models", "artifact_location")
_RUNNING = "RUNNING"  # its process may know this folder under another name, as in a container


def relocate(path: Path) -> None:
    """Let a store find the artifacts beside it, and put those of new runs there.

    An old folder that still exists stays as it is: a copy does not write into the original.

    Args:
        path: the SQLite file.

    Raises:
        sqlite3.Error: if the file cannot be written.
    """
    here = path.parent
    with closing(sqlite3.connect(path, timeout=60)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"experiments", "experiment_tags", "runs"} <= tables:
            return
        changes = [*_experiments(database, here), *_runs(database, here)]
        for table, column in _COLUMNS:
            if table in tables:
                changes += _others(database, table, column, here)
        if changes:
            with database:  # one transaction
                for statement, values in changes:
                    database.execute(statement, values)


def kept_beside(uri: str, here: Path) -> Path | None:
    """The folder beside a store that holds what an address of old names; None if there is none.

    Args:
        uri: of the artifacts of a run, or of some of them.
        here: folder of the store.
    """
    found = _OF_RUN.fullmatch(uri)
    if found is None:
        return None
    folder = here / FOLDER / found[2] / "artifacts"
    return Path(f"{folder}{found[3] or ''}") if folder.is_dir() else None


_Change = tuple[str, tuple[str, ...]]


def _experiments(database: sqlite3.Connection, here: Path) -> Iterator[_Change]:
    """The experiments of a folder that is not this one."""
    (tag, kind), *_ = KIND.items()
    query = "SELECT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id)"
    query += " WHERE key = ? AND value = ?"
    made_by_clep = [Path(place) for (place,) in database.execute(query, (tag, kind)) if place]
    moved = {str(place.parent) for place in made_by_clep if place.name == FOLDER and _elsewhere(place.parent, here)}
    for number, place in database.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall():
        for old in moved:  # MLflow's own experiment `Default` has lain there, too
            if place and place.startswith(f"{old}/"):
                new = f"{here}{place[len(old) :]}"
                yield "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, number)


def _runs(database: sqlite3.Connection, here: Path) -> Iterator[_Change]:
    query = "SELECT run_uuid, artifact_uri FROM runs WHERE status != ?"
    for run_id, uri in database.execute(query, (_RUNNING,)).fetchall():
        if new := _moved(uri, here):
            yield "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (new, run_id)


def _others(database: sqlite3.Connection, table: str, column: str, here: Path) -> Iterator[_Change]:
    for (uri,) in database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall():
        if new := _moved(uri, here):
            yield f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, uri)


def _moved(uri: str | None, here: Path) -> str:
    """The new address of what now lies beside the store; empty if nothing moved."""
    found = _OF_RUN.fullmatch(uri or "")
    if found is None or not _elsewhere(Path(found[1]), here):
        return ""
    return str(kept_beside(found[0], here) or "")


def _elsewhere(folder: Path, here: Path) -> bool:
    """Whether a folder is another one than `here`, and not the same one by another name."""
    return folder != here and not (folder.is_dir() and os.path.samefile(folder, here))
