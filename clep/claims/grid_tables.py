"""Tables of a claim whose cells form a grid: one per condition, with the differences of each pair."""

from collections.abc import Iterator, Sequence

from clep import tables
from clep.cells import Axis, axis_of
from clep.claims.verdicts import verdict
from clep.columns import ACCURACY_OR_REMARK, SECONDS, Column, Row
from clep.metrics import mean_std

Pair = tuple[str, str]


def grid_lines(
    axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[Column], pairs: Sequence[Pair]
) -> list[str]:
    """The grid as Markdown: comparisons over all conditions, then each condition with its comparisons and cells.

    Args:
        axes: axes of the grid; see `clep.cells.grids`.
        rows: one per combination; rows that are not on the grid are left out.
        columns: the columns that the claim asks for.
        pairs: labels of one axis; pairs of other cells are left out.
    """
    rows = [row for row in rows if row.at]
    conditions = list(dict.fromkeys(row.at[:-2] for row in rows))
    lines = [*_contrasts(axes, rows, columns, pairs)] if len(conditions) > 1 else []
    for condition in conditions:
        inside = [row for row in rows if row.at[:-2] == condition]
        title = [f"## {', '.join(condition)}", ""] if condition else []
        lines += [*title, *_contrasts(axes, inside, columns, pairs), *_cells(axes[-2:], inside, columns)]
    return lines


def _cells(axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """A row per combination of the last two axes."""
    shown = [ACCURACY_OR_REMARK, *columns, SECONDS]
    titles = [*(axis.name for axis in axes), *(column.title for column in shown)]
    return tables.markdown(titles, [[*row.at[-2:], *(column.text(row) for column in shown)] for row in rows])


def _contrasts(
    axes: Sequence[Axis], rows: Sequence[Row], columns: Sequence[Column], pairs: Sequence[Pair]
) -> Iterator[str]:
    """A row per pair of labels on one axis, over all cells that are otherwise equal; nothing without such cells."""
    by_place = {row.at: row for row in rows}
    lines = []
    for a, b in pairs:
        if (axis := axis_of(axes, (a, b))) is None:
            continue
        swapped = {place: (*place[:axis], b, *place[axis + 1 :]) for place in by_place if place[axis] == a}
        both = [(by_place[here], by_place[there]) for here, there in swapped.items() if there in by_place]
        if both:
            contrasts = [_contrast(column, both) for column in columns]
            lines.append([f"{a} against {b}", str(len(both)), _paired(both), *contrasts])
    if lines:
        titles = ["first against second", "cells", "accuracy", *(column.title for column in columns)]
        yield from tables.markdown(titles, lines)


def _paired(both: Sequence[tuple[Row, Row]]) -> str:
    """Difference of accuracy: first the mean over cells (they share their seeds), then the interval over seeds."""
    first, second = {}, {}
    accuracies = [(x.by_seed, y.by_seed) for x, y in both]
    for seed in sorted({seed for x, y in accuracies for seed in x if seed in y}):
        shared = [(x[seed], y[seed]) for x, y in accuracies if seed in x and seed in y]
        first[seed], second[seed] = (sum(values) / len(shared) for values in zip(*shared, strict=True))
    found = verdict("", "", first, second)
    if found.difference is None:
        return "not run"
    interval = "" if found.interval is None else f" [{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
    return f"{found.difference:+.4f}{interval}"


def _contrast(column: Column, both: Sequence[tuple[Row, Row]]) -> str:
    """Means of both over the cells where both are defined, and in how many cells the first is better or worse."""
    values = [(column.of_cell(x), column.of_cell(y)) for x, y in both]
    defined = [(x, y) for x, y in values if x is not None and y is not None]
    if not defined:
        return "-"
    sign = 1.0 if column.higher_is_better else -1.0
    better, worse = (sum(side * sign * (x - y) > 0.0 for x, y in defined) for side in (1.0, -1.0))
    means = (mean_std(side)["mean"] for side in zip(*defined, strict=True))
    return f"{' / '.join(column.format(mean) for mean in means)}, better {better}, worse {worse}"
