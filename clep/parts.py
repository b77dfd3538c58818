"""The door for parts of every kind: by the name that a package registers, or by an import path.

A package registers a name as an entry point in the group of its kind, and clep's own parts come through the same door.
Nothing is imported before it is asked for.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from clep import distribution
from clep.checks import unknown
from clep.errors import ConfigError
from clep.imports import import_path, is_import_path


@dataclass(frozen=True)
class Kind:
    """A kind of part.

    Attributes:
        key: the key of a configuration that names a part of this kind; messages begin with it.
        word: what such a part is called.
    """

    key: str
    word: str

    @property
    def group(self) -> str:
        """The group of its entry points."""
        return f"clep.{_plural(next(name for name, kind in KINDS.items() if kind == self))}"


KINDS = {
    "strategy": Kind("strategies", "strategy"),
    "network": Kind("network.model", "network"),
    "dataset": Kind("stream.name", "data set"),
    "stream": Kind("stream.scenario", "stream"),
    "neuron": Kind("network.neuron", "neuron"),
    "connection": Kind("network.connection", "connection"),
    "cost": Kind("learner.loss", "cost"),
    "gradient": Kind("learner.gradient", "gradient"),
    "metric": Kind("metrics", "metric"),
    "pipeline": Kind("pipeline", "pipeline"),
}
"""Every kind of part."""


def registered(kind: str) -> dict[str, EntryPoint]:
    """The parts of a kind, of clep and of installed packages, sorted by name; none is imported.

    A name that clep has itself is clep's, whoever claims it; one that two packages claim is nobody's. `problems` says
    so.

    Args:
        kind: one of `KINDS`.

    Example:
        >>> registered("strategy")["ewc"].value
        'avalanche.training.plugins:EWCPlugin'
    """
    return {name: entries[0] for name, entries in _claims(kind).items() if len(entries) == 1 or is_own(entries[0])}


def names(kind: str) -> list[str]:
    """The names of the parts of a kind, sorted.

    Example:
        >>> "sleep_replay" in names("strategy")
        True
    """
    return list(registered(kind))


def check_name(kind: str, name: str, key: str | None = None) -> None:
    """Refuse a name that is neither registered nor an import path; nothing is imported.

    Args:
        kind: one of `KINDS`.
        name: the name.
        key: what the message begins with; by default the key of the kind.

    Raises:
        ConfigError: with the nearest name, or with the packages that both claim it.

    Example:
        >>> check_name("strategy", "slep_replay")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: strategies: unknown strategy `slep_replay`; did you mean `sleep_replay`? Valid ...
    """
    claims = _claims(kind)
    key = KINDS[kind].key if key is None else key
    if name in registered(kind) or (name not in claims and is_import_path(name)):
        return
    if name in claims:
        raise ConfigError(f"{key}: `{name}` is claimed by {_claimants(claims[name])}; name one by its import path")
    raise ConfigError(f"{key}: {unknown(name, registered(kind), KINDS[kind].word)}. {_way(kind)}")


def find(kind: str, name: str, key: str | None = None) -> Any:
    """The part that a name stands for, imported.

    Args:
        kind: one of `KINDS`.
        name: a registered name, or an import path `module:Name` (`module.Name`).
        key: what messages begin with; by default the key of the kind.

    Raises:
        ConfigError: if there is no such part, two packages claim the name, or it cannot be imported.

    Example:
        >>> find("strategy", "sleep_replay").__name__
        'SleepReplay'
    """
    key = KINDS[kind].key if key is None else key
    check_name(kind, name, key)
    if (entry := registered(kind).get(name)) is None:
        return import_path(name, key)
    try:
        return import_path(entry.value, key)
    except ConfigError as error:
        raise ConfigError(f"{error}; `{name}` comes with the package {_owner(entry)}") from error


def name_of(kind: str, part: Any) -> str:
    """The name under which `find` finds a class or function: the registered one, or its import path.

    Args:
        kind: one of `KINDS`.
        part: a class or a function.

    Example:
        >>> from clep.strategies.sleep_replay import SleepReplay
        >>> name_of("strategy", SleepReplay)
        'sleep_replay'
    """
    path = f"{part.__module__}:{part.__qualname__}"
    for name, entry in registered(kind).items():
        package, _, attribute = entry.value.partition(":")  # which may only pass the part on
        if attribute == part.__qualname__ and f"{part.__module__}.".startswith(f"{package}."):
            return name
    return path


def is_own(entry: EntryPoint) -> bool:
    """Whether a part comes with clep itself."""
    return _owner(entry) == distribution.NAME


def problems() -> list[str]:
    """What is wrong with the parts that other packages register, one line each. They are imported to tell.

    Example:
        >>> problems()
        []
    """
    found = []
    for kind in KINDS:
        for name, entries in _claims(kind).items():
            others = [entry for entry in entries if not is_own(entry)]
            if is_own(entries[0]) and others:
                taken = f"{_claimants(others)} registers the {KINDS[kind].word} `{name}`, which clep has itself"
                found.append(f"{taken}; name it by its import path {others[0].value}")
            elif len(others) > 1:
                claimed = f"the {KINDS[kind].word} `{name}` is claimed by {_claimants(others)}"
                found.append(f"{claimed}; name one by its import path")
            for entry in others:
                try:
                    import_path(entry.value, f"the {KINDS[kind].word} `{name}` of {_owner(entry)}")
                except ConfigError as error:
                    found.append(str(error))
    return found


def _claims(kind: str) -> Mapping[str, list[EntryPoint]]:
    """Name -> the entry points that claim it, clep's own first, one for each distribution."""
    return _entries(KINDS[kind].group, tuple(sys.path))


@cache
def _entries(group: str, path: tuple[str, ...]) -> Mapping[str, list[EntryPoint]]:
    """The entry points of a group as `path`, the present `sys.path`, has them; to look them up takes milliseconds."""
    claims: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):
        claims.setdefault(entry.name, {}).setdefault(_owner(entry), entry)
    return {name: sorted(found.values(), key=lambda entry: not is_own(entry)) for name, found in sorted(claims.items())}


def _owner(entry: EntryPoint) -> str:
    """The name of the distribution that registers a part."""
    return "" if entry.dist is None else str(entry.dist.name)


def _claimants(entries: list[EntryPoint]) -> str:
    return " and ".join(sorted(_owner(entry) for entry in entries))


def _plural(name: str) -> str:
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _way(kind: str) -> str:
    return f"Name your own {KINDS[kind].word} by its import path, `my_module:MyPart`."
