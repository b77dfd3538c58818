"""Figures with a row per cell: its marker and name above, its numbers below, however long the name is."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clep.report.cells import DrawnCell, short
from clep.report.drawing import COLUMN, GRID, INK, PALE_INK

_ROW, _EDGE = 0.36, 0.62  # inches: of a row, and of what stands below and above all rows
_LONGEST = 36  # characters of a name beside a number


def figure_of_rows(cells: Sequence[DrawnCell], xlabel: str) -> tuple[Figure, Axes]:
    """An empty figure with a row per cell; row `k` is centred at y = k, and its marks belong between k and k + 0.45.

    Args:
        cells: from top to bottom.
        xlabel: what the axis means.
    """
    height = _EDGE + _ROW * len(cells)
    figure = Figure(figsize=(COLUMN, height), facecolor="white")
    axes = figure.add_axes((0.045, 0.42 / height, 0.91, (height - _EDGE) / height))
    axes.set(ylim=(len(cells) - 0.35, -0.55), yticks=[])
    axes.set_xlabel(xlabel, size=6.5)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=2)
    return figure, axes


def zero_line(axes: Axes, rows: int) -> None:
    """Draw the line at zero, with a gap where a name stands."""
    starts = [row - 0.08 for row in range(rows)]
    axes.vlines([0.0] * rows, starts, [start + 0.56 for start in starts], color=INK, linewidth=0.9, zorder=2)


def name_row(axes: Axes, row: int, cell: DrawnCell, number: str = "", remark: str = "") -> None:
    """Write a cell's marker, rank and name above its row, and on the right a number or a remark.

    Args:
        axes: of `figure_of_rows`.
        row: position from the top.
        cell: the cell.
        number: what the row shows, as text.
        remark: what limits it, e.g. `learned nothing`.
    """
    beside = axes.get_yaxis_transform()
    style = cell.style
    axes.plot(
        [0.012],
        [row - 0.3],
        style.marker,
        color=style.colour,
        markersize=4.5,
        transform=beside,
        clip_on=False,
        markeredgewidth=0,
    )
    room = _LONGEST if len(number) + len(remark) < 12 else _LONGEST - 6 - len(str(cell.number))
    name = f"{cell.number}  {short(cell.label, room)}"
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    text: dict[str, Any] = {"transform": beside, "va": "center", "size": 7, "bbox": white}
    axes.text(0.035, row - 0.3, name, ha="left", color=INK, **text)
    axes.text(1.0, row - 0.3, number or remark, ha="right", color=INK if number else PALE_INK, **text)
