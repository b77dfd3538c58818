"""Compare cells over seeds: one run per cell and seed, all under one parent run in MLflow."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clep.pipelines import class_incremental

from clep import computed, report, run_names, temporary, tracking
from clep.cells import with_controls
from clep.columns import chosen, metrics_in
from clep.comparison import Interrupted, Job, Ledger, check, page, parent, plan, run_missing
from clep.comparison.stored import StoredComparison
from clep.config import Config, cells_of, public, to_yaml
from clep.errors import UnusedWarning
from clep.results import Comparison, Result


def compare(config: Config, *, resume: bool = False) -> Comparison:
    """Run every cell and every control of a configuration with each of its seeds, `config.workers` at a time.

    A run that fails does not stop the others; the result holds its status and error.

    Args:
        config: what to compare.
        resume: whether to reuse what the store already holds for the same configuration and version, from an
            interrupted comparison or a claim, instead of running it again.

    Raises:
        ConfigError, DataError: for anything wrong with a cell, before the first one is trained.
        KeyboardInterrupt: on Ctrl-C; running runs and the parent run are then KILLED in MLflow. A note of it is the
            command that goes on, and its `so_far` what had finished, if anything had.
    """
    config = replace(config, cells=with_controls(config))
    jobs = plan(cells_of(config), config.seeds)
    _check_numbers(config)
    classes = check(jobs)
    store = tracking.open_store(config.tracking)
    tags = tracking.provenance() | parent.tags(jobs)
    record = _record(config, store, tags, description=config.tracking.note)
    return _run(config, jobs, classes, record, Ledger(*store, resume=resume, any_code=_any_code(config)))


def extend(stored: StoredComparison) -> Comparison:
    """Run what a stored comparison lacks, and write its page anew.

    A run that failed is run again. Everything else that finished stays as it is.

    Args:
        stored: the comparison, with what it should become; see `clep.comparison.extending`.

    Raises:
        ConfigError, DataError, KeyboardInterrupt: as `compare`.
    """
    config, run = stored.config, stored.run
    jobs = plan(cells_of(config), config.seeds)
    _check_numbers(config)
    classes = check(jobs)
    store = tracking.open_store(config.tracking)
    record = _record(config, store, parent.tags(jobs), run_id=run.run_id)
    known = [result for result in stored.results() if not result.failed]
    return _run(config, jobs, classes, record, Ledger(*store, known=known, any_code=_any_code(config)))


def _check_numbers(config: Config) -> None:
    """Refuse metrics that cannot be computed, before anything is trained."""
    computed.check(list(dict.fromkeys([*config.metrics, *metrics_in(config.columns)])), config.metric)


def _name_empty(comparison: Comparison) -> None:
    """Name the columns that no run has a number for."""
    for column in comparison.columns:
        if column.of_run and all(column.of_run(run) is None for row in comparison.rows for run in row.finished):
            text = f"columns: no run has a number `{column.name}`"
            warnings.warn(text, UnusedWarning, stacklevel=2)


def _any_code(config: Config) -> bool:
    return config.tracking.reuse == "any_code"


def _record(config: Config, store: tuple[str, str], tags: Mapping[str, str], **options: Any) -> tracking.Run:
    """The MLflow run of a comparison, new or opened again. It has no parameters: cells added later differ in them."""
    name = tracking.run_name(config.tracking, run_names.of_comparison(config))
    return tracking.Run(*store, name, tags={**tags, **tracking.own_tags(config.tracking)}, params={}, **options)


def _run(config: Config, jobs: list[Job], classes: int, record: tracking.Run, ledger: Ledger) -> Comparison:
    started = time.perf_counter()
    with record:
        # First, so that an interrupted comparison knows what it lacks.
        record.text(to_yaml(public(config)), "config.yaml")
        columns = chosen(config.columns, config.metric)
        workers, order = config.workers, list(dict.fromkeys(job.cell for job in jobs))

        def compared(results: list[Result], baseline: str = "") -> Comparison:
            runs = sorted(results, key=lambda result: order.index(result.cell))  # stable: seeds stay in their order
            seconds = {"total": time.perf_counter() - started}
            return Comparison(record.run_id, record.uri, runs, classes, seconds, baseline, columns)

        try:
            results = run_missing(class_incremental.run, jobs, ledger, workers=workers, parent_run_id=record.run_id)
        except Interrupted as stop:
            stop.add_note(tracking.resume_command(record.run_id, record.uri))
            stop.so_far = compared(stop.results) if stop.results else None
            raise
        comparison = compared(results, config.baseline)
        _name_empty(comparison)
        with tracking.spared("the page of the comparison"), temporary.folder() as folder:
            about = report.about_comparison(config, record.uri, record.run_id, ledger.code(jobs))
            about = replace(about, notes=[*about.notes, *filter(None, [ledger.taken_over(jobs)])])
            files = list(page.write(comparison, folder, about))
            picture = parent.overview(files, folder)
            link = parent.view(record, jobs, comparison.runs, ledger)
            text = parent.describe(comparison, ledger.experiment_id, link=link, picture=picture)
            page.attach(record, filter(None, [*files, picture]), tracking.described(config.tracking, text))
        record.log(parent.numbers(comparison.answer), 0)
        record.failure = parent.failure(comparison.runs)
    return comparison
