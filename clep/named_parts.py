"""The parts that a configuration names besides its strategies, and the options of those from other packages."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from clep import parameters, parts
from clep.config import Config
from clep.datasets.names import GIVEN as GIVEN_TO_DATASET
from clep.errors import within
from clep.specs.learner import LearnerSpec
from clep.specs.options import signature_of
from clep.specs.stream import GIVEN as GIVEN_TO_STREAM


class _Row(NamedTuple):
    """Where a configuration names a part of a kind, and where it has its options."""

    kind: str
    section: str
    key: str
    options: str


_ROWS = [
    _Row(name, kind.key.partition(".")[0], kind.key.partition(".")[2], kind.options.partition(".")[2])
    for name, kind in parts.KINDS.items()
    if kind.options
]

_ALWAYS = ("network", "dataset", "stream", "cost")  # the others act in equilibrium networks alone


def named(config: Config) -> list[tuple[str, str]]:
    """(kind, name) of every part that acts, as `clep.parts.find` takes them.

    Args:
        config: the configuration.

    Example:
        >>> from clep.config import compose
        >>> named(compose(None, ["network=feedforward"]))
        [('network', 'feedforward'), ('dataset', 'digits'), ('stream', 'class_incremental'), ('cost', 'mse')]
    """
    return [(row.kind, _name(row, config)) for row in _acting(config)]


def foreign(config: Config) -> bool:
    """Whether any of these parts comes from another package.

    Args:
        config: the configuration.

    Example:
        >>> from clep.config import compose
        >>> foreign(compose()), foreign(compose(None, ["network=my_module:MLP"]))
        (False, True)
    """
    return any(name not in parts.own(kind) for kind, name in named(config))


def options(config: Config) -> dict[str, dict[str, Any]]:
    """The options of parts from other packages, and of scenarios, with all of their defaults, as changes of the
    configuration.

    Args:
        config: the configuration.

    Raises:
        ConfigError: if a part cannot be imported, or for an option that it does not take; the message begins with its
            key.
    """
    found: dict[str, dict[str, Any]] = {"network": {}, "learner": {}, "stream": {}}
    for row, taker, given in _takers(config):
        values = getattr(getattr(config, row.section), row.options)
        with within(f"{row.section}.{row.options}"):
            if row.kind != "gradient":  # whose keys are checked against all of its options, where it is made
                parameters.check_arguments(taker, values, given=given)
        found[row.section][row.options] = parameters.defaults(taker, given=given) | values
    return found


def defaults(config: Config) -> dict[str, Any]:
    """The defaults of the options of parts from other packages, and of scenarios, nested as in the configuration.

    Args:
        config: the configuration.
    """
    found: dict[str, dict[str, Any]] = {"network": {}, "learner": {}, "stream": {}}
    for row, taker, given in _takers(config):
        found[row.section][row.options] = parameters.defaults(taker, given=given)
    return found


def _acting(config: Config) -> Iterator[_Row]:
    relaxes = config.network.model == "equilibrium"
    return (row for row in _ROWS if relaxes or row.kind in _ALWAYS)


def _name(row: _Row, config: Config) -> str:
    return str(getattr(getattr(config, row.section), row.key))


def _takers(config: Config) -> Iterator[tuple[_Row, Any, Collection[str]]]:
    """The classes and functions that take options of their own, with the parameters that clep gives them."""
    from clep import networks  # which needs torch

    given = {"network": networks.GIVEN}
    for row in _acting(config):
        name = _name(row, config)
        if name in parts.own(row.kind) and row.kind != "stream":  # whose options are keys of their own
            continue
        found = networks.maker_of(name) if row.kind == "network" else parts.find(row.kind, name)
        if inspect.isclass(found) or inspect.isroutine(found):
            yield row, found, given.get(row.kind) or _given(row.kind, found)


def _given(kind: str, taker: Any) -> Collection[str]:
    fixed: Mapping[str, Collection[str]] = {
        "dataset": GIVEN_TO_DATASET,
        "stream": GIVEN_TO_STREAM,
        "cost": ("reduction",),
        "gradient": (*LearnerSpec.names(), "adaptation"),
    }
    return list(signature_of(taker).parameters)[:3] if kind == "connection" else fixed.get(kind, ())
