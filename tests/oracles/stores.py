"""An empty store of MLflow, made once and copied: MLflow takes a second of work for each that it makes itself."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from clep.tracking.store import client_of

_FOLDER = tempfile.TemporaryDirectory(prefix="clep-tests-")  # gone with this process


@cache
def _made():
    path = Path(_FOLDER.name) / "mlflow.db"
    client_of(f"sqlite:///{path}").search_experiments()
    return path


def empty_store(folder):
    """The address of the store in a folder; an empty one if there is none yet."""
    if not (folder / "mlflow.db").exists():
        shutil.copy(_made(), folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"
