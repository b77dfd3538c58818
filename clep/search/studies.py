"""The study of a search: Optuna's record of its trials. A later search of the same identity continues it."""

import os
import socket
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from clep import tracking
from clep.build import identity
from clep.config import Config, label, seeded
from clep.errors import ConfigError, StaleWarning
from clep.identity import Identity, digest_of
from clep.search.spaces import Space, present

_IDENTITY = "clep.identity"  # attribute of a study: the parts of its identity


def open_study(config: Config, space: Space, uri: str) -> optuna.Study:
    """The study of a resolved configuration and a space, new or continued where it stopped.

    It is continued only for the same data, plug-ins and code of clep; what changed is said in a `StaleWarning`. With
    `tracking.reuse=any_code` one of other code is continued too. The first trial uses the values that the configuration
    has now. Trials whose process has ended count as failed.

    Args:
        config: the configuration; `tune.storage` says where the study is kept.
        space: see `clep.search.spaces`.
        uri: the MLflow store; by default the study is kept next to it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = config.tune.storage or tracking.beside(uri, "optuna.db")
    whole = identity_of(config, space)
    try:
        name = _continued(storage, config, whole)
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    except Exception as error:  # of SQLAlchemy, of any driver, of Optuna
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"tune.storage: Optuna cannot open it ({type(error).__name__}: {reason}); give a database, as in "
            "sqlite:///optuna.db"
        ) from error
    if _IDENTITY not in study.user_attrs:
        study.set_user_attr(_IDENTITY, whole.parts)
    # With the same seed a resumed search would draw the same values again.
    # Trials that train in one pass are drawn together: each then keeps away from those that are not known yet.
    study.sampler = optuna.samplers.TPESampler(
        seed=config.seed + len(study.trials), multivariate=True, constant_liar=config.population == "auto"
    )
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_alive(left.user_attrs.get("process", "")):
            study.tell(left.number, state=TrialState.FAIL)  # interrupted
    if not study.trials:
        study.enqueue_trial(_present(config, space))
    return study


def ask(study: optuna.Study) -> optuna.Trial:
    """A new trial, marked with this process so that a later search can tell whether it is still running."""
    trial = study.ask()
    trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
    return trial


def finished(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials that have an accuracy, best first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: -(trial.value or 0.0))


def identity_of(config: Config, space: Space) -> Identity:
    """What a search is of; its own seed and its number of trials are not part of it."""
    return identity(seeded(config, 0), config.tune.seeds, space)


def _continued(storage: str, config: Config, whole: Identity) -> str:
    """The name of the study to continue or to make; says why an earlier one of the configuration is not continued.

    Up to its last part, a name is the same for other data, plug-ins and code.
    """
    shared = f"{label(config.strategies)}-{config.stream.name}-{whole.configuration}"
    name = f"{shared}-{digest_of([whole.data, whole.plugins, whole.code])[:8]}"
    studies = optuna.get_all_study_summaries(storage, include_best_trial=False)
    alike = [s for s in studies if s.study_name.rpartition("-")[0] == shared and _IDENTITY in s.user_attrs]
    if not alike or any(study.study_name == name for study in studies):
        return name
    latest = alike[-1]  # they come in the order in which they were made
    earlier = Identity(**latest.user_attrs[_IDENTITY])
    goes_on = config.tracking.reuse == "any_code" and whole.changed(earlier) == ["code"]
    end = "the search goes on (tracking.reuse=any_code)" if goes_on else "the search begins anew"
    for text in whole.differences(earlier):
        warnings.warn(f"{text}; {end}", StaleWarning, stacklevel=3)
    return str(latest.study_name) if goes_on else name


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
    """The values that the configuration has now, if they lie in the space."""
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
