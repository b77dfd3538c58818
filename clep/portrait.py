"""What a strategy is, in one view: parameters, hooks, what it works with, and where it comes from."""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from avalanche.core import BasePlugin, SupervisedPlugin

from clep import parts, registry
from clep.build import build_learner, build_stream, build_training
from clep.capabilities import capabilities
from clep.checks import words
from clep.config import builtin, compose
from clep.docstrings import meanings, summary
from clep.errors import ConfigError, StrategyError
from clep.search.spaces import declared
from clep.specs.capabilities import CAPABILITIES
from clep.strategy import Strategy, has_read_out
from clep.tables import WIDTH
from clep.testing.runs import RULES, quiet, refusal

_DECLARATIONS = {
    "stands_alone": "stands alone",
    "trains_jointly": "learns all experiences at once",
    "consolidates": "changes the weights after an experience",
    "sleeps": "sleeps",
    "draws_globally": "draws from torch's global generator",
    "reads_out": "answers by a read-out of its own, instead of the outputs of the network",
    "trains_nothing": "trains no network",
}
_HOOKS = [name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a strategy.

    Attributes:
        name: its name; the key is `strategy.STRATEGY.NAME`.
        type: type and range in words; empty if nobody says.
        required: whether it has no default.
        default: the value that it has otherwise.
        meaning: what the docstring says.
        search: the range that `clep tune` searches; None if it leaves the parameter alone.
    """

    name: str
    type: str
    required: bool
    default: Any
    meaning: str
    search: Any


@dataclass(frozen=True)
class Portrait:
    """A strategy, for `clep show strategy NAME`.

    Attributes:
        name: its name.
        about: what its docstring says.
        parameters: what it takes.
        hooks: the hooks of Avalanche that it has.
        capabilities: what it does to a training iteration, of `clep.specs.capabilities.CAPABILITIES`.
        declares: what else it declares, such as `consolidates`.
        memory: how it is known what it keeps of the past.
        gradients: gradient estimate, or `feedforward` for backpropagation -> why it is refused; None if it is not.
        networks: name of a network -> the same.
        reference: where it was published; empty if the docstrings do not say.
        path: import path of the class.
        file: where its source is.
        package: the distribution that it comes with.
        example: a command that uses it.
    """

    name: str
    about: str
    parameters: Sequence[Parameter]
    hooks: Sequence[str]
    capabilities: Sequence[str]
    declares: Sequence[str]
    memory: str
    gradients: Mapping[str, str | None]
    networks: Mapping[str, str | None]
    reference: str
    path: str
    file: str
    package: str
    example: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return vars(self) | {"parameters": [vars(parameter) for parameter in self.parameters]}

    def to_text(self) -> str:
        """Lines of at most 79 characters, but for paths."""
        return "\n".join(_lines(self))


def portrait(name: str, changes: Sequence[str] = ()) -> Portrait:
    """Look at a strategy.

    Args:
        name: a registered name, or an import path.
        changes: `key=value` texts: parameters of the strategy, or a stream or learner to ask about.

    Raises:
        ConfigError: for an unknown name or parameter.

    Example:
        >>> portrait("gem").capabilities
        ['uses_gradients', 'differentiates_outputs']
    """
    cls = registry.find(name)
    overrides = [f"strategies=[{name}]", *changes]
    values = compose(None, overrides).strategy.get(name, {})
    taken = list(_parameters(name, cls, values))
    return Portrait(
        name=name,
        about=summary(cls.__doc__) or builtin("strategy").get(name, ""),
        parameters=taken,
        hooks=[hook for hook in _HOOKS if _has(cls, hook)],
        capabilities=[known for known in CAPABILITIES if known in capabilities(object.__new__(cls))],
        declares=list(_declares(name, cls, values)),
        memory=_memory(cls),
        gradients={rule: refusal(lambda: registry.build([name], {name: values}), rule) for rule in RULES},
        networks=dict(_networks(overrides)),
        reference=_reference(cls),
        path=f"{cls.__module__}:{cls.__qualname__}",
        file=inspect.getsourcefile(cls) or "",
        package=_package(name, cls),
        example=_example(name, taken),
    )


def _parameters(name: str, cls: type[BasePlugin], values: Mapping[str, Any]) -> Iterator[Parameter]:
    ranges, defaults, said, space = registry.ranges(cls), registry.defaults(cls), meanings(cls), declared(name, values)
    for key, parameter in registry.parameters(cls).items():
        kind = parameter.annotation
        yield Parameter(
            name=key,
            type="" if kind in (parameter.empty, Any) else words(kind, ranges.get(key)),
            required=parameter.default is parameter.empty and key not in values,
            default=values.get(key, defaults.get(key)),
            meaning=said.get(key, ""),
            search={entry: dict(found) for entry, found in space.items() if entry.partition("[")[0] == key} or None,
        )


def _has(cls: type[BasePlugin], hook: str) -> bool:
    """Whether a class has a hook of its own, besides those of the bases of all strategies."""
    bases = {*Strategy.__mro__, *SupervisedPlugin.__mro__}
    return any(hook in vars(parent) for parent in cls.__mro__ if parent not in bases)


def _memory(cls: type[BasePlugin]) -> str:
    own = issubclass(cls, Strategy) and cls.memory is not Strategy.memory
    return "counted by its own `memory()`" if own else "found in its attributes"


def _networks(overrides: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each network of `clep list networks` -> why it is refused; those that the stream does not fit are left out."""
    stream = None
    for network in builtin("network"):
        try:
            config = compose(None, [f"network={network}", *overrides])
            stream = stream or build_stream(config)
            with quiet():
                build_learner(config, stream)
        except ConfigError:
            continue
        try:
            with quiet():
                build_training(config, stream)
            yield network, None
        except ConfigError as error:
            yield network, str(error)


def _reference(cls: type[BasePlugin]) -> str:
    """What the docstrings of a class and its module say under `References:`."""
    for text in (cls.__doc__, getattr(inspect.getmodule(cls), "__doc__", None)):
        if found := re.search(r"^References?:\s*(.*?)(?:\n\n|\Z)", inspect.cleandoc(text or ""), re.M | re.S):
            return " ".join(found[1].split())
    return ""


def _package(name: str, cls: type[BasePlugin]) -> str:
    """The distribution that registers a strategy, or brings its class."""
    entry = parts.registered("strategy").get(name)
    if entry is not None and entry.dist is not None:
        return f"{entry.dist.name} {entry.dist.version}"
    owners = metadata.packages_distributions().get(cls.__module__.partition(".")[0], [])
    return f"{owners[0]} {metadata.version(owners[0])}" if owners else ""


def _example(name: str, taken: Sequence[Parameter]) -> str:
    shown = [p for p in taken if p.required] or [p for p in taken if isinstance(p.default, int | float)][:1]
    values = "".join(f" strategy.{name}.{p.name}={'VALUE' if p.required else _yaml(p.default)}" for p in shown)
    return f"clep run strategies={name}{values}"


def _yaml(value: Any) -> str:
    return json.dumps(value)


def _lines(shown: Portrait) -> Iterator[str]:
    yield from _wrapped(f"{shown.name}: ", shown.about.replace("\n\n", " "))
    yield ""
    yield "parameters:" if shown.parameters else "parameters: none"
    for parameter in shown.parameters:
        default = "required" if parameter.required else f"default {_yaml(parameter.default)}"
        yield from _wrapped(f"  {parameter.name}: ", "; ".join(text for text in (parameter.type, default) if text))
        yield from _wrapped("    ", parameter.meaning)
        for entry, space in (parameter.search or {}).items():
            what = "" if entry == parameter.name else f" of {entry}"
            yield from _wrapped("    ", f"search space{what}: {_range(space)}")
    yield ""
    yield from _wrapped("hooks: ", ", ".join(shown.hooks) or "none")
    yield from _wrapped("does: ", "; ".join(_does(shown)) or "nothing besides its hooks")
    yield from _wrapped("memory: ", shown.memory)
    yield from _works("gradients", shown.gradients)
    yield from _works("networks", shown.networks)
    for label in ("reference", "path", "file", "package", "example"):
        if text := getattr(shown, label):
            yield from _wrapped(f"{label}: ", text)


def _declares(name: str, cls: type[BasePlugin], values: Mapping[str, Any]) -> Iterator[str]:
    yield from (known for known in _DECLARATIONS if getattr(cls, known, False))
    try:
        (made, *_) = registry.build([name], {name: values})
    except (ConfigError, StrategyError):  # a parameter must be given: the class alone is asked
        made = object.__new__(cls)
    if has_read_out(made):
        yield "reads_out"
    if not getattr(made, "trains", True):
        yield "trains_nothing"


def _does(shown: Portrait) -> Iterator[str]:
    yield from (CAPABILITIES[known] for known in CAPABILITIES if known in shown.capabilities)
    yield from (_DECLARATIONS[known] for known in shown.declares)


def _works(label: str, answers: Mapping[str, str | None]) -> Iterator[str]:
    yield from _wrapped(f"{label}: ", ", ".join(name for name, reason in answers.items() if reason is None) or "none")
    reasons: dict[str, list[str]] = {}
    for name, reason in answers.items():
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield from _wrapped(f"  not {', '.join(names)}: ", reason)


def _range(space: Mapping[str, Any]) -> str:
    if "choices" in space:
        return ", ".join(map(_yaml, space["choices"]))
    return f"{space['low']} to {space['high']}{', logarithmic' if space.get('log') else ''}"


def _wrapped(start: str, text: str) -> Iterator[str]:
    """Text behind a label, its further lines indented; words such as paths stay whole."""
    indent = " " * (4 if start.startswith("  ") else 2)
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
