"""The commands that go on with a stored run or comparison, as a user can type them."""

import shlex
from collections.abc import Mapping, Sequence

from clep.tracking.address import shown, tracking_uri

PARENT = "mlflow.parentRunId"
"""MLflow's tag with the run that a run belongs to."""


def how_to_go_on(run_id: str, uri: str, tags: Mapping[str, str]) -> str:
    """What to do to go on with anything that was stopped.

    Args:
        run_id: the id of its run.
        uri: its store.
        tags: of its run.

    Example:
        >>> how_to_go_on("0123abcd", "http://localhost:5000", {"comparison": "true"})
        'go on with: clep compare --resume 0123abcd tracking.uri=http://localhost:5000'
    """
    if "comparison" in tags:
        return f"go on with: {resume_command(run_id, uri)}"
    if {"claim", "tune"} & tags.keys() and PARENT not in tags:
        return f"start the command of `{tags.get('mlflow.runName', run_id)}` again to go on"
    return f"go on with: {go_on_command(run_id, uri)}"


def go_on_command(run_id: str, uri: str) -> str:
    """The command that goes on with a run that was interrupted.

    Args:
        run_id: the id of the run.
        uri: its store.

    Example:
        >>> go_on_command("0123abcd", "http://localhost:5000")
        'clep resume 0123abcd tracking.uri=http://localhost:5000'
    """
    return _command(["resume", run_id], uri)


def resume_command(run_id: str, uri: str) -> str:
    """The command that runs what is missing in a comparison.

    Args:
        run_id: the id of the comparison.
        uri: its store.

    Example:
        >>> resume_command("0123abcd", "http://localhost:5000")
        'clep compare --resume 0123abcd tracking.uri=http://localhost:5000'
    """
    return _command(["compare", "--resume", run_id], uri)


def into_command(run_id: str, uri: str, *changes: str) -> str:
    """The command that adds to a comparison.

    Args:
        run_id: the id of the comparison.
        uri: its store.
        changes: `key=value` texts.

    Example:
        >>> into_command("0123abcd", "http://localhost:5000", "seeds=[3,4]")
        "clep compare --into 0123abcd 'seeds=[3,4]' tracking.uri=http://localhost:5000"
    """
    return _command(["compare", "--into", run_id, *changes], uri)


def _command(words: Sequence[str], uri: str) -> str:
    place = [] if uri == tracking_uri(None) else [f"tracking.uri={shown(uri)}"]
    return shlex.join(["clep", *words, *place])
