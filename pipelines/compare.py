"""Compare composed sets of strategies over seeds: every cell a run of its own, all under one parent run in MLflow."""

import json
import tempfile
import time
from pathlib import Path

from clep.pipelines.cells import run_cells

from clep import metric_names, report, tracking
from clep.build import build_stream, build_training
from clep.config import Config, replace, to_dict, to_yaml
from clep.results import Comparison, Result

_CURVES = 21


def compare(config: Config) -> Comparison:
    """Run every cell of `config.cells` with every seed of `config.seeds`, `config.workers` at a time.

    A cell that fails does not stop the others; it has its status and error in the result.

    Raises:
        ConfigError, DataError: for anything that is wrong with a cell, before the first is trained.
        KeyboardInterrupt: on Ctrl-C; runs under way and the parent run are then KILLED in MLflow.
    """
    started = time.perf_counter()
    uri = tracking.tracking_uri(config.tracking.uri)
    jobs = [replace(config, strategies=cell, seed=seed) for cell in config.cells for seed in config.seeds]
    stream = build_stream(jobs[0])
    for job in jobs[:: len(config.seeds)]:
        build_training(job, stream)  # refuses what cannot be trained, before anything is
    experiment_id = tracking.prepare(uri, config.tracking.experiment)
    with tracking.Run(
        uri,
        experiment_id,
        f"compare {config.stream.name}: {len(config.cells)} cells x {len(config.seeds)} seeds",
        tags=tracking.provenance()
        | {"stream": config.stream.name, "network": config.network.name, "comparison": "true"},
        params=tracking.flatten(to_dict(config)),
    ) as parent:
        parent.text(to_yaml(config), "config.yaml")
        experiences = len(stream.evaluation)
        ended = dict(
            run_cells(jobs, workers=config.workers, uri=uri, parent_run_id=parent.run_id, experiences=experiences)
        )
        runs = [ended[index] for index in range(len(jobs))]
        seconds = {"total": time.perf_counter() - started}
        comparison = Comparison(parent.run_id, uri, runs, len(stream.class_order), seconds)
        _store(parent, experiment_id, comparison, experiences)
    return comparison


def _description(runs: list[Result], experiment_id: str, experiences: int, table: str) -> str:
    """Links to the curves of the runs (of one seed, where all would be too many to tell apart) and the table."""
    if len(runs) > _CURVES:
        runs = [run for run in runs if run.seed == runs[0].seed][:_CURVES]
    names = [metric_names.ACCURACY_SEEN, metric_names.FORGETTING_AVERAGE]
    names += [metric_names.FORGETTING_EXPERIENCE.format(experience=j) for j in range(experiences - 1)]
    lines = ["Curves over the strategies:", ""]
    for name in names:
        link = f"- [{name}]({tracking.curves_link([str(run.run_id) for run in runs], experiment_id, name)})"
        if sum(map(len, lines)) + len(link) + len(table) < tracking.DESCRIPTION_LENGTH:
            lines.append(link)
    return "\n".join([*lines, "", "```", table, "```"])


def _store(parent: tracking.Run, experiment_id: str, comparison: Comparison, experiences: int) -> None:
    """Figures and tables of the comparison, and a description of the parent run that links to the curves."""
    table = report.format_table(comparison.table)
    parent.text(json.dumps(comparison.to_json(), indent=2), "comparison.json")
    parent.text(table, "comparison.txt")
    finished = [run for run in comparison.runs if run.status == "FINISHED"]
    if not finished:
        return
    parent.describe(_description(finished, experiment_id, experiences, table))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "comparison.png")
        report.plot_comparison([run.to_json() for run in finished], path, classes=comparison.classes)
        parent.artifact(path)
