"""The parts that a configuration names besides its strategies, and the options of those from other packages."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from clep import networks, parameters, parts
from clep.config import Config
from clep.errors import within
from clep.specs.learner import LearnerSpec
from clep.specs.options import signature_of


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


def options(config: Config) -> dict[str, dict[str, Any]]:
    """The options of parts from other packages with all of their defaults, as changes of the configuration.

    Args:
        config: the configuration.

    Raises:
        ConfigError: if a part cannot be imported, or for an option that it does not take; the message begins with its
            key.
    """
    found: dict[str, dict[str, Any]] = {"network": {}, "learner": {}}
    for row, taker, given in _takers(config):
        values = getattr(getattr(config, row.section), row.options)
        with within(f"{row.section}.{row.options}"):
            if row.kind != "gradient":  # whose keys are checked against all of its options, where it is made
                parameters.check_arguments(taker, values, given=given)
        found[row.section][row.options] = parameters.defaults(taker, given=given) | values
    return found


def defaults(config: Config) -> dict[str, Any]:
    """The defaults of the options of parts from other packages, nested as in the configuration.

    Args:
        config: the configuration.
    """
    found: dict[str, dict[str, Any]] = {"network": {}, "learner": {}}
    for row, taker, given in _takers(config):
        found[row.section][row.options] = parameters.defaults(taker, given=given)
    return found


def _acting(config: Config) -> Iterator[_Row]:
    relaxes = config.network.model == "equilibrium"
    return (row for row in _ROWS if relaxes or row.kind in ("network", "dataset", "stream", "cost"))


def _name(row: _Row, config: Config) -> str:
    return str(getattr(getattr(config, row.section), row.key))


def _takers(config: Config) -> Iterator[tuple[_Row, Any, Collection[str]]]:
    """The classes and functions of other packages that take options, with the parameters that clep gives them."""
    for row in _acting(config):
        name = _name(row, config)
        if name in parts.own(row.kind) or row.section == "stream":  # a stream checks its own options
            continue
        found = networks.maker_of(name) if row.kind == "network" else parts.find(row.kind, name)
        if isinstance(found, type) or hasattr(found, "__code__"):
            yield row, found, _given(row.kind, found)


def _given(kind: str, taker: Any) -> Collection[str]:
    fixed: Mapping[str, Collection[str]] = {
        "network": networks.GIVEN,
        "cost": ("reduction",),
        "gradient": (*LearnerSpec.names(), "adaptation"),
    }
    return list(signature_of(taker).parameters)[:3] if kind == "connection" else fixed.get(kind, ())
