"""What is tested: a strategy by name with its parameters, made anew for every run."""

from functools import cached_property
from typing import Any

from avalanche.core import BasePlugin

from clep import registry
from clep.errors import ClepError
from clep.strategy import Strategy
from clep.testing.runs import RULES, Run, digits, refusal, train

DOES_NOT_TRAIN = "it does not train"


class CheckFailed(AssertionError):
    """A part breaks its contract; the message says how, and what to do.

    Example:
        >>> str(CheckFailed("two runs differ"))
        'two runs differ'
    """


class NotApplicable(Exception):
    """A check has nothing to look at; the message says why.

    Example:
        >>> str(NotApplicable("torch finds no CUDA device"))
        'torch finds no CUDA device'
    """


class Subject:
    """A strategy with its parameters, for the checks of `clep.testing`.

    Nothing is imported before a check asks for it.

    Args:
        strategy: a registered name, an import path `module:Class`, or a class at the top of a module.
        parameters: parameters of the strategy; those left out have their defaults.

    Example:
        >>> Subject("sleep_replay", keep=0.8).made().keep
        0.8
    """

    def __init__(self, strategy: str | type[BasePlugin], /, **parameters: Any) -> None:
        self.name = strategy if isinstance(strategy, str) else registry.name_of(strategy)
        self.parameters = parameters

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
        return f"Subject({self.name!r}{given})"

    @cached_property
    def cls(self) -> type[BasePlugin]:
        """The class of the strategy.

        Raises:
            ConfigError: if there is none, or it cannot be imported.
        """
        return registry.find(self.name)

    @property
    def is_ours(self) -> bool:
        """Whether it derives from `clep.Strategy`, rather than from Avalanche's plug-ins alone."""
        return issubclass(self.cls, Strategy)

    def is_said(self, attribute: str) -> bool:
        """Whether the class declares something, such as `stands_alone`."""
        return bool(getattr(self.cls, attribute, False))

    def made(self, seed: int = 0) -> BasePlugin:
        """A fresh strategy, with the seed that it has in a run of this `seed`.

        Raises:
            ConfigError: if it refuses its parameters.
            StrategyError: if its constructor fails.
        """
        (strategy,) = registry.build([self.name], {self.name: self.parameters}, seed=seed)
        return strategy

    @cached_property
    def rule(self) -> str:
        """The first of `RULES` that it trains with; checks that need no certain one use it.

        Raises:
            CheckFailed: if there is none.
        """
        reasons = {rule: refusal(lambda: [self.made()], rule) for rule in RULES}
        for rule, reason in reasons.items():
            if reason is None:
                return rule
        raise CheckFailed(f"{DOES_NOT_TRAIN} with any network and gradient of clep: {reasons[RULES[0]]}")

    @cached_property
    def reference(self) -> Run:
        """A run alone with seed 0, that others are compared with.

        Raises:
            CheckFailed: if there is none; `DOES_NOT_TRAIN` begins the message.
        """
        try:
            return train(lambda: [self.made()], self.rule, digits(), record=True)
        except ClepError as error:
            raise CheckFailed(f"{DOES_NOT_TRAIN}: {error}") from error
