"""The commands that go on with a stored comparison, as a user can type them."""

import shlex

from clep.tracking.address import shown, tracking_uri


def resume_command(run_id: str, uri: str) -> str:
    """The command that runs what is missing in a comparison.

    Args:
        run_id: the id of the comparison.
        uri: its store.

    Example:
        >>> resume_command("0123abcd", "http://localhost:5000")
        'clep compare --resume 0123abcd tracking.uri=http://localhost:5000'
    """
    return _command("--resume", run_id, uri)


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
    return _command("--into", run_id, uri, *changes)


def _command(option: str, run_id: str, uri: str, *changes: str) -> str:
    place = [] if uri == tracking_uri(None) else [f"tracking.uri={shown(uri)}"]
    return shlex.join(["clep", "compare", option, run_id, *changes, *place])
