"""Stored comparisons as `clep compare` leaves them, made without training."""

import json

from clep import tracking
from clep.build import resolved
from clep.comparison import Ledger, parent, plan
from clep.comparison.stored import COMPARISON_FILE
from clep.config import cells_of, compose, to_dict, to_yaml
from clep.results import FILE, Comparison, Result


def result_of(job, uri, run_id="", accuracy=0.5, **changes):
    """A finished run of two experiences: accuracy 1 on each after training, `accuracy` on the first one at the end."""
    matrix = [[1.0, 0.0], [accuracy, 1.0]]
    numbers = {
        "accuracy": (accuracy + 1) / 2,
        "forgetting": 1 - accuracy,
        "forgetting_since_training": 1 - accuracy,
        "learned_accuracy": 1.0,
        "learned_in_training": 1.0,
        "accuracy_matrix": matrix,
        "accuracy_before_consolidation": matrix,
        "accuracy_seen": [1.0, (accuracy + 1) / 2],
        "sizes": [50, 50],
        "classes": [[0, 1], [2, 3]],
        "chance": 0.25,
        "seconds": {"train": 1.0, "total": 2.0},
        "memory": {"exemplars": 0, "exemplar_bytes": 0, "statistics_bytes": 0},
        "cell": job.cell,
    }
    return Result.of(job.config, uri, run_id, "FINISHED", **(numbers | changes))


def store_run(uri, job, *, parent_run_id=None, error="", tags=None, accuracy=0.5, **changes):
    """A run in the store: finished, or failed with `error`."""
    experiment = tracking.prepare(uri, job.config.tracking.experiment or "clep")
    config = resolved(job.config)
    usual = Ledger(uri, experiment, resume=False).tags(job) | {
        "stream": config.stream.name,
        "network": config.network.name,
        "strategies": "+".join(config.strategies),
        "seed": config.seed,
        "class_order": "0,1,2,3",
        "evaluate_on": config.stream.evaluate_on,
    }
    usual = {key: value for key, value in (usual | (tags or {})).items() if value is not None}
    run = tracking.Run(
        uri,
        experiment,
        f"{job.cell} seed {config.seed}",
        tags=tracking.provenance() | usual,
        params=tracking.flatten(to_dict(config)),
        parent_run_id=parent_run_id,
    )
    with run:
        result = result_of(job, uri, run.run_id, accuracy, **changes)
        run.text(to_yaml(config), "config.yaml")
        if not error:
            run.text(json.dumps(result.to_json()), FILE)
    if error:
        tracking.end(uri, run.run_id, "FAILED", error)
        return Result.of(job.config, uri, run.run_id, "FAILED", error=error, cell=job.cell)
    return result


def store_comparison(uri, source=None, overrides=(), *, accuracies=None, errors=None, ended=True):
    """A comparison in the store.

    Args:
        uri: the store.
        source, overrides: its configuration.
        accuracies: (label, seed) -> accuracy on the first experience at the end; 0.5 for the others.
        errors: (label, seed) -> why that run failed.
        ended: whether it came to its end; otherwise its last run is missing.
    """
    config = compose(source or {}, [*overrides, f"tracking.uri={uri}"])
    jobs = plan(cells_of(config), config.seeds)
    experiment = tracking.prepare(uri, config.tracking.experiment or "clep")
    record = tracking.Run(uri, experiment, "compare", tags=tracking.provenance() | parent.tags(jobs), params={})
    with record:
        record.text(to_yaml(config), "config.yaml")
        results = [
            store_run(
                uri,
                job,
                parent_run_id=record.run_id,
                error=(errors or {}).get((job.cell, job.config.seed), ""),
                accuracy=(accuracies or {}).get((job.cell, job.config.seed), 0.5),
            )
            for job in (jobs if ended else jobs[:-1])
        ]
        results.sort(key=lambda result: list(dict.fromkeys(job.cell for job in jobs)).index(result.cell))
        comparison = Comparison(record.run_id, uri, results, 4, {"total": 3.0}, config.baseline)
        if ended:  # without its page, whose figures take seconds
            record.text(json.dumps(comparison.to_json()), COMPARISON_FILE)
    return comparison
