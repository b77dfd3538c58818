"""Train one composed set of strategies on a class-incremental stream and record the run in MLflow."""

import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clep import metrics, report, tracking
from clep.build import build_stream, build_training, resolved
from clep.config import Config, label, to_dict, to_yaml
from clep.diagnostics.activity import Activity, free_phase_activity
from clep.equilibrium import Network
from clep.randomness import seed_globals
from clep.results import FILE, Result, plain_matrix, plain_row
from clep.streams import Stream
from clep.training import ExperienceReport, Training, TrainingResult

CHECKPOINT = "learner.ckpt"
"""Name of the artifact that `clep.load` reads."""
_HIDDEN_SAMPLES = 500


def run(
    config: Config,
    *,
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Run the pipeline of a configuration.

    Args:
        config: what to run; `cells`, `seeds` and `workers` are not looked at.
        parent_run_id: MLflow run that this one belongs to.
        tags: further tags of the MLflow run.
        on_progress: called with `{"run_id": ...}` at the start and `{"experience": i}` after each experience.

    Raises:
        ConfigError, DataError: before anything is trained.
        DivergenceError: if training diverged; the MLflow run is then FAILED and holds what came before.
        KeyboardInterrupt: on Ctrl-C; the MLflow run is then KILLED and holds what came before.
    """
    try:
        return _run(config, parent_run_id, tags or {}, on_progress or (lambda message: None))
    finally:
        # Lightning's trainer and what it trains refer to each other, so that the data of a run stay until the garbage
        # collector comes, which counts objects and not bytes: ten runs in one process held ten copies of MNIST.
        gc.collect()


def _run(
    config: Config, parent_run_id: str | None, tags: Mapping[str, str], tell: Callable[[dict[str, Any]], None]
) -> Result:
    started = time.perf_counter()
    with _reproducible(config):
        config = resolved(config)
        stream = build_stream(config)
        training = build_training(config, stream)
        sizes = [len(experience) for experience in stream.evaluation]
        uri = tracking.tracking_uri(config.tracking.uri)
        with tracking.Run(
            uri,
            tracking.prepare(uri, config.tracking.experiment),
            f"{label(config.strategies)} seed {config.seed}",
            tags=_tags(config, stream) | dict(tags),
            params=tracking.flatten(to_dict(config)),
            parent_run_id=parent_run_id,
        ) as record:
            tell({"run_id": record.run_id})
            record.text(to_yaml(config), "config.yaml")

            def on_experience(experience: ExperienceReport, so_far: TrainingResult) -> None:
                record.log(experience_metrics(experience, so_far, sizes), experience.index)
                for name, values in zip(
                    (tracking.TRAIN_LOSS, tracking.TRAIN_ACCURACY), _curves(experience), strict=True
                ):
                    record.log_series(name, values, [point[0] for point in experience.curve])
                epochs = epoch_accuracies(experience, sizes)
                done = sum(len(report.epochs) for report in so_far.reports) - len(epochs)
                record.log_series(tracking.ACCURACY_EPOCH, epochs, range(done + 1, done + 1 + len(epochs)))
                record.flush()
                tell({"experience": experience.index})

            trained = training.run(stream, on_experience)
            result = _result(config, record.run_id, uri, trained, sizes, time.perf_counter() - started)
            record.log(_final_metrics(result), len(sizes) - 1)
            hidden = _hidden_activity(training, stream) if config.learner.hidden_states else []
            for layer, activity in enumerate(hidden, start=1):
                steps = range(1, len(activity.magnitude) + 1)
                record.log_series(tracking.HIDDEN_MAGNITUDE.format(layer), activity.magnitude, steps)
                record.log_series(tracking.HIDDEN_PARTICIPATION.format(layer), activity.participation, steps)
            _store(record, training, result, hidden)
    return result


def experience_metrics(experience: ExperienceReport, result: TrainingResult, sizes: list[int]) -> dict[str, float]:
    """The MLflow metrics after one experience; NaN where undefined.

    Args:
        experience: what happened in it.
        result: the accuracies up to it.
        sizes: number of evaluation samples of each experience.
    """
    i, matrix = experience.index, result.matrix
    values = {
        tracking.ACCURACY_SEEN: metrics.seen_accuracy(matrix, sizes, i),
        tracking.ACCURACY_AVERAGE: metrics.average_accuracy(matrix, i),
        tracking.ACCURACY_LEARNED: metrics.learned_accuracy(matrix, i),
        tracking.ACCURACY_LEARNED_BEFORE: float(result.learned[: i + 1].mean()),
        tracking.FORGETTING_AVERAGE: metrics.forgetting(matrix, i),
        tracking.FORGETTING_MAX_AVERAGE: metrics.max_forgetting(matrix, i),
        tracking.BACKWARD_TRANSFER: metrics.backward_transfer(matrix, i),
        tracking.FORWARD_TRANSFER: metrics.forward_transfer(matrix, result.untrained, i),
        tracking.MEMORY_EXEMPLARS: experience.memory.exemplars,
        tracking.MEMORY_EXEMPLAR_BYTES: experience.memory.exemplar_bytes,
        tracking.MEMORY_STATISTICS_BYTES: experience.memory.statistics_bytes,
        tracking.TIME_TRAIN: experience.seconds["train"],
        tracking.TIME_CONSOLIDATION: experience.seconds["consolidation"],
        tracking.TIME_EVAL: experience.seconds["eval"],
    }
    values |= {tracking.ACCURACY_EXPERIENCE.format(j): matrix[i, j] for j in range(len(sizes))}
    forgotten = metrics.forgetting_per_experience(matrix, i)
    values |= {tracking.FORGETTING_EXPERIENCE.format(j): value for j, value in enumerate(forgotten)}
    if experience.consolidated:
        before = np.average(experience.before[: i + 1], weights=sizes[: i + 1])
        values |= {
            tracking.SLEEP_ACCURACY_BEFORE: float(before),
            tracking.SLEEP_ACCURACY_AFTER: values[tracking.ACCURACY_SEEN],
        }
    settled = {
        tracking.RESIDUAL: experience.residual,
        tracking.FREE_STEPS: experience.free_steps,
        tracking.UNSETTLED: experience.unsettled,
    }
    values |= {name: value for name, value in settled.items() if value is not None}
    if experience.residual is not None:
        angles = enumerate(experience.feedback_angles, start=2)
        values |= {tracking.FEEDBACK_ANGLE.format(layer): angle for layer, angle in angles}
    return values | experience.energy | experience.logged


def epoch_accuracies(experience: ExperienceReport, sizes: list[int]) -> list[float]:
    """Accuracy on all samples of the classes seen so far after each epoch of an experience."""
    seen = slice(experience.index + 1)
    return [float(np.average(row[seen], weights=sizes[seen])) for row in experience.epochs]


def _curves(experience: ExperienceReport) -> tuple[list[float], list[float]]:
    return [point[1] for point in experience.curve], [point[2] for point in experience.curve]


def _result(config: Config, run_id: str, uri: str, trained: TrainingResult, sizes: list[int], total: float) -> Result:
    matrix = trained.matrix
    phases = ("train", "consolidation", "eval")
    last = trained.reports[-1]
    shares = [report.unsettled for report in trained.reports if report.unsettled is not None]
    return Result.of(
        config,
        uri,
        run_id,
        "FINISHED",
        accuracy=metrics.none_if_nan(metrics.seen_accuracy(matrix, sizes)),
        forgetting=metrics.none_if_nan(metrics.forgetting(matrix)),
        backward_transfer=metrics.none_if_nan(metrics.backward_transfer(matrix)),
        learned_accuracy=metrics.none_if_nan(metrics.learned_accuracy(matrix)),
        accuracy_matrix=plain_matrix(matrix),
        accuracy_seen=plain_row([metrics.seen_accuracy(matrix, sizes, i) for i in range(len(sizes))]),
        accuracy_epochs=plain_row([a for report in trained.reports for a in epoch_accuracies(report, sizes)]),
        residual=None if last.residual is None else metrics.none_if_nan(last.residual),
        unsettled=float(np.mean(shares)) if shares else None,
        seconds={p: sum(e.seconds[p] for e in trained.reports) for p in phases} | {"total": total},
        memory=asdict(last.memory),
    )


def _final_metrics(result: Result) -> dict[str, float | None]:
    return {
        tracking.FINAL_ACCURACY: result.accuracy,
        tracking.FINAL_FORGETTING: result.forgetting,
        tracking.FINAL_BACKWARD_TRANSFER: result.backward_transfer,
        tracking.FINAL_LEARNED_ACCURACY: result.learned_accuracy,
    }


def _hidden_activity(training: Training, stream: Stream) -> list[Activity]:
    """Of the hidden layers of a trained equilibrium network, on training samples of the whole stream."""
    network = training.template.learner.network
    if not isinstance(network, Network):
        return []
    rows = [row for experience in stream.train for row in experience.rows]
    x = stream.samples.rows(rows[:: 1 + (len(rows) - 1) // _HIDDEN_SAMPLES]).x  # not a copy of all training data
    return free_phase_activity(network, x.to(training.template.device))


def _store(record: tracking.Run, training: Training, result: Result, hidden: list[Activity]) -> None:
    """Matrix, plots and checkpoint, drawn at the end from stored numbers."""
    with tempfile.TemporaryDirectory() as folder:
        names = ["accuracy_matrix.csv", "accuracy_matrix.png", CHECKPOINT, *(["hidden_states.png"] if hidden else [])]
        files = [Path(folder, name) for name in names]
        report.write_matrix_csv(result.matrix, files[0])
        report.plot_accuracy_matrix(result.matrix, files[1], title=f"{result.label}, seed {result.seed}")
        training.template.learner.save(files[2])
        if hidden:
            report.plot_hidden_states(
                [activity.magnitude for activity in hidden],
                [activity.participation for activity in hidden],
                files[3],
                title=f"{result.label}, seed {result.seed}",
            )
        for file in files:
            record.artifact(file)
    record.text(json.dumps(asdict(result)), FILE)


def _tags(config: Config, stream: Stream) -> dict[str, Any]:
    """What runs are searched by, with every parameter of the strategies."""
    tags = {
        "stream": config.stream.name,
        "network": config.network.name,
        "strategies": label(config.strategies),
        "seed": config.seed,
        "class_order": ",".join(map(str, stream.class_order)),
        "evaluate_on": config.stream.evaluate_on,
        "standardize": config.stream.standardize,
    }
    parameters = {name: config.strategy.get(name, {}) for name in config.strategies}
    return tracking.provenance() | tags | tracking.flatten({"strategy": parameters})


@contextmanager
def _reproducible(config: Config) -> Iterator[None]:
    """The run's thread count and seeds; the caller's thread count and global generators are given back."""
    threads = torch.get_num_threads()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.set_num_threads(config.threads)
    seed_globals(config.seed)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
