"""The commands that go on with a stored run or comparison, as a user can type them."""

import shlex
from collections.abc import Sequence

from clep.tracking.address import shown, tracking_uri


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
