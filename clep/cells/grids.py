"""Grids: the combinations of alternatives on several axes are the cells; a few lines give a hundred.

    grid:
      stream: [mnist, fashion_mnist]           # a key of the configuration and its values
      depth: {1 hidden: ["network.hidden=[128]"], 2 hidden: ["network.hidden=[128,128]"]}   # labels and their changes
      time_step: {scalar: [network=ep], lognormal: [network=hts_ep]}
      learner.lr: [0.1, 1.0]
      strategies: [naive, awake_rehearsal+sleep_replay]

A list of such mappings with the same axes makes a grid that is finer in some places than in others. Figures of a claim
show the last axis, with a line for each alternative of the axis before it. Each combination of the other axes is a
condition with its own table.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clep.cells.cell import Cell
from clep.cells.forms import strategies_of, text_of
from clep.checks import check, unknown
from clep.errors import ConfigError, within
from clep.schema import is_key, key_paths, label


@dataclass(frozen=True)
class Axis:
    """Alternatives of one kind.

    Attributes:
        name: its title: a key of the configuration, or any word if the alternatives are given as changes.
        points: label -> the `key=value` changes of that alternative.
        of_values: whether the alternatives were given as values of a key, which is then `name`.
    """

    name: str
    points: dict[str, tuple[str, ...]]
    of_values: bool = False


def read_grid(values: Any, *, least: int = 2) -> tuple[tuple[Axis, ...], tuple[Cell, ...]]:
    """Read a grid: its axes with all their alternatives, and a cell for every combination; neither for None.

    Args:
        values: the grid as a file gives it: axis -> list of values, or axis -> mapping of labels to changes; or a list
            of such mappings.
        least: the least number of axes; the tables and figures of a claim need two.

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
        if not isinstance(part, Mapping) or len(part) < least or list(part) != list(grids[0] if grids else part):
            needed = "two axes" if least > 1 else "one axis"
            raise ConfigError(
                f"grid: expected at least {needed}, as in {{stream: [...], learner.lr: [...]}}, or a list of such "
                "grids, the same axes in each"
            )
        with within("grid"):
            grids.append({str(name): _axis(str(name), points) for name, points in part.items()})
    axes = []
    for name in grids[0]:
        points: dict[str, tuple[str, ...]] = {}
        for grid in grids:
            for point, changes in grid[name].points.items():
                if points.setdefault(point, changes) != changes:
                    raise ConfigError(f"grid.{name}.{point}: expected the same changes wherever it is given")
        axes.append(Axis(name, points, all(grid[name].of_values for grid in grids)))
    every = itertools.chain.from_iterable(combinations(list(grid.values())) for grid in grids)
    return tuple(axes), tuple({combined.at: combined for combined in every}.values())


def combinations(axes: Sequence[Axis]) -> Iterator[Cell]:
    """A cell for every combination of one alternative per axis; the last axis varies fastest.

    Args:
        axes: at least one.

    Example:
        >>> from clep.cells import Axis
        >>> axes = [Axis("depth", {"one": (), "two": ()}), Axis("lr", {"0.1": ("learner.lr=0.1",)})]
        >>> [combination.label for combination in combinations(axes)]
        ['one, 0.1', 'two, 0.1']
    """
    for labels in itertools.product(*(axis.points for axis in axes)):
        parts = (axis.points[point] for axis, point in zip(axes, labels, strict=True))
        yield Cell(", ".join(labels), tuple(itertools.chain.from_iterable(parts)), at=labels)


def axis_of(axes: Sequence[Axis], pair: Sequence[str]) -> int | None:
    """Index of the axis that has both labels; None if there is none."""
    return next((i for i, axis in enumerate(axes) if set(pair) <= set(axis.points)), None)


def _axis(name: str, points: Any) -> Axis:
    if isinstance(points, Mapping) and points:
        with within(name):
            for point, changes in points.items():
                check(str(point), changes, list[str])
        return Axis(name, {str(point): tuple(changes) for point, changes in points.items()})
    if not isinstance(points, list) or not points:
        raise ConfigError(f"{name}: expected a list of values, or labels with their changes, got {points!r}")
    if not is_key(name):
        raise ConfigError(
            f"{name}: {unknown(name, key_paths(), 'key')}; with labels and changes an axis may have any name"
        )
    alternatives: dict[str, tuple[str, ...]] = {}
    for value in points:
        if (point := _name(name, value)) in alternatives:
            raise ConfigError(f"{name}: expected each value once, got `{point}` again")
        alternatives[point] = (f"{name}={text_of(_plain(name, value))}",)
    return Axis(name, alternatives, of_values=True)


def _plain(name: str, value: Any) -> Any:
    """A value of an axis; a set of strategies may be written as `a+b`."""
    return strategies_of(value) or value if name == "strategies" else value


def _name(name: str, value: Any) -> str:
    """The label of a value."""
    if name == "strategies" and (strategies := strategies_of(value)) is not None:
        return label(strategies)
    return "null" if value is None else str(value)
