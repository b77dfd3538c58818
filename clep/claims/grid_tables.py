"""Tables of a claim whose cells are a grid: one per condition, with what each pair differs in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clep.claims.grids import Axis, axis_of
from clep.claims.stability import COLUMNS, Column
from clep.claims.verdicts import verdict
from clep.metrics import mean_std

Row = Mapping[str, Any]
Pair = tuple[str, str]


def grid_lines(axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    """The grid as Markdown: comparisons over all conditions, then each condition with its comparisons and cells.

    Args:
        axes: of the grid; see `clep.claims.grids`.
        rows: one per combination, with `at`, `mean`, `std`, `by_seed`, `seconds`, `remark`, and `columns`.
        columns: names of `COLUMNS`.
        pairs: labels of one axis; pairs of other cells are left out.
    """
    rows = [row for row in rows if row["at"]]
    conditions = list(dict.fromkeys(tuple(row["at"][:-2]) for row in rows))
    lines = [*_contrasts(axes, rows, columns, pairs)] if len(conditions) > 1 else []
    for condition in conditions:
        inside = [row for row in rows if tuple(row["at"][:-2]) == condition]
        title = [f"## {', '.join(condition)}", ""] if condition else []
        lines += [*title, *_contrasts(axes, inside, columns, pairs), *_cells(axes[-2:], inside, columns)]
    return lines


def _cells(axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[str]) -> Iterator[str]:
    """A row per combination of the last two axes."""
    titles = [*(axis.name for axis in axes), "accuracy", *(COLUMNS[name].title for name in columns), "seconds"]
    yield from _head(titles)
    for row in rows:
        values = [_text(row["columns"][name], COLUMNS[name]) for name in columns]
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.0f}"
        yield _line([*row["at"][-2:], accuracy_text(row), *values, seconds])
    yield ""


def _contrasts(
    axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[str], pairs: Sequence[Pair]
) -> Iterator[str]:
    """A row per pair: its labels on one axis, all cells that differ in nothing else; nothing without such cells."""
    by_place = {tuple(row["at"]): row for row in rows}
    lines = []
    for a, b in pairs:
        if (axis := axis_of(axes, (a, b))) is None:
            continue
        swapped = {place: (*place[:axis], b, *place[axis + 1 :]) for place in by_place if place[axis] == a}
        both = [(by_place[here], by_place[there]) for here, there in swapped.items() if there in by_place]
        if not both:
            continue
        values = [
            _contrast(COLUMNS[name], [(x["columns"][name], y["columns"][name]) for x, y in both]) for name in columns
        ]
        lines.append(_line([f"{a} against {b}", str(len(both)), _paired(both), *values]))
    if lines:
        yield from _head(["first against second", "cells", "accuracy", *(COLUMNS[name].title for name in columns)])
        yield from [*lines, ""]


def _paired(both: Sequence[tuple[Row, Row]]) -> str:
    """Difference of accuracy: mean over cells first, since cells share their seeds, then the interval over seeds."""
    first, second = {}, {}
    for seed in sorted({seed for x, y in both for seed in x["by_seed"] if seed in y["by_seed"]}):
        shared = [
            (x["by_seed"][seed], y["by_seed"][seed]) for x, y in both if seed in x["by_seed"] and seed in y["by_seed"]
        ]
        first[seed], second[seed] = (sum(values) / len(shared) for values in zip(*shared, strict=True))
    found = verdict("", "", first, second)
    if found.difference is None:
        return "not run"
    interval = "" if found.interval is None else f" [{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
    return f"{found.difference:+.4f}{interval}"


def _contrast(column: Column, values: Sequence[tuple[float | None, float | None]]) -> str:
    """Means of both over the cells in which both are defined, and in how many the first is better or worse."""
    defined = [(x, y) for x, y in values if x is not None and y is not None]
    if not defined:
        return "-"
    sign = 1.0 if column.higher_is_better else -1.0
    better, worse = (sum(side * sign * (x - y) > 0.0 for x, y in defined) for side in (1.0, -1.0))
    means = (mean_std(side)["mean"] for side in zip(*defined, strict=True))
    return f"{' / '.join(_text(mean, column) for mean in means)}, better {better}, worse {worse}"


def accuracy_text(row: Row) -> str:
    """Mean and standard deviation over seeds, or why there is none."""
    if row["mean"] is None:
        return row["remark"] or "-"
    return f"{row['mean']:.3f}" + ("" if row["std"] is None else f" ± {row['std']:.3f}")


def _text(value: Any, column: Column) -> str:
    return "-" if value is None else format(value, column.text)


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
