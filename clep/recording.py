"""What a run leaves in MLflow: its name and tags, metrics after each experience, artifacts at the end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from clep import computed, interrupts, metric_names, metrics, report, run_names, temporary, tracking
from clep.build import LABEL_TAG, cell_tags, identity
from clep.config import Config, label, public, to_dict, to_yaml
from clep.diagnostics.activity import Activity, free_phase_activity
from clep.equilibrium import Network
from clep.identity import digest_of
from clep.measuring import ExperienceReport
from clep.registry import name_of
from clep.results import FILE, Result, plain_matrix, plain_row
from clep.strategy import has_read_out
from clep.streams import Stream
from clep.training import Training, TrainingResult

CHECKPOINT = f"{tracking.FOLDER}/{tracking.DATA}"
"""Name of the artifact that `clep.load` reads."""
OLD_CHECKPOINT = "learner.ckpt"
"""Its name in runs of version 0.1.0, which had no model around it."""
_HIDDEN_SAMPLES = 500
_EXAMPLES = 2  # inputs in the example of a model
_STEPS = (
    "Steps count experiences; those of `train/loss` and `train/accuracy` updates, of `accuracy/epoch` epochs, of "
    "`hidden/*` steps of a free phase. `final/*` has one step, 0."
)


@contextmanager
def recorded(
    config: Config,
    stream: Stream,
    *,
    parent_run_id: str | None = None,
    experiment_id: str = "",
    tags: Mapping[str, str] | None = None,
    name: str = "",
    run_id: str = "",
) -> Iterator[tracking.Run]:
    """Open the MLflow run of a configuration and store the configuration in it.

    Args:
        config: the configuration, with every parameter of its strategies.
        stream: the stream to learn.
        parent_run_id: the MLflow run that this one belongs to.
        experiment_id: the MLflow experiment; empty to open the store and find it there.
        tags: further tags; by default those of a cell of its own.
        name: of the run; by default that of the configuration.
        run_id: a run that was stopped, to go on in it.

    Raises:
        ConfigError: if the store cannot be used.
    """
    section = config.tracking
    if experiment_id:
        uri = tracking.tracking_uri(section.uri)
    else:
        uri, experiment_id = tracking.open_store(section)
    known = identity(config, data="+".join(stream.digests))  # of what was loaded, whatever the files hold by now
    all_tags = _tags(config, stream) | dict(tags or cell_tags(config, known=known)) | tracking.own_tags(section)
    all_tags |= known.tags
    cell, place = all_tags[LABEL_TAG], f"{config.stream.name} ({config.network.name})"
    about = f"`{cell}` with seed {config.seed}, on {place}. {_STEPS}"
    run = tracking.Run(
        uri,
        experiment_id,
        name or tracking.run_name(section, run_names.of_run(config)),
        tags=all_tags,
        params=tracking.flatten(to_dict(public(config))),
        parent_run_id=parent_run_id,
        description=about if parent_run_id else tracking.described(section, about),
        run_id=run_id,
        goes_on=bool(run_id),
    )
    try:
        with run:
            run.text(to_yaml(public(config)), "config.yaml")
            run.inputs(_inputs(config, stream))
            yield run
    except BaseException as stop:
        if run.run_id and parent_run_id is None and (isinstance(stop, KeyboardInterrupt) or interrupts.pending()):
            stop.add_note(tracking.go_on_command(run.run_id, uri))
        raise


def record_failure(
    config: Config, error: str, parent_run_id: str, experiment_id: str, tags: Mapping[str, str], name: str
) -> str:
    """Make the run of a job that failed before it had one, and return its id.

    Args:
        config: the configuration, with every parameter of its strategies.
        error: why it failed.
        parent_run_id, experiment_id: the MLflow run that it belongs to, and the experiment of both.
        tags: further tags.
        name: of the run.
    """
    uri = tracking.tracking_uri(config.tracking.uri)
    run = tracking.Run(
        uri,
        experiment_id,
        name,
        tags=_tags(config) | dict(tags) | tracking.own_tags(config.tracking),
        params=tracking.flatten(to_dict(public(config))),
        parent_run_id=parent_run_id,
        description="It failed before its training began.",
    )
    with run:
        run.text(to_yaml(public(config)), "config.yaml")
        run.failure = error
    return run.run_id


def _inputs(config: Config, stream: Stream) -> list[tracking.Input]:
    """The data sets of a stream, all of their training data and what it evaluates on.

    A part of the samples is another data set: its digest is that of all, and of how they were chosen.
    """
    learned, tested = stream.digests
    spec = config.stream
    choice: list[float] = [spec.evaluation_samples] if spec.evaluation_samples is not None else []
    if spec.evaluate_on == "validation":
        tested, choice = learned, [*choice, spec.validation_fraction, config.seed]
    tested = digest_of([tested, *choice])[: len(tested)] if choice else tested
    x, y = (torch.cat([getattr(e.samples, part) for e in stream.evaluation]).numpy() for part in ("x", "y"))
    return [
        tracking.Input(stream.name, "training", learned, stream.samples.x.numpy(), stream.samples.y.numpy()),
        tracking.Input(stream.name, "evaluation", tested, x, y),
    ]


def record_experience(run: tracking.Run, experience: ExperienceReport, so_far: TrainingResult) -> None:
    """Send the metrics of an experience, the curve of its training and the accuracies after its epochs."""
    run.log(experience_metrics(experience, so_far), experience.index)
    updates = [point[0] for point in experience.curve]
    run.log_series(metric_names.TRAIN_LOSS, [point[1] for point in experience.curve], updates)
    run.log_series(metric_names.TRAIN_ACCURACY, [point[2] for point in experience.curve], updates)
    epochs = epoch_accuracies(experience, so_far)
    done = sum(len(report.epochs) for report in so_far.reports) - len(epochs)
    run.log_series(metric_names.ACCURACY_EPOCH, epochs, range(done + 1, done + 1 + len(epochs)))
    run.show()


def experience_metrics(experience: ExperienceReport, so_far: TrainingResult) -> dict[str, float]:
    """The metrics of one experience by name; NaN where undefined.

    Args:
        experience: what happened in it.
        so_far: the accuracies up to it.
    """
    values = metrics.after_experience(so_far, experience.index) | {
        metric_names.MEMORY_EXEMPLARS: experience.memory.exemplars,
        metric_names.MEMORY_EXEMPLAR_BYTES: experience.memory.exemplar_bytes,
        metric_names.MEMORY_STATISTICS_BYTES: experience.memory.statistics_bytes,
        metric_names.TIME_TRAIN: experience.seconds["train"],
        metric_names.TIME_CONSOLIDATION: experience.seconds["consolidation"],
        metric_names.TIME_EVAL: experience.seconds["eval"],
    }
    before = metrics.pooled_accuracy(experience.before, so_far.sizes, experience.index, so_far.learned_at)
    after = values[metric_names.ACCURACY_SEEN]
    if experience.consolidated:
        values[metric_names.CONSOLIDATION_ACCURACY_BEFORE] = before
        values[metric_names.CONSOLIDATION_ACCURACY_AFTER] = after
    if experience.slept:
        values[metric_names.SLEEP_ACCURACY_BEFORE] = before
        values[metric_names.SLEEP_ACCURACY_AFTER] = after
    return values | experience.numbers


def epoch_accuracies(experience: ExperienceReport, so_far: TrainingResult) -> list[float]:
    """Accuracy on all samples of the experiences seen so far after each epoch of one."""
    sizes, at = so_far.sizes, so_far.learned_at
    return [metrics.pooled_accuracy(row, sizes, experience.index, at) for row in experience.epochs]


def record_result(
    run: tracking.Run, config: Config, stream: Stream, training: Training, trained: TrainingResult, seconds: float
) -> Result:
    """Send the final metrics and the artifacts, and return the result.

    Args:
        run: where they go.
        config: what was run.
        stream: what was learned.
        training: the trained learner and its strategies.
        trained: the accuracies of the whole stream.
        seconds: how long it took until now.
    """
    result = _result(config, run, stream, training, trained, seconds)
    numbers = {computed.label(name): computed.of_run(name, config.metric)(result.to_json()) for name in config.metrics}
    result = replace(result, metrics=numbers)
    final = {
        metric_names.FINAL_ACCURACY: result.accuracy,
        metric_names.FINAL_FORGETTING_SINCE_TRAINING: result.forgetting_since_training,
        metric_names.FINAL_FORGETTING: result.forgetting,
        metric_names.FINAL_BACKWARD_TRANSFER: result.backward_transfer,
        metric_names.FINAL_LEARNED_IN_TRAINING: result.learned_in_training,
        metric_names.FINAL_LEARNED_ACCURACY: result.learned_accuracy,
    }
    final |= {f"final/{name}": value for name, value in result.metrics.items()}
    run.log(final, 0)  # at one step for every stream, so that MLflow draws bars and not points of curves
    hidden = _hidden_activity(training, stream) if config.learner.hidden_states else []
    for layer, activity in enumerate(hidden, start=1):
        for measure, values in activity._asdict().items():
            name = metric_names.HIDDEN_ACTIVITY.format(measure=measure, layer=layer)
            run.log_series(name, values, range(1, len(values) + 1))
    with tracking.spared(f"the page and the learner of run {run.run_id}"):
        _store(run, config, stream, training, result, hidden)
    if config.tracking.register:
        run.register(config.tracking.register, tracking.FOLDER)
    return result


def _result(
    config: Config, run: tracking.Run, stream: Stream, training: Training, trained: TrainingResult, total: float
) -> Result:
    matrix, sizes, reports, at = trained.matrix, trained.sizes, trained.reports, trained.learned_at
    learned = trained.learned
    unsettled = [r.numbers[metric_names.TRAIN_UNSETTLED] for r in reports if metric_names.TRAIN_UNSETTLED in r.numbers]
    return Result.of(
        config,
        run.uri,
        run.run_id,
        "FINISHED",
        accuracy=metrics.none_if_nan(metrics.seen_accuracy(matrix, sizes, learned_at=at)),
        forgetting_since_training=metrics.none_if_nan(
            metrics.forgetting_since_training(matrix, learned, learned_at=at)
        ),
        forgetting=metrics.none_if_nan(metrics.forgetting(matrix, learned_at=at)),
        backward_transfer=metrics.none_if_nan(metrics.backward_transfer(matrix, learned_at=at)),
        learned_in_training=metrics.none_if_nan(metrics.learned_in_training(learned, sizes=sizes, learned_at=at)),
        learned_accuracy=metrics.none_if_nan(metrics.learned_accuracy(matrix, learned_at=at)),
        accuracy_matrix=plain_matrix(matrix),
        accuracy_before_consolidation=plain_matrix(trained.before),
        accuracy_seen=plain_row([metrics.seen_accuracy(matrix, sizes, i, at) for i in range(len(matrix))]),
        accuracy_epochs=plain_row([a for report in reports for a in epoch_accuracies(report, trained)]),
        accuracy_of_means=_of_means(reports),
        accuracy_untrained=plain_row(trained.untrained),
        logged=_logged(reports),
        residual=metrics.none_if_nan(reports[-1].numbers.get(metric_names.TRAIN_RESIDUAL, np.nan)),
        unsettled=float(np.mean(unsettled)) if unsettled else None,
        seconds={p: sum(r.seconds[p] for r in reports) for p in ("train", "consolidation", "eval")} | {"total": total},
        memory=asdict(reports[-1].memory),
        updates=reports[-1].updates,
        sizes=[int(size) for size in sizes],
        classes=[list(experience.classes) for experience in stream.evaluation],
        class_names=[[stream.class_names[label] for label in e.classes] for e in stream.evaluation]
        if stream.class_names
        else [],
        experience_names=[e.name for e in stream.evaluation] if any(e.name for e in stream.evaluation) else [],
        learned_at=list(at),
        undefined=_undefined(stream, jointly=training.trains_jointly),
        chance=stream.chance,
        cell=run.tags.get(LABEL_TAG, ""),
    )


def _undefined(stream: Stream, *, jointly: bool = False) -> str:
    """Why forgetting and what is learned have no meaning; empty where they have."""
    if jointly:
        return "all experiences are learned at once"
    if all(index is None for index in stream.learned_at):
        return "each experience teaches everything that is measured"
    return "" if len(stream.train) > 1 else "there is one experience"


def _of_means(reports: list[ExperienceReport]) -> list[float | None]:
    found = [report.numbers.get(metric_names.ACCURACY_SEEN_BY_MEANS, np.nan) for report in reports]
    return [] if np.isnan(found).all() else plain_row(found)


def _logged(reports: list[ExperienceReport]) -> dict[str, list[float | None]]:
    """What strategies logged, by name: a value for each experience."""
    names = {name: None for report in reports for name in report.numbers if metric_names.of_pipeline(name) is None}
    return {name: plain_row([report.numbers.get(name, np.nan) for report in reports]) for name in names}


def _hidden_activity(training: Training, stream: Stream) -> list[Activity]:
    """Activity in the hidden layers of a trained equilibrium network, on training samples from the whole stream."""
    network = training.template.learner.network
    if not isinstance(network, Network):
        return []
    rows = [row for experience in stream.train for row in experience.rows]
    x = stream.samples.rows(rows[:: 1 + (len(rows) - 1) // _HIDDEN_SAMPLES]).x  # not a copy of all training data
    return free_phase_activity(network, x.to(training.template.device))


def _store(
    run: tracking.Run, config: Config, stream: Stream, training: Training, result: Result, hidden: list[Activity]
) -> None:
    """Numbers, the page and figures drawn from them, and the learner as a model."""
    title = f"{result.label}, seed {result.seed}"
    with temporary.folder() as path:
        (path / FILE).write_text(
            json.dumps({**asdict(result), "tracking_uri": tracking.shown(result.tracking_uri)}), encoding="utf-8"
        )
        report.write_matrix_csv(result.matrix, path / "accuracy_matrix.csv")
        report.write_matrix_csv(result.matrix_before, path / "accuracy_before_consolidation.csv")
        about = report.about_run(config, run.uri, run.run_id)
        (path / "report.html").write_text(report.run_page(result.to_json(), about), encoding="utf-8")
        if hidden:
            magnitudes, participations = [a.magnitude for a in hidden], [a.participation for a in hidden]
            report.plot_hidden_states(magnitudes, participations, path / "hidden_states.png", title=title)
        model = path / tracking.FOLDER
        model.mkdir()
        learner = training.template.learner
        learner.read_out = next((name_of(type(s)) for s in training.strategies if has_read_out(s)), "")
        learner.save(model / tracking.DATA)
        example = stream.samples.x[:_EXAMPLES].numpy()
        packages = sorted({owner for owner in learner.packages().values() if owner.version})
        tracking.write_model(model, run.run_id, example, len(stream.class_order), packages)
        run.artifacts(path)


def _tags(config: Config, stream: Stream | None = None) -> dict[str, Any]:
    """Tags to find runs by, with every parameter of the strategies; without a stream, those that do not need one."""
    tags = {
        "stream": config.stream.name,
        "scenario": config.stream.scenario,
        "network": config.network.name,
        "strategies": label(config.strategies),
        "seed": config.seed,
        "evaluate_on": config.stream.evaluate_on,
        "standardize": config.stream.standardize,
    }
    if stream is not None:
        tags["class_order"] = ",".join(map(str, stream.class_order))
    if stream is not None and stream.class_names:
        tags["class_names"] = ",".join(stream.class_names[label] for label in stream.class_order)
    if stream is not None and len(stream.train) > 1 and (reason := _undefined(stream)):
        tags["undefined"] = f"forgetting: {reason}"
    parameters = {name: config.strategy.get(name, {}) for name in config.strategies}
    return tracking.provenance_once() | tags | tracking.flatten({"strategy": parameters})
