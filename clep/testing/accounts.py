"""What a strategy says of itself: its parameters, what it keeps of the past, and what it logs."""

import inspect
import re
from typing import Any

import torch

from clep import errors, registry
from clep.errors import ConfigError
from clep.metric_names import METRICS, PIPELINE
from clep.strategy import Memory
from clep.testing.runs import digits
from clep.testing.subject import CheckFailed, NotApplicable, Subject

_OWN_WARNINGS = tuple(
    kind
    for kind in vars(errors).values()
    # Whether a free phase settles is a matter of the network and the learning rate, which the suite has chosen.
    if isinstance(kind, type) and issubclass(kind, Warning) and kind is not errors.SettlingWarning
)

_UNCOUNTED = 64  # bytes: the shape of an input, a counter in a list


def check_parameters(subject: Subject) -> None:
    """Every parameter has a type or a default, which it accepts, and is in the docstring; so is the search space.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: with the first parameter that is not as it should be.

    Example:
        >>> from clep.testing import Subject
        >>> check_parameters(Subject("neuronal_adaptation"))
    """
    cls = subject.cls
    taken = registry.parameters(cls)
    text = f"{cls.__doc__}\n{inspect.getdoc(cls.__init__)}"
    try:
        registry.check_arguments(cls, registry.defaults(cls) | subject.parameters)
    except ConfigError as error:
        raise CheckFailed(f"its own values are refused: {error}") from error
    for name in taken:
        if not re.search(rf"\b{name}\b", text):
            raise CheckFailed(
                f"the docstring of {cls.__name__} says nothing of its parameter `{name}`; add it to `Args:`"
            )
    for key in getattr(cls, "search_space", None) or {}:
        if key.partition("[")[0] not in taken:
            raise CheckFailed(
                f"`search_space` has `{key}`, which is no parameter; there are: {', '.join(taken) or 'none'}"
            )


def check_training(subject: Subject) -> None:
    """It learns three experiences: weights and metrics are finite, time steps stay, and clep has nothing to say of it.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if not.

    Example:
        >>> from clep.testing import Subject
        >>> check_training(Subject("naive"))
    """
    run = subject.reference
    for name, value in run.weights[-1].items():
        if not torch.isfinite(value).all():
            raise CheckFailed(f"`{name}` of the network holds values that are not finite numbers after training")
        if name.startswith("dt_") and not torch.equal(value, run.start[name]):
            raise CheckFailed(
                f"the time steps `{name}` of the network have changed; only its parameters may be trained"
            )
    learned = 1 if subject.is_said("trains_jointly") else len(digits().train)
    if len(run.result.reports) != learned:
        raise CheckFailed(f"{len(run.result.reports)} experiences were learned, expected {learned}")
    for warning in run.warned:
        if issubclass(warning.category, _OWN_WARNINGS) and not _is_about_logs(warning.message, subject):
            raise CheckFailed(f"clep warns: {warning.message}")


def check_memory(subject: Subject) -> None:
    """What it declares to keep of the past is what grows in its attributes, and nothing is kept elsewhere.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if it keeps more than `memory()` says, or says more samples than it keeps.

    Example:
        >>> from clep.testing import Subject
        >>> check_memory(Subject("awake_rehearsal"))
    """
    run, offered = subject.reference, 0
    before = run.found[0]
    for report, declared, found in zip(run.result.reports, run.declared, run.found[1:], strict=True):
        where = f"after experience {report.index}"
        offered += len(digits().train[report.index])
        if min(declared.exemplars, declared.exemplar_bytes, declared.statistics_bytes) < 0:
            raise CheckFailed(f"{where} `memory()` says {declared}; expected no negative numbers")
        if (grown := _bytes(found) - _bytes(before)) > _bytes(declared) + _UNCOUNTED:
            raise CheckFailed(
                f"{where} its attributes hold {grown} bytes more than at the start, and `memory()` says "
                f"{_bytes(declared)}; count what it keeps, or do not override `memory`"
            )
        if not subject.is_said("trains_jointly") and declared.exemplars > offered:
            raise CheckFailed(f"{where} `memory()` says {declared.exemplars} samples, and it has seen {offered}")
        if found.exemplars - before.exemplars > declared.exemplars:
            raise CheckFailed(
                f"{where} its attributes hold {found.exemplars} samples, and `memory()` says {declared.exemplars}"
            )
        if declared.exemplar_bytes > _bytes(found):
            raise CheckFailed(
                f"{where} `memory()` says {declared.exemplar_bytes} bytes of samples, and its attributes hold "
                f"{_bytes(found)} bytes in all; say what is there at present, not what may become"
            )


def check_logs(subject: Subject) -> str:
    """What it logs has names of its own, and values that are finite.

    A name that MLflow cannot store, or that is clep's, ends every run: see `clep.Strategy.log`.

    Args:
        subject: the strategy.

    Returns:
        The names.

    Raises:
        CheckFailed: with the first name or value that is not as it should be.
        NotApplicable: if it logs nothing.

    Example:
        >>> from clep.testing import Subject
        >>> check_logs(Subject("neuronal_adaptation"))
        'adaptation/update_norm_after, adaptation/update_norm_before'
    """
    for warning in subject.reference.warned:
        if _is_about_logs(warning.message, subject):
            raise CheckFailed(str(warning.message))
    logged = {name for report in subject.reference.result.reports for name in report.numbers}
    known = {name: next((m.by for m in METRICS.values() if m.matches(name)), subject.name) for name in logged}
    for name, by in known.items():
        if by not in (PIPELINE, subject.name):
            raise CheckFailed(f"it logs `{name}`, a name of {by}; log it under a name of its own")
    if not (own := sorted(name for name, by in known.items() if by == subject.name)):
        raise NotApplicable("it logs nothing")
    return ", ".join(own)


def _is_about_logs(message: Any, subject: Subject) -> bool:
    return str(message).startswith(f"strategies: {subject.cls.__name__} logs ")


def _bytes(memory: Memory) -> int:
    return memory.exemplar_bytes + memory.statistics_bytes
