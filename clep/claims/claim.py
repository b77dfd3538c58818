"""A claim, as read from its YAML file; the package describes the format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clep.cells import Axis, Cell, axis_of, not_chosen, of_others, read_grid
from clep.checks import check, one_of, repeats, shown, unknown
from clep.columns import Column, chosen
from clep.config import Config, compose
from clep.documents import line_of, refuse_ambiguous, text_of, why
from clep.errors import ConfigError, within
from clep.schema import named_controls

_FIXED = ("seed", "seeds", "cells", "controls", "strategies", "tune")
_ELSEWHERE = {
    "seed": "seeds",
    "seeds": "seeds",
    "cells": "cells",
    "controls": "controls",
    "tune": "clep tune",
}  # a change has no effect


@dataclass(frozen=True)
class Claim:
    """A comparison with a sentence, published numbers and verdicts; see `clep.claims`.

    Attributes:
        name: the file's name, without ending.
        claim: the sentence.
        config: the pipeline that every cell starts from.
        set: `key=value` changes for every cell.
        small: more changes for a quick look.
        seeds: seeds of every cell.
        cells: the cells, including those of the grid.
        compare: pairs of labels; the first should be above the second.
        small_config: the pipeline for a quick look; empty for `config`.
        given: the name or path that the user typed.
        grid: the axes of the grid; empty without one.
        columns: the columns that the claim adds to its table.
        controls: strategies that become cells of their own, as `clep compare` has them; `none` for none.

    Example:
        >>> from clep.comparison import Cell
        >>> claim = Claim("mine", cells=(Cell("naive"), Cell("joint", ("strategies=joint",))))
        >>> [config.strategies for cell, config in claim.composed()]
        [[], ['joint']]
    """

    name: str
    claim: str = ""
    config: str = "class_incremental"
    set: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    cells: tuple[Cell, ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
    small_config: str = ""
    given: str = ""
    grid: tuple[Axis, ...] = ()
    columns: tuple[Column, ...] = ()
    controls: tuple[str, ...] = ()

    def composed(self, changes: Sequence[str] = (), *, small: bool = False) -> Iterator[tuple[Cell, Config]]:
        """The cells to run, each with its configuration.

        Args:
            changes: more `key=value` changes for every cell.
            small: whether to make the claim's changes for a quick look.

        Raises:
            ConfigError: for a change that is not valid, or that touches what the claim fixes.
        """
        pipeline, shared = self.base(small=small)
        for change in changes:
            key = change.partition("=")[0].partition(".")[0]
            if key in _FIXED:
                text = "the claim's file decides which cells and seeds are run; edit a copy of it, and give its path"
                raise ConfigError(f"{key}: {text}")
        chosen: set[str] = set()
        for cell in self.cells:
            if not cell.note:
                composed = compose(cell.config or pipeline, [*shared, *cell.set, *changes])
                own = composed.strategies or ["naive"]
                chosen.update(own)
                for reason in () if cell.at else of_others(cell.set, own):
                    raise ConfigError(f"cells.{cell.label}.set: {reason}")
                yield cell, composed
        for change in [*shared, *changes]:
            if (name := not_chosen(change, chosen)) is not None:
                key = change.partition("=")[0]
                raise ConfigError(f"{key}: changes nothing: no cell of the claim has the strategy `{name}`")

    def base(self, *, small: bool = False) -> tuple[str, list[str]]:
        """The pipeline and the changes with which all cells start."""
        pipeline = self.small_config if small and self.small_config else self.config
        return pipeline, [*self.set, *(self.small if small else ())]


def read(path: Path, name: str) -> Claim:
    """Read a claim.

    Args:
        path: its file.
        name: the name or path that the user typed; messages begin with it.

    Raises:
        ConfigError: for an unknown key or column, a value of the wrong type, a comparison of unknown cells, or a file
            that is not a claim.

    Example:
        >>> from clep.config import find
        >>> read(find("claim", "sleep_mnist"), "sleep_mnist").seeds
        (0, 1, 2, 3, 4)
    """
    try:
        text = text_of(path)
        refuse_ambiguous(text)
        return _claim(OmegaConf.to_container(OmegaConf.create(text)), name)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    except (OSError, yaml.YAMLError, OmegaConfBaseException, RecursionError, ValueError) as error:
        raise ConfigError(f"{name}{line_of(error)}: cannot be read as YAML: {why(error)}") from error


def _claim(values: Any, name: str) -> Claim:
    """The claim in a file."""
    if not isinstance(values, Mapping) or not (values.get("cells") or values.get("grid")):
        raise ConfigError("expected a claim with `claim`, `config`, `seeds` and `cells` or `grid`")
    kinds = get_type_hints(Claim) | {"cells": Any, "grid": Any, "columns": list[str], "compare": Any}
    values = dict(values) | {"controls": named_controls(values.get("controls"))}
    given = _checked(values, {key: kind for key, kind in kinds.items() if key not in ("name", "given")})
    if given.get("seeds") == ():
        raise ConfigError("seeds: expected at least one entry, got []")
    grid, combinations = read_grid(given.pop("grid", None))
    if not isinstance(cells := given.pop("cells", {}), Mapping):
        raise ConfigError(f"cells: expected labels with the changes of their cells, got {shown(cells)}")
    repeats("cells", [str(label) for label in cells])
    written = [_cell(str(label), cell or {}) for label, cell in cells.items()]
    written += [Cell(name, (f"strategies={name}",)) for name in given.get("controls", ())]
    claim = Claim(
        name=Path(name).stem,
        given=name,
        cells=(*written, *combinations),
        grid=grid,
        columns=chosen(given.pop("columns", ())),
        compare=_pairs(given.pop("compare", [])),
        **{key: value for key, value in given.items() if value != ()},
    )
    _check_values(claim)
    for pair in claim.compare:
        _check_pair(pair, claim)
    return claim


def _check_values(claim: Claim) -> None:
    """Refuse what would show only in the table, after all training, or would have no effect."""
    check("seeds", list(claim.seeds), list[int], "[0, inf)")
    repeats("seeds", claim.seeds)
    repeats("cells", [cell.label for cell in claim.cells])
    repeats("columns", [column.name for column in claim.columns])
    repeats("compare", claim.compare)
    _check_changes("set", claim.set)
    _check_changes("small", claim.small)
    for cell in claim.cells:
        with within(f"cells.{cell.label}"):
            repeats("seeds", cell.seeds)
            if not set(cell.seeds) <= set(claim.seeds):
                raise ConfigError(f"seeds: expected some of the claim's seeds, got {list(cell.seeds)}")
            for key in ("published", "at_least"):
                check(key, getattr(cell, key), float | None, "[0, 1]")
            _check_changes("set", cell.set)


def _check_changes(key: str, changes: Sequence[str]) -> None:
    for change in changes:
        name, equals, _ = change.partition("=")
        if not equals:
            raise ConfigError(f"{key}: expected key=value, got `{change}`")
        if home := _ELSEWHERE.get(name.partition(".")[0]):
            raise ConfigError(f"{key}: `{change}` would change nothing in a claim; use `{home}`")


def _cell(label: str, values: Any) -> Cell:
    if not isinstance(values, Mapping):
        raise ConfigError(f"cells.{label}: expected keys and their values, as in {{set: [...]}}, got {shown(values)}")
    kinds = {key: kind for key, kind in get_type_hints(Cell).items() if key not in ("label", "at")}
    with within(f"cells.{label}"):
        return Cell(label, **_checked(values, kinds))


def _checked(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not null, with lists as tuples; refuses unknown keys and values of the wrong type."""
    given = {str(key): value for key, value in values.items() if value is not None}
    for key, value in given.items():
        one_of(key, key, kinds, "key")
        if kinds[key] is not Any:
            check(key, value, kinds[key])
    lists = {key for key, value in given.items() if isinstance(value, list) and kinds[key] is not Any}
    return {key: tuple(value) if key in lists else value for key, value in given.items()}


def _pairs(pairs: Any) -> tuple[tuple[str, str], ...]:
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigError(f"compare: expected pairs of cells, as in [[sleep, naive]], got {pair!r}")
    return tuple((str(first), str(second)) for first, second in pairs)


def _check_pair(pair: tuple[str, str], claim: Claim) -> None:
    """Refuse a comparison of unknown cells, and one that could mean two axes of the grid."""
    both = [axis.name for axis in claim.grid if set(pair) <= set(axis.points)]
    if len(both) > 1:
        raise ConfigError(
            f"compare: `{pair[0]}` and `{pair[1]}` are alternatives of both {' and '.join(both)}; give those of one "
            "axis other names, with labels and changes"
        )
    labels = [cell.label for cell in claim.cells]
    alternatives = [label for axis in claim.grid for label in axis.points]
    if pair[0] == pair[1]:
        raise ConfigError(f"compare: expected two different cells, got `{pair[0]}` twice")
    for label in pair if axis_of(claim.grid, pair) is None else ():
        if label not in labels:
            raise ConfigError(f"compare: {unknown(label, alternatives or labels, 'cell')}")
