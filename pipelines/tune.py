"""Search the hyperparameters of a strategy set on validation data; every trial a child run in MLflow, resumable."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from clep import metric_names, metrics, progress, search, tracking
from clep.build import build_stream, build_training, fingerprint, resolved
from clep.config import Config, label, replace, to_yaml
from clep.errors import DivergenceError, TrialsFailedError
from clep.metrics import mean_std
from clep.randomness import seed_globals
from clep.workers import run_jobs

_VALIDATION = 0.2
_IN_A_ROW = 10  # failures after which a search gives up
_DIVERGED = 0.0  # accuracy of a network that diverged: a finished trial, so that the sampler learns to keep away
_PRELOAD = ["clep.build", "clep.strategies.sleep_replay"]


@dataclass(frozen=True)
class Tuned:
    """Result of a search.

    Attributes:
        accuracy: `{"mean", "std", "n"}` of the best trial over the seeds, on validation data. The best of many is
            biased upwards: report test accuracy on other seeds.
        values: its hyperparameters, by their keys.
        trials: (number, accuracy, values) of all finished trials, best first.
        config: the configuration with these values, evaluated on test data.
        tracking_uri, parent_run_id: where MLflow has the trials.
    """

    accuracy: dict[str, Any]
    values: dict[str, Any]
    trials: list[tuple[int, float, dict[str, Any]]]
    config: Config
    tracking_uri: str
    parent_run_id: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers, without the configuration."""
        return {
            "accuracy": self.accuracy,
            "values": self.values,
            "trials": [{"number": n, "accuracy": a, "values": v} for n, a, v in self.trials],
            "tracking_uri": self.tracking_uri,
            "parent_run_id": self.parent_run_id,
        }


def run(config: Config) -> Tuned:
    """Search until `tune.trials` trials have finished; a search of the same configuration goes on where it stopped.

    Trains on the training part alone and scores the final accuracy on the validation part (20 % if the configuration
    names none), averaged over `tune.seeds`. It looks at the accuracy over all experiences, i.e. ahead in the stream.
    A network that diverges scores 0.

    Raises:
        ConfigError, DataError: before anything is trained.
        TrialsFailedError: if ten trials in a row failed, with the reason of the last one, or if every trial diverged.
        KeyboardInterrupt: on Ctrl-C; finished trials are kept and found again.
    """
    stream = {"evaluate_on": "validation", "validation_fraction": config.stream.validation_fraction or _VALIDATION}
    base = resolved(replace(config, stream=stream))
    space = search.space_of(base)
    build_training(base, build_stream(base))  # refuses what cannot be trained, before anything is
    uri = tracking.tracking_uri(config.tracking.uri)
    experiment_id = tracking.prepare(uri, config.tracking.experiment)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_study_name(base, space),
        storage=config.tune.storage or tracking.beside(uri, "optuna.db"),
        direction="maximize",
        load_if_exists=True,
    )
    # A resumed search must not draw again what it has drawn before.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials), multivariate=True)
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_alive(left.user_attrs.get("process", "")):
            study.tell(left.number, state=TrialState.FAIL)  # interrupted
    if not study.trials:
        study.enqueue_trial(_present(base, space))
    name = f"tune {label(base.strategies)} on {base.stream.name}"
    tags = tracking.provenance() | {"tune": study.study_name, "strategies": label(base.strategies)}
    with tracking.Run(
        uri, experiment_id, name, tags=tags, params=tracking.flatten({"space": space, "trials": config.tune.trials})
    ) as parent:
        done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        with progress.bar(total=config.tune.trials, initial=done, desc="trials", unit="trial") as bar:
            failures: list[str] = []
            while done < config.tune.trials:
                error = _trial(study, base, space, uri, experiment_id, parent.run_id)
                if error is None:
                    done, failures = done + 1, []
                    bar.update()
                    bar.set_postfix(best=f"{study.best_value:.3f}")
                else:
                    failures.append(error)
                if len(failures) == _IN_A_ROW:
                    raise TrialsFailedError(f"tune: {_IN_A_ROW} trials in a row failed, the last one with: {error}")
        if study.best_value == _DIVERGED:
            raise TrialsFailedError(f"tune: all {done} trials diverged; lower learner.lr, or the ranges of tune.space.")
        tuned = _result(study, base, uri, parent.run_id)
        parent.log({metric_names.TUNE_ACCURACY: tuned.accuracy["mean"]}, 0)
        parent.text(to_yaml(tuned.config), "best.yaml")
    return tuned


def _trial(
    study: optuna.Study, base: Config, space: search.Space, uri: str, experiment_id: str, parent_run_id: str
) -> str | None:
    """Run one trial; return why it failed, or None."""
    trial = study.ask()
    trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
    state = TrialState.FAIL
    mean = error = None
    try:
        values = search.suggest(trial, space)
        changed = replace(base, **search.changes(values, base))
        with tracking.Run(
            uri, experiment_id, f"trial {trial.number}", tags={}, params=values, parent_run_id=parent_run_id
        ) as record:
            scores = list(_scores(changed))
            error = next((score for score in scores if isinstance(score, str)), None)
            if error is None:
                accuracies = [score for score in scores if not isinstance(score, str)]
                mean, state = float(np.mean(accuracies)), TrialState.COMPLETE
                trial.set_user_attr("accuracies", accuracies)
                record.log_series(metric_names.TUNE_ACCURACY_PER_SEED, accuracies, range(len(accuracies)))
                record.log({metric_names.TUNE_ACCURACY: mean}, 0)
        if error is not None:
            tracking.end(uri, record.run_id, "FAILED", error)
    finally:
        study.tell(trial, mean, state=state)
    return error


def _is_alive(process: str) -> bool:
    """Whether a search that began a trial (host:pid) is still at work, as far as this host can tell."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname():
        return host != ""
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except OSError:
        return False
    return True


def _scores(config: Config) -> list[float | str]:
    """Final validation accuracy of each of `tune.seeds`, or why training failed."""
    jobs = [replace(config, seed=seed) for seed in config.tune.seeds]
    scores: dict[int, float | str] = {}
    messages = run_jobs(_score, jobs, workers=config.workers, preload=_PRELOAD)
    try:
        for message in messages:
            if message.kind != "progress":
                scores[message.job] = message.value if message.kind == "done" else f"{message.kind}: {message.value}"
    finally:
        messages.close()
    return [scores[index] for index in range(len(jobs))]


def _score(config: Config, tell: Callable[[Any], None]) -> float:
    torch.set_num_threads(config.threads)
    seed_globals(config.seed)
    stream = build_stream(config)
    try:
        result = build_training(config, stream).run(stream)
    except DivergenceError:
        return _DIVERGED
    return metrics.seen_accuracy(result.matrix, [len(experience) for experience in stream.evaluation])


def _present(config: Config, space: search.Space) -> dict[str, Any]:
    """The values that the configuration has now, where they lie in the space: the first trial."""
    flat = {}
    for key, value in space.items():
        current = search.present(config, key)
        if "choices" in value:
            inside = current in value["choices"]
        else:
            inside = isinstance(current, int | float) and value["low"] <= current <= value["high"]
        if inside:
            flat[key] = current
    return flat


def _study_name(config: Config, space: search.Space) -> str:
    """What a search is found again by: not its own seed, nor how long it is to be."""
    key = fingerprint(replace(config, seed=0), config.tune.seeds, space)
    return f"{label(config.strategies)}-{config.stream.name}-{key[:12]}"


def _result(study: optuna.Study, base: Config, uri: str, parent_run_id: str) -> Tuned:
    complete: Sequence[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))
    best = ranked[0]
    config = replace(base, stream={"evaluate_on": "test", "validation_fraction": 0.0})
    return Tuned(
        accuracy=mean_std(best.user_attrs["accuracies"]),
        values=dict(best.params),
        trials=[(trial.number, float(trial.value or 0.0), dict(trial.params)) for trial in ranked],
        config=replace(config, **search.changes(best.params, base)),
        tracking_uri=uri,
        parent_run_id=parent_run_id,
    )


def write(tuned: Tuned, path: str | Path) -> None:
    """Write the configuration of the best trial; its first line says where it is from."""
    mean, n = tuned.accuracy["mean"], len(tuned.trials)
    head = f"# Best of {n} trials of `clep tune`, {mean:.3f} on validation data (biased upwards: the best of {n})\n"
    Path(path).write_text(head + to_yaml(tuned.config), encoding="utf-8")
