"""Controls: what every comparison is held against, without being asked for."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from clep import parts
from clep.cells.forms import kept, spoken_change
from clep.schema import Config


def with_controls(config: Config) -> list[Any]:
    """The cells of a comparison and its controls, as a configuration keeps them.

    A control is a cell of its own for each stream of the comparison, unless there is one with its strategy already.
    It has the network and the learner of the whole comparison.

    Args:
        config: with its cells, and the strategies that are its `controls`.

    Raises:
        ConfigError: for an unknown strategy.

    Example:
        >>> from clep.config import compose
        >>> config = compose(None, ["cells=[[naive],[ewc]]", "controls=[naive,ridge]"])
        >>> with_controls(config)
        [['naive'], ['ewc'], ['ridge']]
    """
    for name in config.controls:
        parts.check_name("strategy", name, "controls")
    present = [_what_it_is(config, cell) for cell in config.cells]
    streams = list(dict.fromkeys(stream for stream, _ in present))
    return [*config.cells, *_missing(config.controls, streams, present)]


def without_controls(config: Config) -> list[Any]:
    """The cells of a comparison as they were given, before `with_controls`, as far as nobody can tell the difference.

    Args:
        config: with the cells of both.

    Example:
        >>> from clep.config import compose
        >>> without_controls(compose(None, ["cells=[[ewc],[naive],[ridge]]", "controls=[naive,ridge]"]))
        [['ewc']]
    """
    cells = config.cells
    shorter = [cells[:end] for end in range(max(1, len(cells) - len(config.controls)), len(cells) + 1)]
    same = [found for found in shorter if with_controls(dataclasses.replace(config, cells=found)) == cells]
    usual = Config.default("cells")
    return usual if usual in same else (same or [cells])[0]


def _missing(controls: list[str], streams: list[tuple[str, ...]], present: list[Any]) -> Iterator[Any]:
    for stream in streams:
        for name in controls:
            if (stream, (name,)) not in present:
                yield kept(", ".join([name, *map(_spoken, stream)]), [name], stream)


def _spoken(change: str) -> str:
    return spoken_change(change.replace("stream.name=", "stream=", 1))


def _what_it_is(config: Config, cell: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a cell changes about the stream, and its strategies."""
    if isinstance(cell, list):
        return (), tuple(cell)
    stream = tuple(change for change in cell["set"] if change.partition("=")[0].partition(".")[0] == "stream")
    return stream, tuple(cell["strategies"] or config.strategies or ["naive"])
