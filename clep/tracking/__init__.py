"""Everything that knows MLflow: where runs are stored, how a run is written, found and read back.

It never uses MLflow's global state (active run, tracking URI): runs can be nested, and processes can share a store.
"""

from typing import Any

from clep.renames import renamed
from clep.tracking.address import beside, curves_link, tracking_uri, ui_command
from clep.tracking.reading import StoredRun, children_of, experiment_name, points_of, run_of, runs_of
from clep.tracking.run import DESCRIPTION_LENGTH, Run, end, flatten
from clep.tracking.search import Found, diverged, finished
from clep.tracking.store import artifacts, prepare
from clep.tracking.version import provenance

__all__ = [
    "DESCRIPTION_LENGTH",
    "Found",
    "Run",
    "StoredRun",
    "artifacts",
    "beside",
    "children_of",
    "curves_link",
    "diverged",
    "end",
    "experiment_name",
    "finished",
    "flatten",
    "points_of",
    "prepare",
    "provenance",
    "run_of",
    "runs_of",
    "tracking_uri",
    "ui_command",
]


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
