"""Find runs that have ended by their tags."""

from clep.errors import DivergenceError
from clep.tracking.reading import StoredRun, pages
from clep.tracking.store import client_of


def finished(uri: str, experiment_id: str, tag: str) -> dict[str, StoredRun]:
    """Value of a tag -> the latest finished run that has it."""
    return _found(uri, experiment_id, tag, "attributes.status = 'FINISHED'")


def diverged(uri: str, experiment_id: str, tag: str) -> dict[str, StoredRun]:
    """Value of a tag -> the latest run with it that ended in a `DivergenceError`; its tag `error` holds the message."""
    kind = DivergenceError.__name__
    return _found(uri, experiment_id, tag, f"attributes.status = 'FAILED' AND tags.error LIKE '{kind}:%'")


def _found(uri: str, experiment_id: str, tag: str, condition: str) -> dict[str, StoredRun]:
    found: dict[str, StoredRun] = {}
    for run in pages(client_of(uri), [experiment_id], f"{condition} AND tags.`{tag}` != ''"):
        found.setdefault(run.tags[tag], run)
    return found
