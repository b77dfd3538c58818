"""All checks, their cases, and what each says about a strategy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from clep.errors import ClepError
from clep.testing.accounts import check_logs, check_memory, check_parameters, check_training
from clep.testing.of_datasets import check_apart, check_loading, check_repeats
from clep.testing.of_networks import (
    check_answers,
    check_copies,
    check_initial_weights,
    check_learning,
    check_making,
)
from clep.testing.peeking import check_evaluation, check_later
from clep.testing.reproducing import check_draws, check_resume, check_second_run, check_seeds
from clep.testing.runs import RULES
from clep.testing.subject import DOES_NOT_TRAIN, CheckFailed, NotApplicable, Subject
from clep.testing.surroundings import PARTNERS, check_avalanche, check_composition, check_device, check_gradient

Status = Literal["ok", "fails", "skipped"]


@dataclass(frozen=True)
class Check:
    """A check of parts of a kind.

    Attributes:
        run: the function; it returns a note or None, and raises `CheckFailed` or `NotApplicable`.
        cases: what it is called with besides the part, one after another; none for a single call without.
    """

    run: Callable[..., str | None]
    cases: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What holds if it succeeds, in one sentence."""
        return (self.run.__doc__ or "").partition("\n")[0]


CHECKS = {
    "training": Check(check_training),
    "parameters": Check(check_parameters),
    "seeds": Check(check_seeds),
    "draws": Check(check_draws, ("before", "after")),
    "resume": Check(check_resume, ("after", "within")),
    "second_run": Check(check_second_run),
    "memory": Check(check_memory),
    "logs": Check(check_logs),
    "later_experiences": Check(check_later),
    "evaluation_data": Check(check_evaluation),
    "gradient": Check(check_gradient, RULES),
    "beside": Check(check_composition, tuple(PARTNERS)),
    "avalanche": Check(check_avalanche),
    "gpu": Check(check_device),
}
"""Name -> check of strategies, in the order in which they run."""

NETWORK_CHECKS = {
    "making": Check(check_making),
    "seeds": Check(check_initial_weights),
    "evaluation": Check(check_answers),
    "copies": Check(check_copies),
    "learning": Check(check_learning),
}
"""Name -> check of networks."""

DATASET_CHECKS = {"loading": Check(check_loading), "repeats": Check(check_repeats), "apart": Check(check_apart)}
"""Name -> check of data sets."""


@dataclass(frozen=True)
class Outcome:
    """What a check says.

    Attributes:
        check: its name, with the case in brackets, as in `gradient[cost]`.
        status: `ok`, `fails` or `skipped`.
        note: why it fails or is skipped, or what else there is to know.

    Example:
        >>> Outcome("seeds", "ok").status
        'ok'
    """

    check: str
    status: Status
    note: str = ""


def cases() -> dict[str, tuple[Check, tuple[str, ...]]]:
    """Every case of every check: its name -> the check, and what it is called with besides the strategy.

    Example:
        >>> list(cases())[:4]
        ['training', 'parameters', 'seeds', 'draws[before]']
    """
    found: dict[str, tuple[Check, tuple[str, ...]]] = {}
    for name, check in CHECKS.items():
        for case in check.cases:
            found[f"{name}[{case}]"] = (check, (case,))
        if not check.cases:
            found[name] = (check, ())
    return found


def check_strategy(strategy: Any, /, **parameters: Any) -> Iterator[Outcome]:
    """Check a strategy against its contract, one outcome after another.

    Args:
        strategy: a registered name, an import path `module:Class`, a class at the top of a module, or a `Subject`.
        parameters: parameters of the strategy; choose small ones, so that runs are short.

    Yields:
        The outcome of every case of every check; what needs a run is skipped if the strategy does not train.

    Raises:
        ConfigError: if there is no such strategy.

    Example:
        >>> from clep.testing import check_strategy
        >>> {outcome.check: outcome.status for outcome in check_strategy("awake_rehearsal", memory_size=12)}["seeds"]
        'ok'
    """
    subject = strategy if isinstance(strategy, Subject) else Subject(strategy, **parameters)
    _ = subject.cls
    trains = True
    for name, (check, arguments) in cases().items():
        outcome = _outcome(name, check, (subject, *arguments))
        if not trains and outcome.note.startswith(DOES_NOT_TRAIN):
            outcome = Outcome(name, "skipped", f"{DOES_NOT_TRAIN}, see `training`")
        trains = trains and not outcome.note.startswith(DOES_NOT_TRAIN)
        yield outcome


def _outcome(name: str, check: Check, arguments: tuple[Any, ...]) -> Outcome:
    try:
        return Outcome(name, "ok", check.run(*arguments) or "")
    except NotApplicable as reason:
        return Outcome(name, "skipped", str(reason))
    except (CheckFailed, ClepError) as error:
        return Outcome(name, "fails", str(error))
