"""The store at an address: MLflow itself, an experiment, the artifacts of a run."""

import importlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from clep import temporary
from clep.errors import ConfigError
from clep.tracking.address import shown, sqlite_path
from clep.tracking.locking import locked
from clep.tracking.making import make
from clep.tracking.moved import FOLDER, KIND, kept_beside, relocate
from clep.tracking.trouble import check_server

# MLflow reads these only from the environment; the user's own settings stay.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server in trouble costs a run seconds instead of 4 minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # creating a store is not worth a message
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout holds results only
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

_AROUND = "(raised as a result of"  # SQLAlchemy's first line, before the error itself
_TRIES_TO_MAKE, _SECONDS_TO_MAKE = 60, 60.0  # MLflow's migrations of an empty PostgreSQL take up to half a minute


def prepare(uri: str, experiment: str) -> str:
    """Open the store, creating it and the experiment if needed, and return the experiment's id.

    Call it once before any `Run`; any number of processes may do so at the same time. Artifacts of a new experiment in
    an SQLite store go to the folder `mlartifacts` next to the file; a server decides for itself. A store that was moved
    or copied with this folder finds its artifacts again.

    Raises:
        ConfigError: if the store is damaged, unreachable or of another MLflow version, or the experiment was deleted.
    """
    path, query = sqlite_path(uri)
    check_server(uri)
    try:
        if path is None:
            return _once_made(uri, experiment)
        path.parent.mkdir(parents=True, exist_ok=True)
        load_mlflow()
        with locked(path, f"the store {path.name}", patience=120):  # two processes that make it at once would break it
            make(path, f"{uri.partition(':')[0]}:///{{}}{query}", str(path.parent / FOLDER))
            experiment_id = _experiment_id(uri, experiment, str(path.parent / FOLDER))
            relocate(path)
            return experiment_id
    except Exception as error:  # MLflow, SQLAlchemy, Alembic or the file system may stop a store from opening
        raise ConfigError(
            f"tracking.uri: the MLflow store `{shown(uri)}` cannot be used ({short(error)}). Check the address, or "
            "use another store, as in `tracking.uri=sqlite:///new.db`"
        ) from error


@contextmanager
def artifacts(uri: str, run_id: str, name: str, *former: str) -> Iterator[Path]:
    """A copy of one artifact of a run, a file or a folder, for a block.

    Args:
        uri, run_id: the store and the run.
        name: of the artifact.
        former: its names in older runs.

    Raises:
        ConfigError: if the store, the run or the artifact cannot be read.
    """
    with temporary.folder() as folder:
        yield _one_of(uri, run_id, (name, *former), folder)


def _one_of(uri: str, run_id: str, names: Sequence[str], folder: Path) -> Path:
    """A copy of the artifact that has the first of these names that there is."""
    problems: list[Exception] = []
    for name in names:
        try:
            return _copied(uri, run_id, name, folder)
        except Exception as error:  # MLflow passes on anything its many artifact stores raise
            problems.append(error)
    raise ConfigError(
        f"tracking.uri: `{names[0]}` of run `{run_id}` cannot be read from `{shown(uri)}` ({short(problems[0])}). "
        "Check the run id and the address"
    ) from problems[0]


def _copied(uri: str, run_id: str, name: str, folder: Path) -> Path:
    path, _ = sqlite_path(uri)
    if path is not None and not path.is_file():  # MLflow would create it
        raise FileNotFoundError(f"there is no file {path}")
    client = client_of(uri)
    # Reading changes nothing in a store that was moved: it may lie on a read-only disk.
    kept = None if path is None else kept_beside(client.get_run(run_id).info.artifact_uri, path.parent)
    if kept is None:
        return Path(client.download_artifacts(run_id, name, str(folder)))
    copy = shutil.copytree if (kept / name).is_dir() else shutil.copy
    return Path(copy(kept / name, folder / Path(name).name))


def load_mlflow() -> ModuleType:
    """Import MLflow with our settings, only when needed: it takes 2 s, and `clep --help` works without it."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import mlflow

    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())  # in case it was imported before
    return mlflow


def client_of(uri: str) -> Any:
    """MLflow's client of a store."""
    return load_mlflow().MlflowClient(tracking_uri=uri)


def short(error: BaseException) -> str:
    """The first line of an error that says something, without passwords."""
    lines = shown(str(error).strip() or type(error).__name__).splitlines()
    return next((line for line in lines if not line.startswith(_AROUND)), lines[0])[:300]


def _once_made(uri: str, experiment: str) -> str:
    """The id of an experiment on a server or in a database, which other processes may be making just now."""
    made_elsewhere = importlib.import_module("sqlalchemy.exc")
    for _ in range(_TRIES_TO_MAKE):
        try:
            return _experiment_id(uri, experiment, None)
        except (made_elsewhere.IntegrityError, made_elsewhere.ProgrammingError):  # their table was there first
            time.sleep(_SECONDS_TO_MAKE / _TRIES_TO_MAKE)
    return _experiment_id(uri, experiment, None)


def _experiment_id(uri: str, name: str, artifact_location: str | None) -> str:
    client = client_of(uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location, tags=KIND))
        except load_mlflow().MlflowException:
            found = client.get_experiment_by_name(name)  # servers have no lock: another process may have been faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise LookupError(f"`{name}` was deleted: restore id {found.experiment_id} or change `tracking.experiment`")
    return str(found.experiment_id)
