"""The study of a search: Optuna's record of its trials, which a later search of the same configuration takes up."""

import os
import socket
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from clep import tracking
from clep.build import fingerprint
from clep.config import Config, label, replace
from clep.search.spaces import Space, present


def open_study(config: Config, space: Space, uri: str) -> optuna.Study:
    """The study of a resolved configuration and a space, new or taken up where it stopped.

    The values that the configuration has now are the first trial. Trials of processes that ended count as failed.

    Args:
        config: what is searched; `tune.storage` says where the study is kept.
        space: see `clep.search.spaces`.
        uri: the MLflow store; the study is kept beside it by default.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_name(config, space),
        storage=config.tune.storage or tracking.beside(uri, "optuna.db"),
        direction="maximize",
        load_if_exists=True,
    )
    # With the same seed a resumed search would draw the same values again.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials), multivariate=True)
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_alive(left.user_attrs.get("process", "")):
            study.tell(left.number, state=TrialState.FAIL)  # interrupted
    if not study.trials:
        study.enqueue_trial(_present(config, space))
    return study


def ask(study: optuna.Study) -> optuna.Trial:
    """A new trial that names this process, so that a later search can tell whether it is under way."""
    trial = study.ask()
    trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
    return trial


def finished(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials that have an accuracy, best first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: -(trial.value or 0.0))


def _name(config: Config, space: Space) -> str:
    """What a search is found again by: neither its own seed nor the number of its trials is part of it."""
    key = fingerprint(replace(config, seed=0), config.tune.seeds, space)
    return f"{label(config.strategies)}-{config.stream.name}-{key[:12]}"


def _is_alive(process: str) -> bool:
    """Whether the process (host:pid) that began a trial is still running, as far as this host can tell."""
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


def _present(config: Config, space: Space) -> dict[str, Any]:
    """The values that the configuration has now, where they lie in the space."""
    flat = {}
    for key, value in space.items():
        current = present(config, key)
        if "choices" in value:
            inside = current in value["choices"]
        else:
            inside = isinstance(current, int | float) and value["low"] <= current <= value["high"]
        if inside:
            flat[key] = current
    return flat
