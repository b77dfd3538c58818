"""Compare cells over seeds: one run per cell and seed, all under one parent run in MLflow."""

import tempfile
import time
from pathlib import Path

from clep.pipelines import class_incremental

from clep import run_names, tracking
from clep.comparison import Job, Ledger, again, check, page, plan, run_missing
from clep.comparison.stored import StoredComparison
from clep.config import Config, cells_of, to_dict, to_yaml
from clep.results import Comparison


def compare(config: Config, *, resume: bool = False) -> Comparison:
    """Run every cell of `config.cells` with every seed of `config.seeds`, `config.workers` at a time.

    A run that fails does not stop the others; the result holds its status and error.

    Args:
        config: what to compare.
        resume: whether to reuse what the store already holds for the same configuration and version, from an
            interrupted comparison or a claim, instead of running it again.

    Raises:
        ConfigError, DataError: for anything wrong with a cell, before the first one is trained.
        KeyboardInterrupt: on Ctrl-C; running runs and the parent run are then KILLED in MLflow. A note of it is the
            command that goes on.
    """
    jobs = plan(cells_of(config), config.seeds)
    classes = check(jobs)
    uri = tracking.tracking_uri(config.tracking.uri)
    experiment_id = tracking.prepare(uri, config.tracking.experiment)
    parent = tracking.Run(
        uri,
        experiment_id,
        run_names.of_comparison(config),
        tags=tracking.provenance()
        | {"stream": config.stream.name, "network": config.network.name, "comparison": "true"},
        params=tracking.flatten(to_dict(config)),
    )
    return _run(config, jobs, classes, parent, Ledger(uri, experiment_id, resume=resume))


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
    classes = check(jobs)
    tracking.prepare(stored.uri, config.tracking.experiment)
    known = [result for result in stored.results() if not result.failed]
    parent = tracking.Run(
        stored.uri, run.experiment_id, run_names.of_comparison(config), tags={}, params={}, run_id=run.run_id
    )
    return _run(config, jobs, classes, parent, Ledger(stored.uri, run.experiment_id, known=known))


def _run(config: Config, jobs: list[Job], classes: int, parent: tracking.Run, ledger: Ledger) -> Comparison:
    started = time.perf_counter()
    with parent:
        try:
            parent.text(to_yaml(config), "config.yaml")  # first, so that an interrupted comparison knows what it lacks
            results = run_missing(
                class_incremental.run, jobs, ledger, workers=config.workers, parent_run_id=parent.run_id
            )
        except KeyboardInterrupt as stop:
            stop.add_note(again.resume(parent.run_id, parent.uri))
            raise
        order = list(dict.fromkeys(job.cell for job in jobs))
        runs = sorted(results, key=lambda result: order.index(result.cell))  # stable: seeds stay in their order
        seconds = {"total": time.perf_counter() - started}
        comparison = Comparison(parent.run_id, parent.uri, runs, classes, seconds, config.baseline)
        with tempfile.TemporaryDirectory() as folder:
            page.attach(parent, page.write(comparison, Path(folder)), page.describe(comparison, ledger.experiment_id))
    return comparison
