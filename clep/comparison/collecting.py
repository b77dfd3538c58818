"""Collect stored runs into one comparison: which runs, in which cells, and whether they may be compared at all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from clep import tracking
from clep.columns import of_stored
from clep.comparison.labels import told_apart
from clep.comparison.mixtures import refuse_mixture, refuse_sizes
from clep.comparison.older import completed
from clep.comparison.stored import (
    classes_of,
    config_of,
    find,
    is_comparison,
    label_of_run,
    latest,
    read,
    results_of,
    version_of,
)
from clep.config import Config
from clep.errors import ConfigError
from clep.results import Comparison, Result
from clep.tracking import StoredRun

_ENDED = ("FINISHED", "FAILED")


@dataclass(frozen=True)
class Collected:
    """Stored runs as one comparison.

    Attributes:
        comparison: the runs, the latest of each cell and seed.
        config: that of the comparison or the run, if it is but one.
        code: version and commit behind the results, one line each.
        notes: what was left out, in words.
    """

    comparison: Comparison
    config: Config | None = None
    code: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Found(NamedTuple):
    """A run that was found; its result is read once it is known to be wanted."""

    run: StoredRun
    label: str
    result: Result | None = None

    @property
    def seed(self) -> int:
        return self.result.seed if self.result else int(self.run.tags["seed"])

    @property
    def failed(self) -> bool:
        return self.run.status != "FINISHED"


def collect(
    ids: Sequence[str] = (),
    *,
    uri: str | None = None,
    experiment: str | None = None,
    condition: str = "",
    mixed: bool = False,
    baseline: str = "",
) -> Collected:
    """Collect stored runs, whoever made them and with whichever version.

    Runs of one label and configuration are the seeds of a cell. Cells of one label and several configurations get
    longer labels. Searches and the parents of runs are no runs.

    Args:
        ids: comparisons, claims and runs, by their ids or the beginnings of them; without ids, experiment and condition
            the latest comparison.
        uri: the store; by default where `clep compare` stores runs.
        experiment: all runs of an experiment.
        condition: all runs that MLflow finds by a filter.
        mixed: whether runs on different data may be compared.
        baseline: label of the cell to compare with; empty for the best.

    Raises:
        ConfigError: if nothing is found, or if runs on different data are, naming what differs.
    """
    address = tracking.tracking_uri(uri)
    if ids and (experiment or condition):
        key = "experiment" if experiment else "filter"
        raise ConfigError(f"{key}: ids say already which runs to report; remove it or them")
    if not (ids or experiment or condition):
        ids = [_latest_comparison(address)]
    if len(ids) == 1 and is_comparison(run := tracking.run_of(address, ids[0])):
        return _of_one_comparison(address, run, baseline)
    found = list(_by_id(address, ids)) if ids else list(_by_filter(address, experiment, condition))
    ended = [each for each in found if each.run.status in _ENDED]
    if not ended:
        raise ConfigError(f"runs: `{tracking.shown(address)}` has no run to report that has ended; check the selection")
    if not mixed:
        refuse_mixture([(each.run, each.label) for each in ended])
    labels = told_apart([(each.run, each.label) for each in ended])
    ended.sort(key=lambda each: each.run.started, reverse=True)
    chosen = latest(each._replace(label=labels[each.run.run_id]) for each in ended)
    chosen.sort(key=lambda each: each.run.started)
    results = [completed(address, result) for each in chosen if (result := _result(address, each)) is not None]
    if not mixed:
        refuse_sizes(results)
    order = list(dict.fromkeys(result.label for result in results))
    results.sort(key=lambda result: (order.index(result.label), result.seed))
    classes = classes_of(results, [each.run for each in chosen])
    notes = list(_left_out(earlier=len(ended) - len(chosen), unfinished=len(found) - len(ended)))
    return Collected(
        Comparison("", address, results, classes, {}, baseline),
        _config(address, chosen[0].run) if len(chosen) == 1 else None,
        _code(each.run for each in chosen),
        notes,
    )


def _latest_comparison(uri: str) -> str:
    runs = tracking.runs_of(uri, condition="tags.comparison = 'true'")
    if not runs:
        text = "has no comparison; give ids, or --experiment NAME"
        raise ConfigError(f"id: `{tracking.shown(uri)}` {text}")
    return runs[0].run_id


def _of_one_comparison(uri: str, run: StoredRun, baseline: str) -> Collected:
    stored = find(run.run_id, uri)
    results = [completed(uri, result) for result in stored.results()]
    classes = classes_of(results, stored.children)
    config = stored.config
    columns = of_stored(config.columns, config.metric)
    comparison = Comparison(run.run_id, uri, results, classes, {}, baseline or config.baseline, columns)
    return Collected(comparison, stored.config, _code([run, *stored.children]))


def _config(uri: str, run: StoredRun) -> Config | None:
    """The configuration of a run; None if a version wrote it whose keys are no longer known."""
    try:
        return config_of(uri, run)
    except ConfigError:
        return None


def _code(runs: Iterable[StoredRun]) -> list[str]:
    return sorted({version_of(run.tags) for run in runs if "version" in run.tags})


def _by_id(uri: str, ids: Iterable[str]) -> Iterator[_Found]:
    """The runs of comparisons and claims, and single runs, each once."""
    seen: set[str] = set()
    for run_id in ids:
        run = tracking.run_of(uri, run_id)
        if _is_of_cell(run):
            found = [_Found(run, label_of_run(run))]
        else:
            children = tracking.children_of(uri, run.run_id)
            results = {result.run_id: result for result in results_of(uri, run, children) if result.run_id}
            if not results:
                name = run.tags.get("mlflow.runName", run.run_id)
                raise ConfigError(
                    f"id: `{name}` ({run.run_id}) holds no runs of cells that have ended; give another id"
                )
            runs = [tracking.run_of(uri, result_id) for result_id in results]
            found = [_Found(each, results[each.run_id].label, results[each.run_id]) for each in runs]
        yield from (each for each in found if each.run.run_id not in seen)
        seen |= {each.run.run_id for each in found}


def _by_filter(uri: str, experiment: str | None, condition: str) -> Iterator[_Found]:
    for run in tracking.runs_of(uri, experiment, condition):
        if _is_of_cell(run):
            yield _Found(run, label_of_run(run))


def _is_of_cell(run: StoredRun) -> bool:
    return "seed" in run.tags and "strategies" in run.tags


def _result(uri: str, found: _Found) -> Result | None:
    result = found.result or read(uri, found.run)
    return None if result is None else replace(result, cell=found.label)


def _left_out(*, earlier: int, unfinished: int) -> Iterator[str]:
    if earlier:
        yield f"Left out: {earlier} earlier run{'s' * (earlier > 1)} of the same cells and seeds."
    if unfinished:
        yield f"Left out: {unfinished} run{'s' * (unfinished > 1)} that did not end."
