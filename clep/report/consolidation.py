"""What consolidation, such as sleep, gives to the past and takes from the present."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from clep.report.cells import Array, DrawnCell
from clep.report.drawing import COLUMN, GRID, PALE_INK, drawn_for
from clep.report.panels import only_outer_ticks, panels


@drawn_for("page", "consolidation")
def consolidation_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Mean accuracy before (tail of an arrow) and after (head) each consolidation, for each cell that has one.

    In the cell's colour: on all earlier experiences. In grey: on the experience just trained.

    Args:
        cells: best first.
    """
    shown = [cell for cell in cells if cell.consolidates]
    if not shown:
        return None
    across = 1 if len(shown) == 1 else 2
    words = "consolidation after experience\ncolour: all earlier experiences;  grey: the one just trained"
    figure, grid = panels(
        shown, across=across, width=COLUMN, height=1.1, gaps=(0.12, 0.12), labels=(words, "accuracy"), title_size=6
    )
    for axes, cell in zip(grid, shown, strict=True):
        old_before, new_before = _parts(cell, cell.before)
        old_after, new_after = _parts(cell, cell.after)
        _arrows(axes, new_before, new_after, 0.14, PALE_INK)
        _arrows(axes, old_before, old_after, -0.14, cell.style.colour)
        axes.set(xlim=(-0.5, len(old_before) - 0.5), ylim=(0, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=2)
    only_outer_ticks(grid, across)
    return figure


def _parts(cell: DrawnCell, matrices: Array) -> tuple[Array, Array]:
    """Mean accuracy after each experience: on all samples of the earlier ones, and on what it was the first to teach;
    NaN where there is neither."""
    mean = matrices.mean(axis=0)
    at = np.array([-1 if i is None else i for i in cell.learned_at or range(mean.shape[1])])

    def on(chosen: NDArray[np.bool_], row: Array) -> float:
        chosen = chosen & (cell.sizes > 0)
        return float(np.average(row[chosen], weights=cell.sizes[chosen])) if chosen.any() else np.nan

    old, new = [on(at < i, row) for i, row in enumerate(mean)], [on(at == i, row) for i, row in enumerate(mean)]
    return np.array(old), np.array(new)


def _arrows(axes: Axes, before: Array, after: Array, shift: float, colour: str) -> None:
    for i, (low, high) in enumerate(zip(before, after, strict=True)):
        if np.isfinite(low) and np.isfinite(high):
            shape = {"arrowstyle": "-|>,head_length=0.28,head_width=0.14", "color": colour, "linewidth": 1.3}
            axes.annotate("", (i + shift, high), (i + shift, low), arrowprops=shape | {"shrinkA": 0, "shrinkB": 0})
            axes.plot([i + shift - 0.09, i + shift + 0.09], [low] * 2, color=colour, linewidth=1.0)
