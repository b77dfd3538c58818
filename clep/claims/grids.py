"""Grids of a claim: the combinations of alternatives on several axes are the cells; a few lines give a hundred.

    grid:
      stream: [mnist, fashion_mnist]           # a key of the configuration and its values
      depth: {1 hidden: ["network.hidden=[128]"], 2 hidden: ["network.hidden=[128,128]"]}   # labels and their changes
      time_step: {scalar: [network=ep], lognormal: [network=hts_ep]}
      learner.lr: [0.1, 1.0]

A list of such mappings with the same axes makes a grid that is finer in some places than in others. Figures show the
last axis, with a line for each alternative of the axis before it. Each combination of the other axes is a condition
with its own table.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clep.checks import check, unknown
from clep.comparison.cell import Cell
from clep.errors import ConfigError, within
from clep.schema import key_paths


@dataclass(frozen=True)
class Axis:
    """Alternatives of one kind.

    Attributes:
        name: its title: a key of the configuration, or any word if the alternatives are given as changes.
        points: label -> the `key=value` changes of that alternative.
    """

    name: str
    points: dict[str, tuple[str, ...]]


def read_grid(values: Any) -> tuple[tuple[Axis, ...], tuple[Cell, ...]]:
    """Read a grid: its axes with all their alternatives, and a cell for every combination; neither for None.

    Args:
        values: the grid as the claim's file gives it: axis -> list of values, or axis -> mapping of labels to changes;
            or a list of such mappings.

    Raises:
        ConfigError: for an axis of values whose name is not a key of the configuration, and for anything but a
            grid. The message begins with `grid`.

    Example:
        >>> axes, combinations = read_grid({"stream": ["mnist", "kmnist"], "learner.lr": [0.1, 1.0]})
        >>> [axis.name for axis in axes], [combination.label for combination in combinations][0]
        (['stream', 'learner.lr'], 'mnist, 0.1')
    """
    if values is None:
        return (), ()
    grids: list[dict[str, Axis]] = []
    for part in values if isinstance(values, list) and values else [values]:
        if not isinstance(part, Mapping) or len(part) < 2 or list(part) != list(grids[0] if grids else part):
            raise ConfigError(
                "grid: expected at least two axes, as in {stream: [...], learner.lr: [...]}, or a list of such grids, "
                "the same axes in each"
            )
        with within("grid"):
            grids.append({str(name): _axis(str(name), points) for name, points in part.items()})
    axes = []
    for name in grids[0]:
        points: dict[str, tuple[str, ...]] = {}
        for grid in grids:
            for label, changes in grid[name].points.items():
                if points.setdefault(label, changes) != changes:
                    raise ConfigError(f"grid.{name}.{label}: expected the same changes wherever it is given")
        axes.append(Axis(name, points))
    every = itertools.chain.from_iterable(combinations(list(grid.values())) for grid in grids)
    return tuple(axes), tuple({combined.at: combined for combined in every}.values())


def combinations(axes: Sequence[Axis]) -> Iterator[Cell]:
    """A cell for every combination of one alternative per axis; the last axis varies fastest.

    Args:
        axes: at least one.

    Example:
        >>> from clep.claims.grids import Axis
        >>> axes = [Axis("depth", {"one": (), "two": ()}), Axis("lr", {"0.1": ("learner.lr=0.1",)})]
        >>> [combination.label for combination in combinations(axes)]
        ['one, 0.1', 'two, 0.1']
    """
    for labels in itertools.product(*(axis.points for axis in axes)):
        parts = (axis.points[label] for axis, label in zip(axes, labels, strict=True))
        yield Cell(", ".join(labels), tuple(itertools.chain.from_iterable(parts)), at=labels)


def axis_of(axes: Sequence[Axis], pair: Sequence[str]) -> int | None:
    """Index of the axis that has both labels; None if there is none."""
    return next((i for i, axis in enumerate(axes) if set(pair) <= set(axis.points)), None)


def _axis(name: str, points: Any) -> Axis:
    if isinstance(points, Mapping) and points:
        with within(name):
            for label, changes in points.items():
                check(str(label), changes, list[str])
        return Axis(name, {str(label): tuple(changes) for label, changes in points.items()})
    if not isinstance(points, list) or not points:
        raise ConfigError(f"{name}: expected a list of values, or labels with their changes, got {points!r}")
    valid = key_paths()
    if name not in valid and not name.startswith("strategy."):
        raise ConfigError(f"{name}: {unknown(name, valid, 'key')}; with labels and changes an axis may have any name")
    values = ["null" if value is None else str(value) for value in points]
    return Axis(name, {value: (f"{name}={value}",) for value in values})
