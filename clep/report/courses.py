"""How the cells fare along the stream: what they have forgotten, and what they know, after each experience."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clep.report.cells import Array, DrawnCell
from clep.report.drawing import COLUMN, GRID, INK, drawn_for
from clep.report.labels import figure_with_key, spread
from clep.report.panels import only_outer_ticks, panels

_IN_ONE_PANEL = 8  # cells whose curves can be told apart; more get a panel each
_ACROSS = 3  # panels beside one another
_HEIGHT = 2.9

Course = Callable[[DrawnCell], Array]


@drawn_for("page", "forgetting_over_the_stream")
def forgetting_course_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Forgetting since training after each experience: mean over seeds, band from the lowest to the highest seed.

    Args:
        cells: best first.
    """
    return _courses(cells, lambda cell: cell.forgotten, "forgetting since training")


@drawn_for("page", "accuracy_over_the_stream")
def accuracy_course_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Accuracy on the experiences seen so far after each experience, likewise.

    Args:
        cells: best first; one that has only a final value is a level line.
    """
    return _courses(cells, lambda cell: cell.seen, "accuracy on experiences seen")


def _courses(cells: Sequence[DrawnCell], course: Course, ylabel: str) -> Figure | None:
    found = [(cell, course(cell)) for cell in cells]
    shown = [(cell, values) for cell, values in found if np.isfinite(values).any() and values.shape[1] > 1]
    if not shown:
        return None
    every = np.concatenate([values.ravel() for _, values in shown])
    limits = (min(0.0, float(np.nanmin(every))) - 0.04, max(1.0, float(np.nanmax(every))) + 0.04)
    if len(shown) > _IN_ONE_PANEL:
        return _panels(shown, ylabel, limits)
    figure, axes = figure_with_key([cell for cell, _ in shown], _HEIGHT)
    dodge = np.linspace(-0.06, 0.06, len(shown)) if len(shown) > 1 else np.zeros(1)  # of cells that coincide
    ends = [_course(axes, cell, values, shift) for (cell, values), shift in zip(shown, dodge, strict=True)]
    _frame(axes, shown[0][1].shape[1], limits)
    axes.set(xlabel="after experience", ylabel=ylabel)
    for (cell, _), end, place in zip(shown, ends, spread(ends, 0.055 * (limits[1] - limits[0])), strict=True):
        right = axes.get_xlim()[1]
        axes.plot([right - 0.12, right + 0.02], [end, place], color=INK, linewidth=0.4, clip_on=False)
        axes.text(right + 0.05, place, str(cell.number), va="center", size=6.5, color=INK)
    return figure


def _panels(shown: Sequence[tuple[DrawnCell, Array]], ylabel: str, limits: tuple[float, float]) -> Figure:
    """A panel per cell, with the others in grey behind it."""
    figure, grid = panels(
        [cell for cell, _ in shown],
        across=_ACROSS,
        width=COLUMN,
        height=0.72,
        gaps=(0.1, 0.08),
        labels=("after experience", ylabel),
        title_size=5.2,
    )
    for axes, (cell, values) in zip(grid, shown, strict=True):
        for _, others in shown:
            axes.plot(_mean(others), color=GRID, linewidth=0.6, zorder=1)
        _course(axes, cell, values, 0.0)
        _frame(axes, values.shape[1], limits)
        axes.tick_params(labelsize=5.5)
    only_outer_ticks(grid, _ACROSS)
    return figure


def _course(axes: Axes, cell: DrawnCell, values: Array, shift: float) -> float:
    """Draw a cell and return where its line ends."""
    mean, style = _mean(values), cell.style
    defined = np.isfinite(mean)
    if defined.sum() == 1:  # joint training has a value at the end alone
        level = float(mean[defined][0])
        axes.axhline(level, color=style.colour, linestyle=(0, (5, 2)), linewidth=1.0, zorder=2)
        return level
    places = np.flatnonzero(defined)  # `stream.evaluate` may leave out some
    steps = places + shift
    axes.plot(
        steps,
        mean[places],
        marker=style.marker,
        color=style.colour,
        linestyle=style.dashes,
        linewidth=1.2,
        markersize=4,
        markerfacecolor="white",
        markeredgewidth=1.0,
        zorder=4,
    )
    lowest, highest = values.min(axis=0)[places], values.max(axis=0)[places]
    axes.fill_between(steps, lowest, highest, color=style.colour, alpha=0.15, linewidth=0, zorder=2)
    return float(mean[-1])


def _mean(values: Array) -> Array:
    """Mean over seeds; NaN where any seed is undefined."""
    return np.asarray(values.mean(axis=0))


def _frame(axes: Axes, experiences: int, limits: tuple[float, float]) -> None:
    axes.set(xlim=(-0.3, experiences - 0.7), ylim=limits)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.grid(visible=False, axis="x")
    axes.tick_params(length=2)
    if limits[0] < -0.05:
        axes.axhline(0, color=INK, linewidth=0.5, zorder=1.5)
