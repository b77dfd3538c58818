"""Search spaces of hyperparameters: the ranges that strategies declare, as Optuna suggestions.

A space maps a parameter (`rate`, or `threshold[0]` for one entry of a list) to a range: `{low, high}` (with `log: true`
for a logarithmic one; integers if both ends are), or `{choices: [...]}`.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
import yaml

from clep import registry
from clep.checks import one_of
from clep.config import Config, builtin, find, parts_of, replace
from clep.errors import ConfigError, UnusedWarning, within
from clep.schema import NOT_OF_A_RESULT, unused
from clep.strategy import Strategy

Space = Mapping[str, Mapping[str, Any]]
_RANGE_KEYS = ("low", "high", "log", "choices")


def space_of(config: Config) -> dict[str, Mapping[str, Any]]:
    """Key of the configuration -> range: those of a set's strategies, and those that `tune.space` adds or replaces.

    Raises:
        ConfigError: for anything but a range, or if there is nothing to search.
    """
    space: dict[str, Mapping[str, Any]] = {}
    for name in config.strategies:
        options = config.strategy.get(name, {})
        space |= {f"strategy.{name}.{key}": value for key, value in declared(name, options).items()}
    space |= config.tune.space
    for key, value in list(space.items()):
        if value is None:
            del space[key]
        else:
            with within("tune.space"):
                _check_key(key, config)
                _check(key, value)
    if not space:
        raise ConfigError(
            "tune.space: nothing to search: the strategies declare no space; give keys and ranges, as in "
            "tune.space={learner.lr: {low: 0.001, high: 0.1, log: true}}"
        )
    return space


def declared(name: str, options: Mapping[str, Any] | None = None) -> Space:
    """The space that a strategy declares: its `search_space`; for foreign plugins, a file in configs/search/.

    Args:
        name: of the strategy.
        options: its values in the configuration, for a strategy whose space depends on them (`Strategy.searched`).
    """
    cls = registry.find(name)
    own = cls.searched(options or {}) if issubclass(cls, Strategy) else getattr(cls, "search_space", None)
    if own is not None:
        return own
    if name in builtin("search"):
        return yaml.safe_load(find("search", name).read_text(encoding="utf-8"))
    return {}


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Draw a value for every key."""
    return {key: _suggest(trial, key, value) for key, value in space.items()}


def changes(values: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The values as nested changes of a resolved configuration; an entry of a list leaves the others unchanged."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        parts, index = _path(key)
        inner = nested
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        if index is None:
            inner[parts[-1]] = value
        else:
            if present(config, key) is None:
                raise ConfigError(f"tune.space.{key}: names an entry of a list that the configuration does not have")
            entries = inner.setdefault(parts[-1], list(_at(config, parts)))
            entries[index] = value
    return nested


def _suggest(trial: optuna.Trial, key: str, value: Mapping[str, Any]) -> Any:
    if "choices" in value:
        return trial.suggest_categorical(key, value["choices"])
    low, high, log = value["low"], value["high"], bool(value.get("log"))
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=log)
    return trial.suggest_float(key, low, high, log=log)


def present(config: Config, key: str) -> Any:
    """The value of a key, or of an entry of a list; None if the configuration has no such value."""
    parts, index = _path(key)
    value = _at(config, parts)
    if index is None:
        return value
    return value[index] if isinstance(value, list | tuple) and index < len(value) else None


def _path(key: str) -> tuple[list[str], int | None]:
    """The parts of a key, and the entry of a list, if it names one."""
    path, _, index = key.removesuffix("]").partition("[")
    return parts_of(path), int(index) if index else None


def _at(config: Config, parts: Sequence[str]) -> Any:
    value: Any = config
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def check_ends(space: Space, config: Config) -> Iterator[Config]:
    """Yield the configuration with both ends of each range and with each choice, to check that they can be built.

    Raises:
        ConfigError: for a value that the configuration does not allow.

    Example:
        >>> from clep.config import compose
        >>> [c.learner.lr for c in check_ends({"learner.lr": {"low": 0.1, "high": 1.0}}, compose())]
        [0.1, 1.0]
    """
    for key, value in space.items():
        for drawn in value.get("choices") or (value["low"], value["high"]):
            changed = replace(config, **changes({key: drawn}, config))
            if reason := dict(unused(changed)).get(key):
                warnings.warn(f"tune.space.{key}: {reason}", UnusedWarning, stacklevel=2)
            yield changed


def _check_key(key: str, config: Config) -> None:
    """Refuse what no trial would differ in."""
    parts, _ = _path(key)
    if parts[0] in {*NOT_OF_A_RESULT, "seed"}:
        raise ConfigError(f"{key}: changes nothing in a trial, which is measured with each of `tune.seeds`")
    if parts[0] == "strategy":
        one_of(key, ".".join(parts[1:2]), config.strategies or ["naive"], "strategy of this search")


def _check(key: str, value: Any) -> None:
    """Refuse anything but a range."""
    expected = "expected {low: ..., high: ...}, with log: true if wanted, or {choices: [...]}"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key}: {expected}, got {value!r}")
    for name in value:
        one_of(f"{key}.{name}", name, _RANGE_KEYS, "key")
    if "choices" in value:
        if not value["choices"]:
            raise ConfigError(f"{key}.choices: expected at least one choice, got {value['choices']!r}")
    elif not all(isinstance(value.get(end), int | float) for end in ("low", "high")):
        raise ConfigError(f"{key}: {expected}, with numbers, got {dict(value)}")
    elif not value["low"] < value["high"]:
        raise ConfigError(f"{key}: {expected}, with low < high, got {dict(value)}")
    elif value.get("log") and value["low"] <= 0:
        raise ConfigError(f"{key}.low: expected a number above 0, as the range is logarithmic, got {value['low']}")
