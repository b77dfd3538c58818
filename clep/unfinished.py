"""Runs that have not ended: what each keeps on disk to go on, and how to find the one to go on with.

A run has a folder while it runs, and it stays if the run does not finish: `run.json` says what was run, and its
checkpoints are beside it. A lock tells a run that goes on from one whose process is gone.
"""

import json
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from clep import tracking
from clep.checkpoints import Checkpoints, Saved, files
from clep.config import Config, compose, public, to_dict
from clep.errors import CheckpointWarning, ConfigError
from clep.identity import TAG

_RECORD = "run.json"


@dataclass(frozen=True)
class Record:
    """What was run.

    Attributes:
        run_id: the MLflow run.
        config: its configuration, as plain values.
        identity: what its result is of, as tags; see `clep.build.identity`.
        name: of the MLflow run.
        tags: of the MLflow run.
        parent_run_id: the MLflow run that it belongs to, if any.
        started: when it began, in seconds since 1970.
        fork: the run and the number of experiences that it went on from, if any.
    """

    run_id: str
    config: dict[str, Any]
    identity: dict[str, str]
    name: str
    tags: dict[str, str]
    parent_run_id: str | None
    started: float
    fork: dict[str, Any] = field(default_factory=dict)

    def composed(self, uri: str, changes: list[str] | None = None) -> Config:
        """The configuration, with runs in the store `uri`.

        Args:
            uri: the store; the record itself holds no address, which could have a password in it.
            changes: `key=value` texts to change in it.
        """
        config = dict(self.config)
        config["tracking"] = {**config["tracking"], "uri": uri}
        return compose(config, changes or [])


@dataclass(frozen=True)
class Start:
    """Where a run begins, if not with the first experience of a new network.

    Attributes:
        saved: the state to go on from.
        run_id: the MLflow run to go on in; empty for a new one.
        origin: for a fork, the run that the state is from as `run_id`, how many experiences it has learned as `after`,
            and whether the optimiser keeps its momentum as `optimizer`.
    """

    saved: Saved = field(default_factory=Saved)
    run_id: str = ""
    origin: Mapping[str, Any] | None = None


class Folder:
    """The folder of one run.

    Args:
        uri: the store of the run, as `tracking.tracking_uri` returns it.
        run_id: the run.
    """

    def __init__(self, uri: str, run_id: str) -> None:
        self.path = tracking.state_folder(uri, run_id)

    @contextmanager
    def held(self, record: Record | None = None) -> Iterator[None]:
        """Hold the run: meanwhile no other process can go on with it.

        A disk that takes nothing costs no training: it is said once that the run could not go on.

        Args:
            record: what is run, to be written down; None if it is known.

        Raises:
            ConfigError: if another process holds it.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._locked())
                if record is not None:
                    files.replace(self.path / _RECORD, json.dumps(asdict(record)).encode())
            except tracking.Held as error:
                text = f"run: {self.path.name} goes on in another process; wait for it, or stop it first"
                raise ConfigError(text) from error
            except (OSError, sqlite3.Error) as error:
                reason = getattr(error, "strerror", None) or error
                text = f"checkpoint: {self.path} cannot be written ({reason}); if this run is stopped, it begins again"
                warnings.warn(text, CheckpointWarning, stacklevel=3)
            yield

    def _locked(self) -> AbstractContextManager[None]:
        return tracking.locked(self.path / _RECORD, "a run", patience=0)

    @property
    def goes_on(self) -> bool:
        """Whether a process runs it now."""
        try:
            with self._locked():
                return False
        except tracking.Held:
            return True
        except (OSError, sqlite3.Error):  # a folder that only others may write to: they could run it
            return False

    def record(self) -> Record | None:
        """What was run; None if that is not known."""
        try:
            return Record(**json.loads((self.path / _RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def checkpoints(self, config: Config) -> Checkpoints | None:
        """Its checkpoints; None if the configuration wants none."""
        section = config.checkpoint
        if section.keep == "none":
            return None
        return Checkpoints(self.path, every_minutes=section.every_minutes, keep_all=section.keep == "all")

    def clear(self, *, keep: bool) -> None:
        """The run has finished: remove what it kept.

        Args:
            keep: whether its checkpoints stay, for `clep fork`.
        """
        checkpoints = Checkpoints(self.path)
        (self.path / f"{_RECORD}.lock").unlink(missing_ok=True)
        checkpoints.clear(keep_ended=keep)
        if keep:
            return
        (self.path / _RECORD).unlink(missing_ok=True)
        with suppress(OSError):  # something else is kept in it, or another run in the folder of all
            self.path.rmdir()
            self.path.parent.rmdir()


def find(run_id: str, uri: str) -> tuple[Folder, Record] | None:
    """The folder of a run; None if it has none.

    Args:
        run_id: its id, or the beginning of it.
        uri: its store.

    Raises:
        ConfigError: if several runs begin like this.
    """
    found = [each for each in everything(uri) if each[1].run_id.startswith(run_id)]
    if len(found) > 1:
        raise ConfigError(f"run: {len(found)} runs begin with `{run_id}`; give more of the id")
    return found[0] if found else None


def start_of(uri: str, run_id: str) -> Start:
    """Where a run that was stopped goes on.

    Args:
        uri: its store.
        run_id: the run.
    """
    folder = Folder(uri, run_id)
    record = folder.record()
    return Start(Checkpoints(folder.path).latest(), run_id, record.fork if record else None)


def everything(uri: str) -> list[tuple[Folder, Record]]:
    """All runs of a store that have a folder, the latest first."""
    root = tracking.state_folder(uri)
    folders = [Folder(uri, path.name) for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    found = [(folder, record) for folder in folders if (record := folder.record()) is not None]
    return sorted(found, key=lambda each: each[1].started, reverse=True)


def by_identity(uri: str) -> Mapping[str, str]:
    """Digest of the identity -> id of the latest run with it that can go on, since its process is gone."""
    return {
        record.identity[TAG]: record.run_id
        for folder, record in reversed(everything(uri))
        if not (folder.goes_on or record.fork)
    }


def plain(config: Config) -> dict[str, Any]:
    """A configuration as a record holds it: without credentials, and without the address of the store."""
    values = to_dict(public(config))
    return values | {"tracking": {**values["tracking"], "uri": None}}
