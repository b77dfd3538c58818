"""The same seed gives the same run, a resumed run is the one that was stopped, and strategies draw for themselves."""

import random
from functools import cache
from typing import Any

import numpy as np
import torch
from avalanche.core import BasePlugin

from clep.checkpoints import Saved
from clep.errors import ConfigError
from clep.strategy import Strategy
from clep.testing.runs import Run, Weights, digits, quiet, train, training
from clep.testing.subject import CheckFailed, NotApplicable, Subject


def check_seeds(subject: Subject) -> None:
    """Two runs of one seed have the same weights, accuracies and metrics, to the bit.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if they differ.

    Example:
        >>> from clep.testing import Subject
        >>> check_seeds(Subject("awake_rehearsal"))
    """
    first, second = subject.reference, train(lambda: [subject.made()], subject.rule, digits())
    same_runs(first, second, "two runs of one seed differ", "draw from `self.generator`, `self.draw` or `own_draws`")


def check_resume(subject: Subject, where: str) -> None:
    """A run that goes on from a checkpoint ends as the one that was never stopped, to the bit.

    Args:
        subject: the strategy.
        where: `after` an experience, or `within` one.

    Raises:
        CheckFailed: if it ends otherwise, or no checkpoint can hold what the strategy remembers.

    Example:
        >>> from clep.testing import Subject
        >>> check_resume(Subject("awake_rehearsal"), "after")
    """
    whole = subject.reference
    if (reason := whole.unsavable.get(where)) is not None:
        if not subject.is_ours:  # a run with it goes on from where it can; see `clep.checkpoints`
            raise NotApplicable(f"no checkpoint {where} an experience can hold it: {reason}")
        raise CheckFailed(f"no checkpoint can hold it: {reason}; say what to keep by `state_dict`")
    if (last := max((done for kind, done in whole.snapshots if kind == where), default=None)) is None:
        raise NotApplicable("it learns the whole stream in one experience, or trains no network")
    within = whole.snapshots[where, last] if where == "within" else None
    saved = Saved(whole.snapshots.get(("after", last)), within)
    resumed = train(lambda: [subject.made()], subject.rule, digits(), saved=saved)
    fix = "keep everything that it remembers in attributes of `self`, or override `state_dict` and `load_state_dict`"
    same_runs(whole, resumed, f"a run that goes on {where} experience {last} ends otherwise", fix)


def check_second_run(subject: Subject) -> None:
    """A strategy that has run is refused in a second run, which would start with what it remembers.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if it is not.

    Example:
        >>> from clep.testing import Subject
        >>> check_second_run(Subject("naive"))
    """
    with quiet():
        try:
            training(subject.reference.strategies, subject.rule)
        except ConfigError:
            return
    raise CheckFailed("a second run with it is not refused; do not hide attributes that clep sets on a strategy")


class _Witness(Strategy):
    """Draws like any strategy, and notes the batches of the first epoch, its draws, and the global generators."""

    adds_penalty = False

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[Any, Any]] = []
        self.drawn: list[list[int]] = []
        self.globals: list[Any] = []

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.clock.train_exp_counter == 0:
            self.batches.append((strategy.mb_x.tolist(), strategy.mb_y.tolist()))

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.drawn.append(self.draw(1000, 5))

    def before_training(self, strategy: Any, **kwargs: Any) -> None:
        super().before_training(strategy, **kwargs)
        self.globals.append(_globals())


def check_draws(subject: Subject, place: str) -> None:
    """It changes neither the batches of the first experience, nor what others draw, nor the global generators.

    A comparison of strategies is one of strategies only if nothing else differs.

    Args:
        subject: the strategy.
        place: `before` or `after` the other strategy.

    Raises:
        CheckFailed: if it does.

    Example:
        >>> from clep.testing import Subject
        >>> check_draws(Subject("awake_rehearsal"), "before")
    """
    if subject.is_said("trains_jointly"):
        raise NotApplicable("it learns the whole stream in one experience")
    alone = _witness(subject.rule)
    witness = _Witness()

    def make() -> list[BasePlugin]:
        return [subject.made(), witness] if place == "before" else [witness, subject.made()]

    train(make, subject.rule, digits(2))
    if witness.drawn != alone.drawn:
        raise CheckFailed(
            "another strategy draws other numbers beside it; leave the attributes of others alone, and draw from "
            "`self.generator`"
        )
    if _seen(witness) == _seen(alone) and witness.batches != alone.batches:
        raise CheckFailed(
            "the first experience has other batches with it than without; it draws from a generator that is not its "
            "own: use `self.generator`, `self.draw` or `own_draws`"
        )
    if subject.is_ours and not subject.is_said("draws_globally") and witness.globals != alone.globals:
        raise CheckFailed(
            "it draws from a global generator (torch's, numpy's or Python's); use `self.generator`, `self.draw`, or "
            "`with self.own_draws():` around code that can only draw globally"
        )


def same_runs(one: Run, other: Run, what: str, fix: str) -> None:
    """Compare two runs to the bit.

    Args:
        one: a run.
        other: another.
        what: how a message begins.
        fix: how it ends.

    Raises:
        CheckFailed: with the first thing that differs.

    Example:
        >>> from clep.testing.runs import Run
        >>> same_runs(Run(), Run(), "they differ", "do something")
        Traceback (most recent call last):
            ...
        clep.testing.subject.CheckFailed: they differ: nothing was trained; do something
    """
    if not one.weights or not other.weights:
        raise CheckFailed(f"{what}: nothing was trained; {fix}")
    if (name := different(one.weights[-1], other.weights[-1])) is not None:
        raise CheckFailed(f"{what}: the last weights, in `{name}`; {fix}")
    if not np.array_equal(one.result.matrix, other.result.matrix, equal_nan=True):
        raise CheckFailed(f"{what}: the accuracies; {fix}")
    if one.declared[-1] != other.declared[-1]:
        raise CheckFailed(f"{what}: what it keeps ({one.declared[-1]} and {other.declared[-1]}); {fix}")
    for first, second in zip(one.result.reports, other.result.reports, strict=True):
        for name in sorted({*first.numbers, *second.numbers}):
            if first.numbers.get(name) != second.numbers.get(name):
                raise CheckFailed(f"{what}: the metric `{name}` of experience {first.index}; {fix}")


def different(one: Weights, other: Weights) -> str | None:
    """The first tensor that differs between two networks, by its name; None if they are the same to the bit.

    Args:
        one: name -> tensor.
        other: the same of another network.

    Example:
        >>> import torch
        >>> different({"w": torch.zeros(2)}, {"w": torch.ones(2)})
        'w'
    """
    if one.keys() != other.keys():
        return min(one.keys() ^ other.keys())
    return next((name for name, value in one.items() if not torch.equal(value, other[name])), None)


@cache
def _witness(rule: str) -> _Witness:
    """A witness of a run without any other strategy."""
    witness = _Witness()
    train(lambda: [witness], rule, digits(2))
    return witness


def _seen(witness: _Witness) -> list[Any]:
    """The samples of the first experience, in an order of their own."""
    return sorted((x, y) for xs, ys in witness.batches for x, y in zip(xs, ys, strict=True))


def _globals() -> Any:
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - what Avalanche draws from
    return torch.get_rng_state().tolist(), str(legacy), random.getstate()
