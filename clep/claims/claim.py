"""A claim as its YAML file gives it; see the package for the format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clep.claims.grids import Axis, axis_of, read_grid
from clep.claims.stability import check_columns
from clep.errors import ConfigError
from clep.schema import unknown

_SEEDS = (0, 1, 2, 3, 4)
_KEYS = ("claim", "config", "set", "small", "small_config", "seeds", "cells", "grid", "columns", "compare")
_CELL_KEYS = ("set", "config", "published", "source", "at_least", "note", "seeds")


@dataclass(frozen=True)
class Cell:
    """One row of a claim's table.

    Attributes:
        label: its name.
        set: `key=value` changes.
        config: the pipeline that this cell starts from; empty for that of the claim.
        published: the number of a paper, a fraction, where one is known.
        source: where that number is from.
        at_least: accuracy that the claim promises.
        note: why it is not run, if it is not, e.g. data that cannot be had.
        seeds: those of this cell, where it takes so long that it has fewer than the claim; empty for all.
        at: its labels on the axes of the grid that it comes from; empty for others.
    """

    label: str
    set: tuple[str, ...]
    config: str = ""
    published: float | None = None
    source: str = ""
    at_least: float | None = None
    note: str = ""
    seeds: tuple[int, ...] = ()
    at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim; see the package. `given` is the name or path by which it was asked for."""

    name: str
    claim: str
    config: str
    set: tuple[str, ...]
    small: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    compare: tuple[tuple[str, str], ...] = ()
    small_config: str = ""
    given: str = ""
    grid: tuple[Axis, ...] = ()
    columns: tuple[str, ...] = ()


def read(path: Path, name: str) -> Claim:
    """Read a claim.

    Raises:
        ConfigError: for an unknown key, a comparison of unknown cells, or a file that is no claim.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{name}: cannot be read as YAML: {error}") from error
    cells_or_grid = isinstance(values, Mapping) and (values.get("cells") or values.get("grid"))
    if not cells_or_grid or not isinstance(values.get("cells") or {}, Mapping):
        raise ConfigError(f"{name}: expected a claim with `claim`, `config`, `seeds` and `cells` or `grid`.")
    _refuse_unknown(values, _KEYS, name)
    for key in ("set", "small", "seeds", "compare", "columns"):
        _refuse_no_list(values, key, name)
    cells = []
    for label, cell in (values.get("cells") or {}).items():
        cell = cell or {}
        _refuse_unknown(cell, _CELL_KEYS, f"{name}: cells.{label}")
        for key in ("set", "seeds"):
            _refuse_no_list(cell, key, f"{name}: cells.{label}")
        if not set(cell.get("seeds", ())) <= set(values.get("seeds") or _SEEDS):
            raise ConfigError(f"{name}: cells.{label}.seeds: expected some of the claim's seeds, got {cell['seeds']}")
        lists = {key: tuple(cell.get(key, ())) for key in ("set", "seeds")}
        cells.append(Cell(str(label), **(cell | lists)))
    grid, combinations = read_grid(values.get("grid"), name)
    cells += [Cell(combined.label, combined.set, at=combined.at) for combined in combinations]
    check_columns(values.get("columns") or (), name)
    claim = Claim(
        name=Path(name).stem,
        claim=str(values.get("claim", "")),
        config=str(values.get("config", "class_incremental")),
        set=tuple(values.get("set") or ()),
        small=tuple(values.get("small") or ()),
        seeds=tuple(values.get("seeds") or _SEEDS),
        cells=tuple(cells),
        compare=tuple(_pair(pair, name) for pair in values.get("compare") or ()),
        small_config=str(values.get("small_config") or ""),
        given=name,
        grid=grid,
        columns=tuple(values.get("columns") or ()),
    )
    labels = [cell.label for cell in claim.cells]
    for pair in claim.compare:
        if len(both := [axis.name for axis in grid if set(pair) <= set(axis.points)]) > 1:
            raise ConfigError(
                f"{name}: compare: `{pair[0]}` and `{pair[1]}` are alternatives of {' and '.join(both)} alike; name "
                "those of one of them otherwise, with labels and changes."
            )
        for label in pair if axis_of(grid, pair) is None else ():
            if label not in labels:
                alternatives = [label for axis in grid for label in axis.points]
                raise ConfigError(f"{name}: compare: {unknown(label, alternatives or labels, 'cell')}")
    return claim


def _pair(pair: Any, where: str) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ConfigError(f"{where}: compare: expected pairs of cells, as in [[sleep, naive]], got {pair!r}")
    return str(pair[0]), str(pair[1])


def _refuse_no_list(values: Mapping[str, Any], key: str, where: str) -> None:
    if not isinstance(values.get(key) or [], list):
        raise ConfigError(f"{where}: {key}: expected a list, got {values[key]!r}")


def _refuse_unknown(values: Mapping[str, Any], valid: Sequence[str], where: str) -> None:
    for key in values:
        if key not in valid:
            raise ConfigError(f"{where}: {unknown(str(key), valid, 'key')}")
