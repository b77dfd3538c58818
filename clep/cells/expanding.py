"""Every cell with all that it changes: what a configuration keeps, so that a stored copy composes to the same cells."""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from clep import parts
from clep.cells.cell import Cell
from clep.cells.forms import kept, read_cells, spoken_change, text_of
from clep.cells.grids import Axis, read_grid
from clep.cells.vain import idle_changes, of_others
from clep.errors import ConfigError, UnusedWarning
from clep.schema import Config, key_paths
from clep.specs.options import Spec

_FIXED = {
    "seed": "every cell runs with all `seeds`",
    "seeds": "every cell runs with all `seeds`",
    "cells": "a cell has no cells",
    "grid": "a cell has no grid",
    "controls": "it belongs to the whole comparison",
    "baseline": "it belongs to the whole comparison",
    "workers": "it belongs to the whole comparison",
    "tracking": "it belongs to the whole comparison",
    "data": "it belongs to the whole comparison",
    "columns": "it belongs to the whole comparison",
    "tune": "`clep compare` does not read it",
}
_NOT_KEPT = {*_FIXED, "strategies", "strategy"}


def expand(
    config: Config,
    *,
    given: bool,
    compose: Callable[[Sequence[str]], Config],
    keys_of_network: Callable[[str], set[str]],
) -> list[Any]:
    """The cells of a configuration and of its grid, each with its strategies and every key in which it differs.

    Args:
        config: the configuration of the whole comparison.
        given: whether its `cells` were given, so that they stay beside those of a grid.
        compose: composes the configuration with further `key=value` changes.
        keys_of_network: name of a network -> the keys that its file sets.

    Raises:
        ConfigError: for a cell that does not compose; the message begins with `cells[i]` or `grid.AXIS`.
    """
    axes, combinations = read_grid(config.grid or None, least=1)
    written = read_cells(config.cells) if given or not combinations else []
    places = [f"cells[{i}]" for i in range(len(written))]
    cells = [*written, *(replace(cell, label=_spoken(axes, cell.at)) for cell in combinations)]
    entries = []
    for i, cell in enumerate(cells):
        place = places[i] if i < len(written) else ""
        _refuse_fixed(place, axes, cell)
        try:
            composed = compose(cell.set)
            for name in composed.strategies:
                parts.check_name("strategy", name)
            for reason in of_others(cell.set, composed.strategies):
                if place:
                    raise ConfigError(f"set: {reason}")
                _say(f"{_axis_of(axes, cell, 'strategy')}: {reason}", cell)  # as some combinations have it
            for reason in idle_changes(cell.set, composed, compose):
                _say(f"{place or _axis_of(axes, cell, reason)}: {reason}", cell)
        except ConfigError as error:
            raise ConfigError(f"{place or _axis_of(axes, cell, str(error))}: {error} (cell `{cell.label}`)") from error
        entries.append(kept(cell.label, composed.strategies, list(_differences(config, composed, keys_of_network))))
    return entries


def _say(text: str, cell: Cell) -> None:
    warnings.warn(f"{text} (cell `{cell.label}`)", UnusedWarning, stacklevel=2)


def _spoken(axes: Sequence[Axis], at: Sequence[str]) -> str:
    """The label of a combination; a number alone would not say what it is."""
    parts = []
    for axis, point in zip(axes, at, strict=True):
        parts.append(spoken_change(f"{axis.name}={point}") if axis.of_values else point)
    return ", ".join(parts)


def _refuse_fixed(place: str, axes: Sequence[Axis], cell: Cell) -> None:
    for change in cell.set:
        key = change.partition("=")[0].partition(".")[0]
        if key in _FIXED:
            where = f"{place}.set" if place else _axis_of(axes, cell, key)
            raise ConfigError(f"{where}: `{key}` cannot differ between cells: {_FIXED[key]} (cell `{cell.label}`)")


def _axis_of(axes: Sequence[Axis], cell: Cell, error: str) -> str:
    """`grid.AXIS` for the axis of a combination that sets the key with which an error begins; `grid` if none does."""
    key = error.partition(":")[0]
    for axis, point in zip(axes, cell.at, strict=True):
        for changed in (change.partition("=")[0] for change in axis.points[point]):
            if key == changed or key.startswith(f"{changed}.") or changed.startswith(f"{key}."):
                return f"grid.{axis.name}"
    return "grid"


def _differences(config: Config, cell: Config, keys_of_network: Callable[[str], set[str]]) -> Iterator[str]:
    """The keys of a cell that are not as in the whole comparison.

    A cell with another network keeps all keys of that network's file, which would otherwise be set anew from there.
    """
    another = cell.network.name != config.network.name
    set_anew = keys_of_network(cell.network.name) if another else set()
    for path in key_paths():
        if path.partition(".")[0] in _NOT_KEPT or isinstance(value := _at(cell, path), Spec):
            continue
        if value != _at(config, path) or path in set_anew:
            yield f"{path}={text_of(value)}"
    for name in cell.strategies:
        before = config.strategy.get(name, {})
        for key, value in cell.strategy.get(name, {}).items():
            if key not in before or before[key] != value:
                yield f"strategy.{name}.{key}={text_of(value)}"


def _at(config: Config, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), config)
