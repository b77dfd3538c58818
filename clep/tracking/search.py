"""Find runs that have ended by their tags."""

from typing import NamedTuple

from clep.errors import DivergenceError
from clep.tracking.store import client_of


class Found(NamedTuple):
    """A run that has ended and its tags."""

    run_id: str
    tags: dict[str, str]


def finished(uri: str, experiment_id: str, tag: str) -> dict[str, Found]:
    """Value of a tag -> the latest finished run that has it."""
    return _found(uri, experiment_id, tag, "attributes.status = 'FINISHED'")


def diverged(uri: str, experiment_id: str, tag: str) -> dict[str, Found]:
    """Value of a tag -> the latest run with it that ended in a `DivergenceError`; its tag `error` holds the message."""
    kind = DivergenceError.__name__
    return _found(uri, experiment_id, tag, f"attributes.status = 'FAILED' AND tags.error LIKE '{kind}:%'")


def _found(uri: str, experiment_id: str, tag: str, condition: str) -> dict[str, Found]:
    client = client_of(uri)
    found: dict[str, Found] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"{condition} AND tags.`{tag}` != ''",
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            found.setdefault(run.data.tags[tag], Found(run.info.run_id, dict(run.data.tags)))
        token = page.token
        if not token:
            return found
