"""Search the hyperparameters of a strategy set on validation data; every trial is a child run in MLflow."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from clep import interrupts, metric_names, metrics, progress, run_names, search, tracking
from clep.build import build_stream, build_training, resolved
from clep.comparison.cells import Job
from clep.comparison.crews import LARGEST, together
from clep.config import Config, label, public, replace, seeded, to_yaml
from clep.errors import DivergenceError, TrialsFailedError, UnusedWarning
from clep.metrics import mean_std
from clep.on_ray import engine
from clep.population.admission import reasons
from clep.population.asking import Seat
from clep.population.crew import run_together
from clep.population.training import take_seat
from clep.randomness import reproducible
from clep.search import Tuned, write
from clep.workers import PRELOAD, Jobs

__all__ = ["Tuned", "run", "write"]

_VALIDATION = 0.2
_IN_A_ROW = 10  # a search gives up after so many failures
_DIVERGED = 0.0  # accuracy of a network that diverged: counts as finished, so the sampler learns to stay away


def run(config: Config) -> Tuned:
    """Search until `tune.trials` trials have finished; a search of the same configuration goes on where it stopped.

    Trains only on the training part. The score is the final accuracy on the validation part (20 % if the configuration
    names none), averaged over `tune.seeds`. It covers all experiences, so it looks ahead in the stream. A network that
    diverges scores 0.

    Raises:
        ConfigError, DataError: for anything wrong with the configuration or the ends of a range, before anything is
            trained.
        TrialsFailedError: if ten trials in a row fail (with the reason of the last one), or if every trial diverges.
        KeyboardInterrupt: on Ctrl-C; finished trials are kept and found again.
    """
    stream = {"evaluate_on": "validation", "validation_fraction": config.stream.validation_fraction or _VALIDATION}
    base = resolved(replace(config, stream=stream))
    space = search.space_of(base)
    base = _check(base, space)
    uri, experiment_id = tracking.open_store(config.tracking)
    study = search.open_study(base, space, uri)
    tags = tracking.provenance() | {"tune": study.study_name, "strategies": label(base.strategies)}
    tags |= search.identity_of(base, space).tags | tracking.own_tags(config.tracking)
    with tracking.Run(
        uri,
        experiment_id,
        tracking.run_name(config.tracking, run_names.of_search(base)),
        tags=tags,
        params=tracking.flatten({"space": space, "trials": config.tune.trials}),
        description=tracking.described(config.tracking, "A search on validation data; `best.yaml` is what it found."),
    ) as parent:
        done, failures = len(search.finished(study)), 0
        bar_of_trials = progress.bar(total=config.tune.trials, initial=done, desc="trials", unit="trial")
        with bar_of_trials as bar, engine(config.engine, config.workers) as jobs:
            while done < config.tune.trials:
                number = min(_at_once(base), config.tune.trials - done)
                for error in _trials(study, base, space, uri, experiment_id, parent.run_id, jobs, number):
                    if error is None:
                        done, failures = done + 1, 0
                        bar.update()
                        bar.set_postfix(best=f"{study.best_value:.3f}")
                    else:
                        failures += 1
                    if failures == _IN_A_ROW:
                        raise TrialsFailedError(f"tune: {_IN_A_ROW} trials in a row failed, the last one with: {error}")
        if study.best_value == _DIVERGED:
            raise TrialsFailedError(f"tune: all {done} trials diverged; lower learner.lr, or the ranges of tune.space.")
        tuned = _result(study, base, uri, parent.run_id)
        parent.log({metric_names.TUNE_ACCURACY: tuned.accuracy["mean"]}, 0)
        parent.text(to_yaml(public(tuned.config)), "best.yaml")
    return tuned


def _check(base: Config, space: search.Space) -> Config:
    """Refuse what cannot be trained with the values of the configuration or at an end of a range.

    Returns:
        The configuration; without `population` if its runs cannot train in one pass.
    """
    stream = build_stream(base)
    for config in (base, *search.check_ends(space, base)):
        template = build_training(config, build_stream(config) if config.stream != base.stream else stream).template
        if config is base and base.population == "auto":
            reason = next(reasons(template.learner, template.trainer_arguments), None)
            if reason is not None:
                warnings.warn(f"population: trials train one by one: {reason}", UnusedWarning, stacklevel=3)
                base = replace(base, population="off")
    return base


def _at_once(base: Config) -> int:
    """How many trials train at a time: in one pass as many as its runs can be."""
    return 1 if base.population == "off" else max(1, LARGEST * max(1, base.workers) // len(base.tune.seeds))


def _trials(
    study: optuna.Study,
    base: Config,
    space: search.Space,
    uri: str,
    experiment_id: str,
    parent_run_id: str,
    run: Jobs,
    number: int,
) -> list[str | None]:
    """Run so many trials; return why each failed, if it did."""
    trials = [search.ask(study) for _ in range(number)]
    ends: dict[int, float] = {}
    errors: list[str | None] = []
    records = []
    try:
        with ExitStack() as opened:
            changed = []
            for trial in trials:
                values = search.suggest(trial, space)
                changed.append(replace(base, **search.changes(values, base)))
                record = tracking.Run(
                    uri,
                    experiment_id,
                    run_names.of_trial(trial.number),
                    tags=tracking.own_tags(base.tracking),
                    params=values,
                    parent_run_id=parent_run_id,
                    description=f"Trial {trial.number}: `tune/accuracy` is its mean validation accuracy over seeds.",
                )
                records.append(opened.enter_context(record))
            for trial, record, scores in zip(trials, records, _scores(changed, run), strict=True):
                errors.append(next((score for score in scores if isinstance(score, str)), None))
                if errors[-1] is None:
                    accuracies = [score for score in scores if not isinstance(score, str)]
                    mean = float(np.mean(accuracies))
                    trial.set_user_attr("accuracies", accuracies)
                    record.log_series(metric_names.TUNE_ACCURACY_PER_SEED, accuracies, range(len(accuracies)))
                    record.log({metric_names.TUNE_ACCURACY: mean}, 0)
                    ends[trial.number] = mean
        for record, error in zip(records, errors, strict=True):
            if error is not None:
                tracking.end(uri, record.run_id, "FAILED", error)
    finally:
        for trial in trials:
            found = ends.get(trial.number)
            study.tell(trial, found, state=TrialState.FAIL if found is None else TrialState.COMPLETE)
    return errors


def _scores(configs: Sequence[Config], run: Jobs) -> list[list[float | str]]:
    """Final validation accuracy of each trial for each of `tune.seeds`, or why training failed."""
    jobs = [Job(str(i), seeded(c, seed)) for i, c in enumerate(configs) for seed in c.tune.seeds]
    groups = together(jobs, configs[0].workers, called="trial")
    scores: dict[int, float | str] = {}
    messages = run(_score_together, [[jobs[i].config for i in group] for group in groups], preload=PRELOAD)
    try:
        for message in messages:
            if message.kind not in ("progress", "again"):
                members = groups[message.job]
                done = message.kind == "done"
                found = message.value if done else [f"{message.kind}: {message.value}"] * len(members)
                scores |= zip(members, found, strict=True)
    finally:
        messages.close()
    seeds = len(jobs) // len(configs)
    return [[scores[i * seeds + j] for j in range(seeds)] for i in range(len(configs))]


def _score_together(configs: Sequence[Config], tell: Callable[[Any], None]) -> list[float | str]:
    """The work of one worker process: the score of one run, or of several in one pass."""
    if len(configs) == 1:
        return [_score(configs[0], None)]
    ends = run_together([partial(_score, config) for config in configs], configs[0].threads)
    interrupts.check()  # a library may have made an error of it
    return [end.value if end.error is None else f"error: {type(end.error).__name__}: {end.error}" for end in ends]


def _score(config: Config, seat: Seat | None) -> float:
    """Train, and return the final validation accuracy."""
    with reproducible(config.seed, config.threads):
        stream = build_stream(config)
        training = build_training(config, stream)
        if seat is not None:
            take_seat(training, seat)
        try:
            result = training.run(stream)
        except DivergenceError:
            return _DIVERGED
    return metrics.seen_accuracy(result.matrix, result.sizes, learned_at=result.learned_at)


def _result(study: optuna.Study, base: Config, uri: str, parent_run_id: str) -> Tuned:
    """The result of the search: the best trial and its configuration, set to evaluate on test data."""
    ranked = search.finished(study)
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
