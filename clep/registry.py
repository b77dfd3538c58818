"""Strategies: which ones are installed, what parameters they take, and how to build a set of them.

They come through the door for parts of every kind, `clep.parts`. The typed constructor of a strategy is the schema of
its parameters; those that it takes from a spec have ranges too.
"""

import inspect
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from avalanche.core import BasePlugin
from avalanche.training.templates.base import BaseTemplate

from clep import parameters as schema
from clep import parts
from clep.errors import ClepError, ConfigError, StrategyError, within
from clep.plugins import known
from clep.randomness import seed_for
from clep.seeding import seeding
from clep.strategy import Strategy


def names() -> list[str]:
    """List the names of all registered strategies, built-in and installed.

    Example:
        >>> "sleep_replay" in names()
        True
    """
    return parts.names("strategy")


def find(name: str) -> type[BasePlugin]:
    """Find the class of a strategy.

    Args:
        name: a registered name, or an import path `module:Class` (`module.Class`) of an Avalanche plugin.

    Raises:
        ConfigError: if the name is unknown, or names something other than an Avalanche plugin.

    Example:
        >>> find("sleep_replay").__name__
        'SleepReplay'
    """
    cls = parts.find("strategy", name)
    if isinstance(cls, type) and issubclass(cls, BaseTemplate):
        raise ConfigError(
            f"strategies: `{name}` is an Avalanche template, not a plugin: it replaces the training loop, so its loss "
            "would be skipped silently. Use the plugin of the same method if there is one (DER and DER++ are `der` "
            "here, ER-ACE is `er_ace`)."
        )
    if not (isinstance(cls, type) and issubclass(cls, BasePlugin)):
        raise ConfigError(f"strategies: `{name}` is not an Avalanche plugin class; derive it from `clep.Strategy`.")
    return cls


def name_of(cls: type[BasePlugin]) -> str:
    """The name under which `find` finds a class: the registered one, or its import path.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.strategies.sleep_replay import SleepReplay
        >>> name_of(SleepReplay)
        'sleep_replay'
    """
    return parts.name_of("strategy", cls)


def parameters(cls: type[BasePlugin]) -> dict[str, inspect.Parameter]:
    """Read the parameters of a strategy from the signature of its constructor, with their types as annotations.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> list(parameters(find("neuronal_adaptation")))
        ['steps', 'rate', 'rescale']
    """
    return schema.parameters(cls, known=known(cls))


def ranges(cls: type[BasePlugin]) -> dict[str, str | None]:
    """Read the ranges of the parameters, as in `clep.checks.Interval`: those from a spec, and of Avalanche's plug-ins.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> ranges(find("neuronal_adaptation"))
        {'steps': '[0, inf)', 'rate': '[0, 1]', 'rescale': None}
    """
    return schema.ranges(cls, known=known(cls))


def defaults(cls: type[BasePlugin]) -> dict[str, Any]:
    """Read the defaults that a configuration can hold: numbers, strings, None and lists of these.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> defaults(find("neuronal_adaptation"))
        {'steps': 5, 'rate': 0.1, 'rescale': True}
    """
    return schema.defaults(cls)


def build(
    strategies: Sequence[str], arguments: Mapping[str, Mapping[str, Any]] | None = None, *, seed: int = 0
) -> list[BasePlugin]:
    """Build a composed set of strategies.

    Args:
        strategies: names or import paths, in the order of their hooks.
        arguments: name -> parameters of that strategy; names not in `strategies` are ignored.
        seed: each strategy gets its own seed, derived from this one.

    Raises:
        ConfigError: for an unknown name, parameter or value; the message begins with the key.
        StrategyError: if a constructor fails; the cause is its exception.

    Example:
        >>> rehearsal, sleep = build(["awake_rehearsal", "sleep_replay"], {"sleep_replay": {"keep": 0.8}})
        >>> sleep.keep
        0.8
    """
    built: list[BasePlugin] = []
    seeds = seeds_for([find(name) for name in strategies], seed)
    for name, own_seed in zip(strategies, seeds, strict=True):
        cls = find(name)
        values = dict((arguments or {}).get(name) or {})
        try:
            with within(f"strategy.{name}"), seeding(own_seed):
                check_arguments(cls, values)
                plugin = cls(**values)
        except ClepError:
            raise
        except (AssertionError, ValueError) as error:  # how Avalanche's plugins refuse a value
            raise ConfigError(f"strategy.{name}: {cls.__name__} refuses these parameters: {error}") from error
        except Exception as error:
            file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
            raise StrategyError(
                f"strategies: {cls.__name__}.__init__ failed ({file}, line {line}): {type(error).__name__}: {error}"
            ) from error
        built.append(plugin)
    return built


def seeds_for(classes: Sequence[type[BasePlugin]], seed: int) -> list[int]:
    """The seed of each strategy of a set, by its name and that of the run; two of one name get different ones.

    Args:
        classes: classes of the strategies, in their order.
        seed: of the run.

    Example:
        >>> from clep.registry import find
        >>> len(set(seeds_for([find("sleep_replay")] * 2, 7)))
        2
    """
    taken: Counter[str] = Counter()
    seeds = []
    for name in map(name_of, classes):
        number, taken[name] = taken[name], taken[name] + 1
        seeds.append(seed_for(seed, f"strategy {name}" + (f" {number}" if number else "")))
    return seeds


def check_arguments(cls: type[BasePlugin], values: Mapping[str, Any]) -> None:
    """Check plain values against the parameters of a strategy: names, types if annotated, and ranges if from a spec.

    Args:
        cls: class of the strategy.
        values: parameter -> value.

    Raises:
        ConfigError: for an unknown or missing parameter or a wrong value, naming the parameter.

    Example:
        >>> from clep.registry import find
        >>> check_arguments(find("neuronal_adaptation"), {"steps": "five"})
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: steps: expected an integer of at least 0, got 'five'
    """
    schema.check_arguments(cls, values, known=known(cls), typed=issubclass(cls, Strategy))
