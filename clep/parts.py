"""The door for parts of every kind: by the name that a package registers, or by an import path.

A package registers a name as an entry point in the group of its kind, and clep's own parts come through the same door.
Nothing is imported before it is asked for.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, entry_points
from typing import Any, NamedTuple

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
        options: the key that holds the parameters of a part from another package; empty if there is none.
    """

    key: str
    word: str
    options: str = ""

    @property
    def group(self) -> str:
        """The group of its entry points."""
        return f"clep.{plural(next(name for name, kind in KINDS.items() if kind == self))}"


KINDS = {
    "strategy": Kind("strategies", "strategy"),
    "network": Kind("network.model", "network", "network.options"),
    "dataset": Kind("stream.name", "data set", "stream.dataset_options"),
    "stream": Kind("stream.scenario", "stream", "stream.scenario_options"),
    "neuron": Kind("network.neuron", "neuron", "network.neuron_options"),
    "connection": Kind("network.connection", "connection", "network.connection_options"),
    "cost": Kind("learner.loss", "cost", "learner.loss_options"),
    "gradient": Kind("learner.gradient", "gradient", "learner.gradient_options"),
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


def own(kind: str) -> list[str]:
    """The names of the parts of a kind that come with clep itself, sorted.

    Example:
        >>> own("gradient")
        ['bptt', 'cep', 'clamped', 'cost', 'linear']
    """
    return [name for name, entry in registered(kind).items() if is_own(entry)]


class Owner(NamedTuple):
    """What a part comes with.

    Attributes:
        name: of the package, or of the module if no package registers the part.
        version: of the package; empty for a module.
    """

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


def owner_of(kind: str, name: str) -> Owner | None:
    """The package that a name comes with, or the module of an import path; None for clep's own.

    Args:
        kind: one of `KINDS`.
        name: a registered name, or an import path.

    Example:
        >>> owner_of("neuron", "my_module:LEAKY"), owner_of("neuron", "tanh")
        (Owner(name='my_module', version=''), None)
    """
    entry = registered(kind).get(name)
    if entry is None:
        return Owner(name.partition(":")[0] if ":" in name else name.rpartition(".")[0])
    return None if is_own(entry) or entry.dist is None else Owner(_name(entry.dist), entry.dist.version)


@contextmanager
def only_registered(reason: str) -> Iterator[None]:
    """Find parts by registered names alone, for names that come from a file: nothing is imported because it says so.

    Args:
        reason: why, and what to do instead; it ends the message that refuses an import path.

    Example:
        >>> from clep.parts import find
        >>> with only_registered("a letter named it"):
        ...     find("cost", "my_module:Mine")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: learner.loss: `my_module:Mine` is not imported: a letter named it
    """
    token = _REGISTERED_ALONE.set(reason)
    try:
        yield
    finally:
        _REGISTERED_ALONE.reset(token)


_REGISTERED_ALONE: ContextVar[str] = ContextVar("only_registered", default="")


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
    if (reason := refusal(kind, name)) is not None:
        raise ConfigError(f"{KINDS[kind].key if key is None else key}: {reason}")


def refusal(kind: str, name: str, also: Iterable[str] = ()) -> str | None:
    """Why a name is neither registered nor an import path; None if it is. Nothing is imported.

    Args:
        kind: one of `KINDS`.
        name: the name.
        also: other names that are valid where it stands.

    Example:
        >>> refusal("neuron", "tahn").partition("?")[0]
        'unknown neuron `tahn`; did you mean `tanh`'
    """
    claims = _claims(kind)
    if name in registered(kind) or (name not in claims and is_import_path(name)):
        return None
    if name in claims:
        return f"`{name}` is claimed by {_claimants(claims[name])}; name one by its import path"
    return f"{unknown(name, {*registered(kind), *also}, KINDS[kind].word)}. {_way(kind)}"


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
        if reason := _REGISTERED_ALONE.get():
            raise ConfigError(f"{key}: `{name}` is not imported: {reason}")
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
    """The entry points of a group as `path`, the present `sys.path`, has them."""
    claims: dict[str, dict[str, EntryPoint]] = {}
    for entry in _installed(path).select(group=group):
        claims.setdefault(entry.name, {}).setdefault(_owner(entry), entry)
    return {name: sorted(found.values(), key=lambda entry: not is_own(entry)) for name, found in sorted(claims.items())}


@cache
def _installed(path: tuple[str, ...]) -> EntryPoints:
    """All entry points; to look them up takes some ten milliseconds, and for one group as long."""
    found: EntryPoints = entry_points()  # type: ignore[assignment]  # as typed for older versions of Python
    return found


def _owner(entry: EntryPoint) -> str:
    """The name of the distribution that registers a part."""
    return "" if entry.dist is None else _name(entry.dist)


@cache
def _name(found: Distribution) -> str:
    """The name of a distribution, read once: it stands in a file."""
    return str(found.name)


def _claimants(entries: list[EntryPoint]) -> str:
    return " and ".join(sorted(_owner(entry) for entry in entries))


def plural(name: str) -> str:
    """The name of a kind for many of it, as in the group of its entry points.

    Example:
        >>> plural("strategy"), plural("cost")
        ('strategies', 'costs')
    """
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _way(kind: str) -> str:
    return f"Name your own {KINDS[kind].word} by its import path, `my_module:MyPart`."
