"""The commands that go on with a comparison, as a user can type them."""

import shlex

from clep import tracking


def resume(run_id: str, uri: str) -> str:
    """The command that runs what is missing in a comparison.

    Args:
        run_id: the id of the comparison.
        uri: its store.

    Example:
        >>> resume("0123abcd", "http://localhost:5000")
        'clep compare --resume 0123abcd tracking.uri=http://localhost:5000'
    """
    return _command("--resume", run_id, uri)


def into(run_id: str, uri: str, *changes: str) -> str:
    """The command that adds to a comparison.

    Args:
        run_id: the id of the comparison.
        uri: its store.
        changes: `key=value` texts.
    """
    return _command("--into", run_id, uri, *changes)


def _command(option: str, run_id: str, uri: str, *changes: str) -> str:
    place = [] if uri == tracking.tracking_uri(None) else [f"tracking.uri={tracking.shown(uri)}"]
    return shlex.join(["clep", "compare", option, run_id, *changes, *place])
