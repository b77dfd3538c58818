"""How everything that a run writes gets to its store: at once, or by a journal while the store is in trouble.

Training goes on whatever the store does. The first call that fails costs the time limit of a request; from then on
everything goes to the journal, and now and then a cheap look tells whether the store is back.
"""

import errno
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from clep.errors import ConfigError
from clep.tracking.address import is_server, shown, state_folder, sync_command
from clep.tracking.entries import CREATED, create, send
from clep.tracking.journal import FILE, Entry, Journal
from clep.tracking.store import client_of, short
from clep.tracking.trouble import is_outage, quiet, trouble

_SECONDS_BETWEEN_TRIES = 30.0
_HURRIED_SECONDS = 1.0
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
_FULL = 1 << 20  # bytes


class Delivery:
    """The way of one run to its store. `close` it when the run writes no more.

    Args:
        uri: the store.
        run_id: a run that exists; empty for one that `create` makes.
        patience: seconds to wait for another process that delivers the same journal.

    Attributes:
        run_id: its id in the store; while the store has not created it, a key of its own.
        lost: whether neither the store nor a disk has all of it, now that it is closed.

    Raises:
        Held: if another process has the journal for longer.
    """

    def __init__(self, uri: str, run_id: str = "", *, patience: float = 60.0) -> None:
        self.uri, self.run_id, self.lost = uri, run_id, False
        self._patience = patience
        self._journal: Journal | None = None
        self._tried = 0.0
        if run_id and (state_folder(uri, run_id) / FILE).exists():  # something must not be overtaken
            self._open()

    @cached_property
    def _client(self) -> Any:
        """MLflow's client of the store, which reads a locked file as soon as it is made."""
        return client_of(self.uri)

    @property
    def waiting(self) -> int:
        """How many entries the store lacks."""
        return self._journal.waiting if self._journal else 0

    def create(self, experiment_id: str, name: str, tags: Mapping[str, str], *, late: bool) -> None:
        """Create the run.

        Args:
            experiment_id, name, tags: of the run.
            late: whether it may be created when the store is back; otherwise its trouble is an error here.
        """
        key = uuid.uuid4().hex
        entry = {"kind": "create", "experiment_id": experiment_id, "run_name": name, "start_time": _now()}
        entry["tags"] = {**tags, CREATED: key}
        try:
            with quiet():
                if late:
                    self._look()
                self.run_id = create(self._client, entry)
        except Exception as error:
            if not is_outage(error):
                raise
            if not late:
                message = f"tracking.uri: the MLflow store `{shown(self.uri)}` takes no run ({short(error)})"
                raise ConfigError(message) from error
            self.run_id = key
            self._begin(error, entry)

    def send(self, kind: str, **values: Any) -> None:
        """Send an entry, or write it down.

        Args:
            kind: one of those of `clep.tracking.entries`.
            values: what it needs.

        Raises:
            Exception: if the store refuses it; what a store in trouble raises is dealt with.
        """
        entry: Entry = {"kind": kind, **values}
        if self._journal is not None:
            self._journal.append(entry)
            if time.monotonic() - self._tried >= _SECONDS_BETWEEN_TRIES:
                self._try_again()
            return
        try:
            with quiet():
                self._look()
                send(self._client, self.run_id, entry)
        except Exception as error:
            if not is_outage(error):
                raise
            self._begin(error, entry)

    def deliver(self, seconds: float = 0.0) -> str:
        """Send what waits, if the store is back; return what is in the way, if anything is.

        Args:
            seconds: how long the store may take to answer; 0 for what suits its kind.
        """
        self._tried = time.monotonic()
        if self._journal is None:
            return ""
        if reason := trouble(self.uri, seconds):
            return reason
        try:
            with quiet():
                self._deliver(self._journal)
        except Exception as error:  # even one that says more than trouble must not end a run now
            return short(error)
        self.leave()
        return ""

    def close(self, *, hurry: bool = False, again: str = "") -> None:
        """The run writes no more: try once more, and say what waits.

        Args:
            hurry: whether somebody waits for the process to end: the store has a second to answer. It may have been
                locked for a moment only, and a run that is stopped must not look like one that goes on.
            again: how to get what is lost, if anything is.
        """
        if self._journal is None:
            return
        self._try_again(_HURRIED_SECONDS if hurry else 0.0)
        if journal := self._journal:
            where = f"in {journal.folder}; `{sync_command(self.uri)}` delivers it"
            self.lost = not journal.on_disk
            if self.lost:
                where = "nowhere: the disk takes nothing. What is printed here is all there is"
                where += f"; once there is space, {again}" if again else ""
            _say(f"what the store `{shown(self.uri)}` lacks of run {self.run_id} is {where}")
            self.leave()

    def leave(self) -> None:
        """Let go of the journal; what is delivered of it is removed."""
        if self._journal is not None:
            self._journal.__exit__()
            self._journal = None

    def _try_again(self, seconds: float = 0.0) -> None:
        if not self.deliver(seconds):
            _say(f"the store `{shown(self.uri)}` is back and has all of run {self.run_id} until now")

    def _deliver(self, journal: Journal) -> None:
        for entry, again in journal.entries():
            if entry["kind"] == "create":
                self.run_id = journal.run_id = create(self._client, entry, again=again)
            elif "lost" in entry:
                _say(f"of run {self.run_id} there was no space to keep {entry['lost']}")
            else:
                files = journal.path_of(entry) if "kept" in entry else None
                try:
                    send(self._client, journal.run_id or self.run_id, entry, files, again=again)
                except Exception as error:
                    if is_outage(error):
                        raise
                    _say(f"the store refuses a part of run {self.run_id}, which is left out: {short(error)}")

    def _look(self) -> None:
        """MLflow waits 20 s for an SQLite file that is locked, and without end for a database that hangs; a request to
        a server has a time limit."""
        if not is_server(self.uri) and (reason := trouble(self.uri)):
            raise TimeoutError(reason)

    def _begin(self, error: Exception, entry: Entry) -> None:
        """Write down an entry whose delivery failed, and all that follow."""
        self._tried = time.monotonic()
        journal = self._open()
        journal.append(entry | {"again": True})  # it may have arrived, and only the answer was lost
        _say(
            f"the store `{shown(self.uri)}` is in trouble ({short(error)}). Run {self.run_id} goes on; what it records "
            f"waits in {journal.folder} until the store is back, or for `{sync_command(self.uri)}`"
        )

    def _open(self) -> Journal:
        about = {"store": shown(self.uri), "run": self.run_id}
        self._journal = Journal(state_folder(self.uri, self.run_id), about, patience=self._patience).__enter__()
        return self._journal


@contextmanager
def spared(what: str) -> Iterator[None]:
    """Go on if a disk takes no more: what is written here is worth less than what is already computed.

    Args:
        what: is written.

    Example:
        >>> with spared("the page"):
        ...     pass
    """
    try:
        yield
    except Exception as error:
        full = shutil.disk_usage(tempfile.gettempdir()).free < _FULL  # torch says so in words of its own
        if not full and getattr(error, "errno", None) not in _UNWRITABLE:
            raise
        _say(f"{what} could not be written ({short(error)})")


def _now() -> int:
    return int(time.time() * 1000)


def _say(text: str) -> None:
    print(f"clep: {text}", file=sys.stderr, flush=True)
