"""Runs whose process is gone: a status can only be changed by the living, so the next command does it for them."""

import multiprocessing
import sys

from clep import processes
from clep.tracking.address import state_folder
from clep.tracking.again import how_to_go_on
from clep.tracking.journal import FILE
from clep.tracking.reading import StoredRun, runs_of
from clep.tracking.store import client_of
from clep.tracking.trouble import is_outage, quiet

_TAG = "clep.{}"


def process_tags() -> dict[str, str]:
    """The tags of a run that tell which process makes it.

    Example:
        >>> sorted(process_tags())
        ['clep.host', 'clep.pid', 'clep.started']
    """
    return {_TAG.format(key): value for key, value in processes.own().items()}


def is_departed(run: StoredRun) -> bool:
    """Whether a run is still said to be RUNNING by a process that is known to be gone.

    Args:
        run: as the store describes it.
    """
    described = {key: run.tags.get(_TAG.format(key), "") for key in processes.own()}
    return run.status == "RUNNING" and processes.is_gone(described)


def close_departed(uri: str) -> list[StoredRun]:
    """Mark the runs of this machine whose process is gone as KILLED, and say so in one line; the latest come first.

    A run whose end could not be stored is left to `clep sync`, which knows how it ended.

    Args:
        uri: the store, as `tracking_uri` returns it.
    """
    if multiprocessing.parent_process() is not None:  # a worker: its parent has looked
        return []
    host = processes.own()["host"]
    running = runs_of(uri, condition=f"attributes.status = 'RUNNING' AND tags.`{_TAG.format('host')}` = '{host}'")
    gone = [run for run in running if is_departed(run) and not (state_folder(uri, run.run_id) / FILE).exists()]
    client = client_of(uri)
    try:
        with quiet():
            for run in gone:
                client.set_terminated(run.run_id, "KILLED")
    except Exception as error:  # a full disk: the command may still read
        if not is_outage(error):
            raise
        return []
    if gone:
        print(f"clep: {_told(gone, uri)}", file=sys.stderr)
    return gone


def _told(gone: list[StoredRun], uri: str) -> str:
    ids = {run.run_id for run in gone}
    first = next(run for run in gone if run.parent not in ids)
    many = "1 run, whose process is" if len(gone) == 1 else f"{len(gone)} runs, whose processes are"
    text = f"{many} gone, {'is' if len(gone) == 1 else 'are'} KILLED in MLflow now"
    return f"{text}; {how_to_go_on(first.run_id, uri, first.tags)}"
