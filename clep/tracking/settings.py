"""The section `tracking` of a configuration, with MLflow's own environment variables where it says nothing."""

import os

from clep.schema import TrackingSection
from clep.tracking.address import tracking_uri
from clep.tracking.departed import close_departed
from clep.tracking.run import flatten
from clep.tracking.store import prepare
from clep.tracking.syncing import mention_undelivered

EXPERIMENT = "clep"
"""Name of the experiment, unless the configuration or `MLFLOW_EXPERIMENT_NAME` gives another."""


def open_store(section: TrackingSection) -> tuple[str, str]:
    """The address of the store, and the id of the experiment in it; both are created if needed.

    Runs in it whose process is gone are closed; see `clep.tracking.departed`. What it lacks of runs that have ended is
    mentioned.

    Raises:
        ConfigError: if the store cannot be used; see `clep.tracking.prepare`.
    """
    uri = tracking_uri(section.uri)
    experiment_id = prepare(uri, section.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
    close_departed(uri)
    mention_undelivered(uri)
    return uri, experiment_id


def run_name(section: TrackingSection, usual: str) -> str:
    """The name of what a command makes: the run of `clep run`, the parent of all other runs.

    Args:
        section: has a name, or else `MLFLOW_RUN_NAME` may give one.
        usual: its name otherwise.
    """
    return section.name or os.environ.get("MLFLOW_RUN_NAME") or usual


def own_tags(section: TrackingSection) -> dict[str, str]:
    """The tags that the user wants on every run; nested ones by dotted names."""
    return flatten(section.tags)


def described(section: TrackingSection, text: str) -> str:
    """The description of what a command makes: the user's note, then what clep says."""
    return "\n\n".join(filter(None, [section.note, text]))
