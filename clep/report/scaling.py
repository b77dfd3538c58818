"""How cost grows: seconds over size, a panel for each axis."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from clep.report.drawing import COLOURS, GRID, write

Course = tuple[str, Sequence[int], Sequence[float], float | None]
_ACROSS = 4


def plot_scaling(courses: Sequence[Course], path: str | Path) -> None:
    """Write the plot of growths as PNG; see `scaling_figure`."""
    write(scaling_figure(courses), path)


def scaling_figure(courses: Sequence[Course]) -> Figure:
    """Seconds over size on two logarithmic axes, with the fitted exponent.

    Args:
        courses: (name of the axis, sizes, seconds, exponent) of each.
    """
    down = -(-len(courses) // _ACROSS)
    figure = Figure(figsize=(2.6 * min(len(courses), _ACROSS), 2.4 * down), layout="constrained", facecolor="white")
    grid = figure.subplots(down, min(len(courses), _ACROSS), squeeze=False).flat[:]
    for axes, (name, sizes, seconds, exponent) in zip(grid, courses, strict=False):
        axes.loglog(sizes, seconds, marker="o", color=COLOURS[2], linewidth=1.6, markersize=4)
        grown = "" if exponent is None else f" ~ n^{exponent:.2f}"
        axes.set_title(f"{name}{grown}", loc="left", size=9)
        axes.grid(color=GRID)
        axes.spines[["top", "right"]].set_visible(False)
        axes.minorticks_off()
        axes.tick_params(labelsize=7)
    for axes in grid[len(courses) :]:
        axes.set_visible(False)
    figure.supxlabel("n", size=9)
    figure.supylabel("CPU seconds", size=9)
    return figure
