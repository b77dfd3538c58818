"""Deliver what runs could not send to their store: `clep sync`."""

import multiprocessing
import os
import sqlite3
import sys
from dataclasses import dataclass, field
from typing import Any

from clep.errors import ConfigError
from clep.tracking.address import shown, state_folder, sync_command
from clep.tracking.delivery import Delivery
from clep.tracking.journal import FILE, about
from clep.tracking.locking import Held, locked

_NAMED = 3  # runs that a line can hold
_SECONDS = "60"  # a request may take: nothing waits for it but this


@dataclass
class Synced:
    """What `clep sync` did.

    Attributes:
        delivered: ids of the runs that the store now holds.
        left: id -> why the store still lacks a part of that run.
    """

    delivered: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything is left."""
        return bool(self.left)

    @property
    def failures(self) -> list[str]:
        """What is left and why; one line each."""
        return [f"run {run_id} is not delivered: {reason}" for run_id, reason in self.left.items()]

    def to_text(self) -> str:
        """The lines that `clep sync` prints."""
        if not (self.delivered or self.left):
            return "Nothing waits for delivery."
        return "\n".join(f"Delivered run {run_id}." for run_id in self.delivered) or "Nothing was delivered."

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {"delivered": self.delivered, "left": self.left}


def undelivered(uri: str) -> list[str]:
    """Ids of the runs with a journal for a store.

    Args:
        uri: the store, as returned by `clep.tracking.tracking_uri`.
    """
    folder = state_folder(uri)
    found = sorted(each.parent for each in folder.glob(f"*/{FILE}")) if folder.is_dir() else []
    return [each.name for each in found if about(each).get("store") == shown(uri)]


def mention_undelivered(uri: str) -> None:
    """Say in one line which runs that have ended wait for delivery, and how to deliver them.

    Args:
        uri: the store, as returned by `clep.tracking.tracking_uri`.
    """
    if multiprocessing.parent_process() is not None:  # a worker: its parent has said it
        return
    if waiting := [run_id for run_id in undelivered(uri) if not _goes_on(uri, run_id)]:
        many = "1 run has" if len(waiting) == 1 else f"{len(waiting)} runs have"
        first = ", ".join(run_id[:8] for run_id in waiting[:_NAMED])
        more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
        text = f"{many} something to deliver to the store: {first}{more}; `{sync_command(uri)}` does it"
        print(f"clep: {text}", file=sys.stderr)


def _goes_on(uri: str, run_id: str) -> bool:
    """Whether a process writes the journal of a run now."""
    try:
        with locked(state_folder(uri, run_id) / FILE, "a journal", patience=0):
            return False
    except Held:
        return True
    except (OSError, sqlite3.Error):  # a folder that cannot be written to
        return False


def sync(uri: str, run_id: str = "") -> Synced:
    """Deliver the journals of a store, each in order and each entry once.

    A run that is still going on delivers by itself, so it is left alone.

    Args:
        uri: the store, as returned by `clep.tracking.tracking_uri`.
        run_id: the only run to deliver, or the beginning of its id; empty for all.

    Raises:
        ConfigError: if nothing of that run waits.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _SECONDS)
    waiting = [each for each in undelivered(uri) if each.startswith(run_id)]
    if run_id and not waiting:
        raise ConfigError(
            f"id: nothing of a run `{run_id}` waits for the store `{shown(uri)}`; see `{sync_command(uri)}`"
        )
    done = Synced()
    for key in waiting:
        try:
            delivery = Delivery(uri, key, patience=0)
        except Held as held:
            done.left[key] = f"it is still going on ({held})"
            continue
        if reason := delivery.deliver():
            delivery.leave()
            done.left[key] = reason
        else:
            done.delivered.append(delivery.run_id)
    return done
