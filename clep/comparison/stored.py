"""A comparison as a store holds it: its configuration and the results of its runs."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import yaml

from clep import tracking
from clep.columns import of_stored
from clep.config import Config, compose
from clep.errors import ConfigError
from clep.results import FILE, Comparison, Result
from clep.schema import label_of
from clep.tracking import StoredRun

COMPARISON_FILE = "comparison.json"
"""Name of the artifact with the fields of a `Comparison`."""
_CONFIG_FILE = "config.yaml"
_COMMIT_LENGTH = 12


@dataclass(frozen=True)
class StoredComparison:
    """A comparison of `clep compare` in its store.

    Attributes:
        uri: the store.
        run: the run of the comparison.
        config: its configuration, in the store and experiment where it is.
    """

    uri: str
    run: StoredRun
    config: Config

    @property
    def run_id(self) -> str:
        """The id of the comparison."""
        return self.run.run_id

    @cached_property
    def children(self) -> list[StoredRun]:
        """Its runs, as the store describes them at the first look, the latest first."""
        return tracking.children_of(self.uri, self.run_id)

    def results(self) -> list[Result]:
        """The results of its runs, one per cell and seed: the latest that finished, or else how the latest ended."""
        found = results_of(self.uri, self.run, self.children)
        labels = [label_of(cell) for cell in self.config.cells]
        places = {place: i for i, place in enumerate(itertools.product(labels, self.config.seeds))}
        return sorted(found, key=lambda result: places.get((result.label, result.seed), len(places)))


def find(run_id: str, uri: str | None, key: str = "id") -> StoredComparison:
    """Find a comparison.

    Args:
        run_id: its id, as `clep compare` prints it, or the beginning of it.
        uri: the store; by default where `clep compare` stores it.
        key: what a refusal begins with.

    Raises:
        ConfigError: if there is no such run, or it is no comparison.
    """
    address = tracking.tracking_uri(uri)
    run = tracking.run_of(address, run_id, key)
    if not is_comparison(run):
        what = f"`{run.tags.get('mlflow.runName', run.run_id)}`"
        raise ConfigError(f"{key}: expected the id of a comparison, as `clep compare` prints it, got that of {what}")
    config = config_of(address, run)
    place = replace(config.tracking, uri=address, experiment=tracking.experiment_name(address, run.experiment_id))
    return StoredComparison(address, run, replace(config, tracking=place))


def load(run_id: str, uri: str | None) -> Comparison:
    """A comparison as `clep compare` returned it, with what has been added since.

    Args:
        run_id: its id, or the beginning of it.
        uri: the store; by default where `clep compare` stores it.

    Raises:
        ConfigError: if there is no such comparison.
    """
    stored = find(run_id, uri)
    results = stored.results()
    classes = classes_of(results, stored.children)
    seconds = _listed(stored.uri, stored.run).get("seconds", {})
    config = stored.config
    columns = of_stored(config.columns, config.metric)
    return Comparison(stored.run_id, stored.uri, results, classes, seconds, config.baseline, columns)


def results_of(uri: str, run: StoredRun, children: Iterable[StoredRun]) -> list[Result]:
    """The results of the runs of a comparison or a claim, one per cell and seed; see `latest`.

    Args:
        uri: the store.
        run: the comparison or claim.
        children: the runs that belong to it, the latest first.
    """
    listed = [
        replace(Result.from_json(values), cell=values["label"], tracking_uri=uri)
        for values in _listed(uri, run).get("runs", [])
    ]
    known = {result.run_id for result in listed}
    later = [child for child in children if child.run_id not in known]
    return latest([*(result for child in later if (result := read(uri, child)) is not None), *listed])


def classes_of(results: Iterable[Result], runs: Iterable[StoredRun]) -> int:
    """The number of classes: from the results, or for those of earlier versions from the tags of their runs.

    Args:
        results: the results.
        runs: their runs.
    """
    counted = [len({label for part in result.classes for label in part}) for result in results]
    tagged = [len(run.tags["class_order"].split(",")) for run in runs if "class_order" in run.tags]
    return max(counted, default=0) or max(tagged, default=0)


def config_of(uri: str, run: StoredRun) -> Config:
    """The configuration of a run or of a comparison."""
    return compose(yaml.safe_load(artifact(uri, run.run_id, _CONFIG_FILE)))


def is_comparison(run: StoredRun) -> bool:
    """Whether a run is that of a comparison, not of one of its cells."""
    return run.tags.get("comparison") == "true"


def label_of_run(run: StoredRun) -> str:
    """The label of the cell of a run, also of an earlier version."""
    return run.tags.get("clep.label") or run.tags.get("cell") or run.tags.get("strategies", "")


def read(uri: str, run: StoredRun) -> Result | None:
    """The result of the run of a cell; None if it has not ended, or is no such run."""
    label = label_of_run(run)
    if "strategies" not in run.tags or "seed" not in run.tags or run.status not in ("FINISHED", "FAILED"):
        return None
    if run.status == "FINISHED":
        values = json.loads(artifact(uri, run.run_id, FILE))
        return replace(Result.from_json(values), run_id=run.run_id, tracking_uri=uri, cell=label)
    return Result(
        run_id=run.run_id,
        status=run.status,
        tracking_uri=uri,
        stream=run.tags["stream"],
        network=run.tags["network"],
        strategies=run.tags["strategies"].split("+"),
        seed=int(run.tags["seed"]),
        error=run.tags.get("error"),
        cell=label,
    )


def version_of(tags: Mapping[str, str]) -> str:
    """The version and commit that made a run, from its tags.

    Example:
        >>> version_of({"version": "0.1.0", "git_commit": "abc"})
        'version 0.1.0, commit abc'
    """
    return f"version {tags['version']}" + (f", commit {tags['git_commit']}" if "git_commit" in tags else "")


def code_of(tags: Mapping[str, str]) -> str:
    """The same as one word, with a commit that is as short as people write it.

    Example:
        >>> code_of({"version": "0.1.0", "git_commit": "0123456789abcdef-dirty"})
        '0.1.0@0123456789ab-dirty'
    """
    commit, *changed = tags.get("git_commit", "").split("-")
    return "-".join([f"{tags['version']}@{commit[:_COMMIT_LENGTH]}".rstrip("@"), *changed])


def spoken_code(code: str) -> str:
    """What `code_of` says, in words.

    Example:
        >>> spoken_code("0.1.0@0123456789ab-dirty"), spoken_code("0.1.0")
        ('version 0.1.0, commit 0123456789ab-dirty', 'version 0.1.0')
    """
    version, _, commit = code.partition("@")
    return version_of({"version": version} | ({"git_commit": commit} if commit else {}))


class OfCell(Protocol):
    """What belongs to a cell and a seed, such as a run or its result."""

    @property
    def label(self) -> str:
        """The label of the cell."""
        ...

    @property
    def seed(self) -> int:
        """The seed."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it did not finish."""
        ...


R = TypeVar("R", bound=OfCell)


def latest(runs: Iterable[R]) -> list[R]:
    """One run per cell and seed: the first that finished, or else the first; the cells keep their order.

    Args:
        runs: runs or results, the latest first.

    Example:
        >>> from clep.results import Result
        >>> def run(run_id, status):
        ...     return Result(run_id, status, "", "digits", "ep", ["naive"], seed=0)
        >>> [result.run_id for result in latest([run("c", "FAILED"), run("b", "FINISHED"), run("a", "FINISHED")])]
        ['b']
    """
    found: dict[tuple[str, int], R] = {}
    for run in runs:
        place = (run.label, run.seed)
        if place not in found or (found[place].failed and not run.failed):
            found[place] = run
    return list(found.values())


def artifact(uri: str, run_id: str, name: str) -> str:
    """The text of an artifact.

    Raises:
        ConfigError: if it cannot be read.
    """
    with tracking.artifacts(uri, run_id, name) as path:
        return path.read_text(encoding="utf-8")


def _listed(uri: str, run: StoredRun) -> dict[str, Any]:
    """What `comparison.json` holds; nothing if the comparison did not end."""
    try:
        values: dict[str, Any] = json.loads(artifact(uri, run.run_id, COMPARISON_FILE))
    except ConfigError:
        return {}
    return values
