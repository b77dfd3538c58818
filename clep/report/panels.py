"""Panels of equal size beside and below one another, placed by hand: a layout engine would take most of the time."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clep.report.cells import DrawnCell, short
from clep.report.drawing import INK

_LEFT, _TITLE = 0.48, 0.2  # inches: of the outer axis with its label, and of a panel's title
_POINT = 0.0078  # width of a character of the titles, in inches, per point of their size


def panels(
    cells: Sequence[DrawnCell],
    *,
    across: int,
    width: float,
    height: float,
    gaps: tuple[float, float],
    labels: tuple[str, str],
    title_size: float,
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel per cell, titled with its number and name.

    Args:
        cells: one per panel, from the left to the right and downwards.
        across: panels beside one another.
        width: of the figure, in inches.
        height: of the inside of a panel, in inches; 0 for square panels.
        gaps: beside and below a panel, in inches.
        labels: of the horizontal and of the vertical axis of all panels; the first may have several lines.
        title_size: of the titles, in points.
    """
    down = -(-len(cells) // across)
    inside = (width - _LEFT - 0.06 - gaps[0] * (across - 1)) / across
    height = height or inside
    foot = 0.36 + 0.13 * labels[0].count("\n")
    total = foot + down * (height + _TITLE) + (down - 1) * gaps[1]
    figure = Figure(figsize=(width, total), facecolor="white")
    found = []
    for place, cell in enumerate(cells):
        row, column = divmod(place, across)
        left, bottom = _LEFT + column * (inside + gaps[0]), foot + (down - 1 - row) * (height + _TITLE + gaps[1])
        axes = figure.add_axes((left / width, bottom / total, inside / width, height / total))
        room = int((inside + 0.05) / (_POINT * title_size)) - len(str(cell.number)) - 2
        axes.set_title(f"{cell.number}  {short(cell.name, room)}", loc="left", size=title_size, color=INK, pad=3)
        found.append(axes)
    middle = (_LEFT + (width - _LEFT) / 2) / width
    figure.text(middle, 0.03 / total, labels[0], ha="center", va="bottom", size=6.5, color=INK)
    figure.text(
        0.04 / width, (foot + total) / 2 / total, labels[1], rotation=90, va="center", ha="left", size=6.5, color=INK
    )
    return figure, found


def only_outer_ticks(grid: Sequence[Axes], across: int) -> None:
    """Leave the numbers of the axes to the panels at the left, and to those with none below."""
    for place, axes in enumerate(grid):
        axes.tick_params(labelleft=place % across == 0, labelbottom=place + across >= len(grid))
