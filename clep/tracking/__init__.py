"""Everything that knows MLflow: where runs are stored, how a run is written, found and read back.

It never uses MLflow's global state (active run, tracking URI): runs can be nested, and processes can share a store.
"""

from typing import Any

from clep.renames import renamed
from clep.tracking.address import (
    beside,
    charts_link,
    curves_link,
    is_server,
    run_link,
    shown,
    state_folder,
    tracking_uri,
    ui_command,
)
from clep.tracking.again import go_on_command, into_command, resume_command
from clep.tracking.delivery import spared
from clep.tracking.departed import close_departed, is_departed
from clep.tracking.inputs import Input
from clep.tracking.locking import Held, locked
from clep.tracking.model import DATA, FOLDER, write_model
from clep.tracking.reading import StoredRun, children_of, experiment_name, points_of, run_of, runs_of
from clep.tracking.run import DESCRIPTION_LENGTH, Run, end, flatten
from clep.tracking.search import diverged, finished
from clep.tracking.settings import described, open_store, own_tags, run_name
from clep.tracking.store import artifacts, prepare
from clep.tracking.syncing import Synced, mention_undelivered, sync, undelivered
from clep.tracking.trouble import check_server
from clep.tracking.ui import Viewed
from clep.tracking.version import provenance, provenance_once
from clep.tracking.views import runs_filter, store_view
from clep.tracking.warming import warm_up

__all__ = [
    "DATA",
    "DESCRIPTION_LENGTH",
    "FOLDER",
    "Held",
    "Input",
    "Run",
    "StoredRun",
    "Synced",
    "Viewed",
    "artifacts",
    "beside",
    "charts_link",
    "check_server",
    "children_of",
    "close_departed",
    "curves_link",
    "described",
    "diverged",
    "end",
    "experiment_name",
    "finished",
    "flatten",
    "go_on_command",
    "into_command",
    "is_departed",
    "is_server",
    "locked",
    "mention_undelivered",
    "open_store",
    "own_tags",
    "points_of",
    "prepare",
    "provenance",
    "provenance_once",
    "resume_command",
    "run_link",
    "run_name",
    "run_of",
    "runs_filter",
    "runs_of",
    "shown",
    "spared",
    "state_folder",
    "store_view",
    "sync",
    "tracking_uri",
    "ui_command",
    "undelivered",
    "warm_up",
    "write_model",
]


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
