"""Compare composed sets of strategies over seeds: one run per cell and seed, all under one parent run in MLflow."""

import tempfile
import time
from pathlib import Path

from clep.pipelines import class_incremental

from clep import report, run_names, tracking
from clep.comparison import Cell, Ledger, check, page, parent, plan, run_missing
from clep.config import Config, label, replace, to_yaml
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
        KeyboardInterrupt: on Ctrl-C; running runs and the parent run are then KILLED in MLflow.
    """
    started = time.perf_counter()
    cells = [(Cell(label(names)), replace(config, strategies=names)) for names in config.cells]
    jobs = plan(cells, config.seeds)
    classes = check(jobs)
    uri, experiment_id = tracking.open_store(config.tracking)
    with tracking.Run(
        uri,
        experiment_id,
        tracking.run_name(config.tracking, run_names.of_comparison(config)),
        tags=tracking.provenance() | {"comparison": "true"} | tracking.own_tags(config.tracking),
        params=parent.shared_params(jobs),
        description=config.tracking.note,
    ) as record:
        record.text(to_yaml(config), "config.yaml")
        ledger = Ledger(uri, experiment_id, resume=resume)
        results = run_missing(
            class_incremental.run,
            jobs,
            ledger,
            workers=config.workers,
            parent_run_id=record.run_id,
        )
        order = [cell.label for cell, _ in cells]
        runs = sorted(results, key=lambda result: order.index(result.label))  # stable: seeds stay in their order
        seconds = {"total": time.perf_counter() - started}
        comparison = Comparison(record.run_id, uri, runs, classes, seconds)
        with tempfile.TemporaryDirectory() as folder:
            about = report.about_comparison(config, uri, record.run_id, ledger.code(jobs))
            files = list(page.write(comparison, Path(folder), about))
            picture = parent.overview(files, Path(folder))
            link = parent.view(record, jobs, runs, ledger)
            text = parent.describe(comparison, experiment_id, link=link, picture=picture)
            page.attach(record, filter(None, [*files, picture]), tracking.described(config.tracking, text))
        record.log(parent.numbers(comparison.answer), 0)
    return comparison
