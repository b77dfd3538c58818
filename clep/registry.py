"""Strategies by name: which ones are installed, what parameters they take, and how to build a set of them.

An entry point in the group `clep.strategies`, of clep itself or any installed package, registers a name. The typed
constructor of a strategy is the schema of its parameters; those that it takes from a spec have ranges too.
"""

import inspect
import traceback
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from avalanche.core import BasePlugin
from avalanche.training.templates.base import BaseTemplate

from clep.checks import check, one_of, unknown
from clep.errors import ClepError, ConfigError, StrategyError, within
from clep.imports import import_path, is_import_path, registered_strategies
from clep.plugins import known
from clep.randomness import seed_for
from clep.seeding import seeding
from clep.specs.options import signature_of, taken_by
from clep.strategy import Strategy

_PLAIN = bool | int | float | str | None


def names() -> list[str]:
    """List the names of all registered strategies, built-in and installed.

    Example:
        >>> "sleep_replay" in names()
        True
    """
    return list(registered_strategies())


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
    registered = registered_strategies()
    if name in registered:
        cls = registered[name].load()
    elif is_import_path(name):
        cls = import_path(name, "strategies")
    else:
        hint = "Name your own strategy by its import path, `my_module:MyStrategy`."
        raise ConfigError(f"strategies: {unknown(name, registered, 'strategy')}. {hint}")
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
    path = f"{cls.__module__}:{cls.__qualname__}"
    for name, entry in registered_strategies().items():
        package, _, attribute = entry.value.partition(":")  # which may only pass the class on
        if attribute == cls.__qualname__ and f"{cls.__module__}.".startswith(f"{package}."):
            return name
    return path


def parameters(cls: type[BasePlugin]) -> dict[str, inspect.Parameter]:
    """Read the parameters of a strategy from the signature of its constructor, with their types as annotations.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> list(parameters(find("neuronal_adaptation")))
        ['steps', 'rate', 'rescale']
    """
    signature, hints = signature_of(cls), {}
    if taken_by(cls) is None:
        with suppress(NameError):  # an annotation that only type checkers can see; none counts then
            hints = typing.get_type_hints(cls.__init__)
        signature = signature.replace(
            parameters=[
                p.replace(annotation=known(cls).get(n, (hints.get(n, p.empty),))[0])
                for n, p in signature.parameters.items()
            ]
        )
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in signature.parameters.items() if p.kind in kinds}


def ranges(cls: type[BasePlugin]) -> dict[str, str | None]:
    """Read the ranges of the parameters, as in `clep.checks.Interval`: those from a spec, and of Avalanche's plug-ins.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> ranges(find("neuronal_adaptation"))
        {'steps': '[0, inf)', 'rate': '[0, 1]', 'rescale': None}
    """
    spec = taken_by(cls)
    if spec is None:
        return {name: interval for name, (_, interval) in known(cls).items()}
    return {field.name: field.metadata["range"] for field in spec.options()}


def defaults(cls: type[BasePlugin]) -> dict[str, Any]:
    """Read the defaults that a configuration can hold: numbers, strings, None and lists of these.

    Args:
        cls: class of the strategy.

    Example:
        >>> from clep.registry import find
        >>> defaults(find("neuronal_adaptation"))
        {'steps': 5, 'rate': 0.1, 'rescale': True}
    """
    values = {name: p.default for name, p in parameters(cls).items() if p.default is not inspect.Parameter.empty}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: value for name, value in values.items() if _is_plain(value)}


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
        >>> rehearsal, sleep = build(["awake_rehearsal", "sleep_replay"], {"sleep_replay": {"steps": 500}})
        >>> sleep.steps
        500
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
    schema, intervals = parameters(cls), ranges(cls)
    for key, parameter in schema.items() if issubclass(cls, Strategy) else ():
        if parameter.annotation is parameter.empty and parameter.default is parameter.empty:
            raise ConfigError(
                f"{key}: {cls.__name__}.__init__ gives it neither a type nor a default, so nothing can check its "
                f"value; annotate it, as in `{key}: float`"
            )
    for key, value in values.items():
        one_of(key, key, schema, "key")
        check(key, value, _kind_of(schema[key]), intervals.get(key))
    for key, parameter in schema.items():
        if parameter.default is inspect.Parameter.empty and key not in values:
            raise ConfigError(f"{key}: a value is required, as in {key}=...")


def _kind_of(parameter: inspect.Parameter) -> Any:
    """What a parameter takes; without annotation, if its default is a number, one number or one per experience."""
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    is_number = isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
    return float | list[float] if is_number else Any


def _is_plain(value: Any) -> bool:
    return all(isinstance(entry, _PLAIN) for entry in (value if isinstance(value, list) else [value]))
