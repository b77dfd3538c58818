"""Read what a store holds: a run by the beginning of its id, runs by a filter, the points of a metric."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clep.checks import unknown
from clep.errors import ConfigError
from clep.tracking.address import shown, sqlite_path
from clep.tracking.again import PARENT
from clep.tracking.store import client_of, short
from clep.tracking.trouble import check_server


class StoredRun(NamedTuple):
    """A run as the store describes it.

    Attributes:
        run_id, experiment_id, status: as in MLflow.
        started: in milliseconds since 1970.
        tags, params: name -> value.
    """

    run_id: str
    experiment_id: str
    status: str
    started: int
    tags: dict[str, str]
    params: dict[str, str]

    @property
    def parent(self) -> str:
        """The run that it belongs to; empty for none."""
        return self.tags.get(PARENT, "")


def run_of(uri: str, run_id: str, key: str = "id") -> StoredRun:
    """The run with an id, or the only one whose id begins so.

    Args:
        uri: the store, as returned by `tracking_uri`.
        run_id: the id or its beginning.
        key: what a refusal begins with.

    Raises:
        ConfigError: if there is none or more than one, or the store cannot be read.
    """
    if not run_id.isalnum():
        raise ConfigError(f"{key}: expected the id of a run or its beginning, got `{run_id}`")
    found = _search(uri, None, f"attributes.run_id LIKE '{run_id}%'", limit=2)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{key}: more than one run begins with `{run_id}`; give more of the id")
    raise ConfigError(
        f"{key}: `{shown(uri)}` has no run `{run_id}`; check the id, or give its store, as in tracking.uri=URI"
    )


def runs_of(uri: str, experiment: str | None = None, condition: str = "") -> list[StoredRun]:
    """Runs, the latest first; deleted ones are left out.

    Args:
        uri: the store, as returned by `tracking_uri`.
        experiment: name of the experiment; None for all.
        condition: an MLflow filter; empty for all.

    Raises:
        ConfigError: for an unknown experiment, a filter that MLflow refuses, or a store that cannot be read.
    """
    return _search(uri, experiment, condition)


def children_of(uri: str, run_id: str) -> list[StoredRun]:
    """The runs that belong to a run, the latest first."""
    return _search(uri, None, f"tags.`{PARENT}` = '{run_id}'")


def experiment_name(uri: str, experiment_id: str) -> str:
    """The name of an experiment."""
    return str(client_of(uri).get_experiment(experiment_id).name)


def points_of(uri: str, run_id: str, metric: str) -> dict[int, float]:
    """Step -> value of a metric of a run."""
    return {point.step: point.value for point in client_of(uri).get_metric_history(run_id, metric)}


def _search(uri: str, experiment: str | None, condition: str, limit: int = 0) -> list[StoredRun]:
    path, _ = sqlite_path(uri)
    if path is not None and not path.is_file():  # MLflow would create it
        raise ConfigError(f"tracking.uri: there is no file {path}; give the store of the runs, as in tracking.uri=URI")
    check_server(uri)
    try:
        client = client_of(uri)
        names = {each.name: each.experiment_id for each in client.search_experiments()}
    except Exception as error:  # MLflow passes on anything its stores raise
        raise ConfigError(f"tracking.uri: the MLflow store `{shown(uri)}` cannot be read ({short(error)})") from error
    if experiment is not None and experiment not in names:
        raise ConfigError(f"experiment: {unknown(experiment, names, 'experiment')}")
    ids = list(names.values()) if experiment is None else [names[experiment]]
    try:
        return pages(client, ids, condition, limit)
    except Exception as error:
        raise ConfigError(f"filter: MLflow refuses `{condition}` ({short(error)})") from error


def pages(client: Any, experiment_ids: Sequence[str], condition: str, limit: int = 0) -> list[StoredRun]:
    """Every run that MLflow finds, page by page, the latest first.

    Args:
        client: MLflow's client of a store.
        experiment_ids: where to look.
        condition: an MLflow filter.
        limit: how many are enough; 0 for all.
    """
    found: list[StoredRun] = []
    token = None
    while True:
        page = client.search_runs(
            list(experiment_ids), condition, order_by=["attributes.start_time DESC"], page_token=token
        )
        for run in page:
            info, data = run.info, run.data
            found.append(
                StoredRun(
                    info.run_id, info.experiment_id, info.status, info.start_time, dict(data.tags), dict(data.params)
                )
            )
        token = page.token
        if not token or (limit and len(found) >= limit):
            return found
