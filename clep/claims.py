"""Claims: what a paper or we ourselves say about strategies, as cells to run and comparisons to judge.

A claim is a YAML file (`configs/claim/` or anybody's own):

    claim: one sentence
    config: mnist                      # the pipeline that every cell starts from
    set: [stream.samples_per_experience=null]       # changes for every cell
    small: [learner.epochs=1]          # further changes of `--small`, for a quick look
    small_config: class_incremental    # the pipeline that `--small` starts from, if another one
    seeds: [0, 1, 2, 3, 4]
    cells:
      naive: {set: [strategies=naive], published: 0.195}
      sleep: {set: [strategies=sleep_replay], published: 0.48, source: Tadros et al. 2022, at_least: 0.65}
    compare: [[sleep, naive]]          # the first is expected above the second

Instead of some or all of its cells a claim can give a `grid` (see `clep.grids`); it then compares alternatives of one
axis in all cells that differ in nothing else. `columns` asks for measures of stability (see `clep.stability`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clep.errors import ConfigError
from clep.grid_tables import accuracy_text, grid_lines
from clep.grids import Axis, axis_of, read_grid
from clep.metrics import mean_std
from clep.schema import unknown
from clep.stability import COLUMNS, check_columns
from clep.verdicts import Verdict, verdict

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
    """A claim; see the module. `given` is the name or path by which it was asked for."""

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


def judge(claim: Claim, accuracies: Mapping[str, Mapping[int, float]]) -> list[Verdict]:
    """The comparisons of a claim's cells; those of a grid's alternatives are part of its tables.

    Args:
        claim: with its comparisons.
        accuracies: label -> seed -> final accuracy.
    """
    pairs = [pair for pair in claim.compare if axis_of(claim.grid, pair) is None]
    return [verdict(a, b, accuracies.get(a, {}), accuracies.get(b, {})) for a, b in pairs]


def summarise(
    claim: Claim, results: Mapping[str, Sequence[Mapping[str, Any]]], measured: str
) -> tuple[list[dict[str, Any]], str]:
    """The rows of a claim's table, and the table with its verdicts as Markdown.

    Args:
        claim: the claim.
        results: label -> the `Result`s of its seeds as mappings.
        measured: how the numbers were made: command, commit, data.
    """
    rows = [_row(cell, results.get(cell.label, ()), claim.columns) for cell in claim.cells]
    accuracies = {row["label"]: row["by_seed"] for row in rows}
    promises = [
        f"{cell.label}: promised at least {cell.at_least:.3f}, measured {row['mean']:.3f}: "
        + ("reached" if row["mean"] >= cell.at_least else "**not reached**")
        for cell, row in zip(claim.cells, rows, strict=True)
        if cell.at_least is not None and row["mean"] is not None
    ]
    left_out = [row for row, cell in zip(rows, claim.cells, strict=True) if claim.grid and cell.note]
    lines = [
        f"# {claim.name}",
        "",
        claim.claim,
        "",
        *_table([row for row in rows if not row["at"] and row not in left_out], claim.columns),
        *(f"- {row['label']}: {row['remark']}\n" for row in left_out),
        *(grid_lines(claim.grid, rows, claim.columns, claim.compare) if claim.grid else ()),
        *(f"- {found.words}" for found in judge(claim, accuracies)),
        *(f"- {promise}" for promise in promises),
        "",
        "Final accuracy over all classes, mean ± standard deviation over seeds; differences are paired by seed, with "
        f"their 95 % t interval. {measured}",
        "",
    ]
    return rows, "\n".join(lines)


def _row(cell: Cell, results: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    done = [result for result in results if result["status"] == "FINISHED" and result["accuracy"] is not None]
    diverged = sum(bool(result.get("diverged")) for result in results)
    failed = len(results) - len(done) - diverged
    counted = [f"{n} {what}" for n, what in ((failed, "failed"), (diverged, "diverged")) if n]
    memory = done[0].get("memory") or {} if done else {}
    return {
        "label": cell.label,
        "by_seed": {result["seed"]: result["accuracy"] for result in done},
        **mean_std(r["accuracy"] for r in done),
        "forgetting": mean_std(r["forgetting"] for r in done)["mean"],
        "learned_accuracy": mean_std(r["learned_accuracy"] for r in done)["mean"],
        "seconds": mean_std(r["seconds"]["total"] for r in done)["mean"],
        "published": cell.published,
        "source": cell.source,
        "bytes": memory.get("exemplar_bytes", 0) + memory.get("statistics_bytes", 0) if done else None,
        "remark": cell.note or ", ".join(counted) or ("" if done else "not run"),
        "at": list(cell.at),
        "columns": {name: COLUMNS[name].of_cell(results) for name in columns},
        "runs": [
            {"seed": result["seed"], "accuracy": result["accuracy"]}
            | {name: of_run(result) for name in columns if (of_run := COLUMNS[name].of_run)}
            for result in (results if columns else done)
        ],
    }


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    if not rows:
        return []
    titles = ["cell", "accuracy", "each seed", "forgetting", "learned", "published", "bytes of the past", "seconds"]
    titles += [COLUMNS[name].title for name in columns]
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *(_markdown(row) for row in rows), ""]


def _markdown(row: Mapping[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    accuracy = "-" if row["mean"] is None else accuracy_text(row)
    seeds = " ".join(number(value) for value in row["by_seed"].values()) or row["remark"]
    published = number(row["published"]) + (f" ({row['source']})" if row["source"] else "")
    kept = "-" if row["bytes"] is None else f"{row['bytes']:,}".replace(",", " ")
    label = f"{row['label']} ({row['remark']})" if row["remark"] and row["by_seed"] else row["label"]
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:.0f}"
    others = [number(row["forgetting"]), number(row["learned_accuracy"]), published, kept, seconds]
    columns = ["-" if value is None else format(value, COLUMNS[name].text) for name, value in row["columns"].items()]
    cells = [label, accuracy, seeds, *others, *columns]
    return f"| {' | '.join(cells)} |"


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
