"""Numbers beside points that do not cover one another, and the key that says which cell a number is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clep.report.cells import DrawnCell, short
from clep.report.drawing import COLUMN, GRID, INK

_LINE = 0.155  # inches of a line of the key
_AROUND = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]


def figure_with_key(cells: Sequence[DrawnCell], height: float) -> tuple[Figure, Axes]:
    """A figure with one panel and, below it, a line per cell with marker, number and name.

    Args:
        cells: those of the key.
        height: of the panel with its axes, in inches.
    """
    key = _LINE * len(cells) + 0.05
    figure = Figure(figsize=(COLUMN, height + key), facecolor="white")
    total = height + key
    axes = figure.add_axes((0.15, (key + 0.4) / total, 0.79, (height - 0.5) / total))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=2)
    for line, cell in enumerate(cells):
        y, style = (key - _LINE * (line + 0.5)) / total, cell.style
        handle = figure.add_axes((0.02, y - 0.05 / total, 0.09, 0.1 / total))
        handle.axis("off")
        handle.plot(
            [0, 1, 2],
            [0] * 3,
            marker=style.marker,
            markevery=[1],
            color=style.colour,
            linestyle=style.dashes,
            linewidth=1.2,
            markersize=4,
            clip_on=False,
            markerfacecolor="white",
        )
        figure.text(0.13, y, f"{cell.number}  {short(cell.name, 50)}", va="center", size=7, color=INK)
    return figure, axes


def beside_points(axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write a text beside each point, where it covers no point and no other text as far as there is room.

    Args:
        axes: with its limits set.
        points: in data coordinates.
        texts: one for each.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    pixel = 72.0 / figure.dpi
    places = np.asarray([axes.transData.transform(point) for point in points]).reshape(-1, 2) * pixel  # in points
    box = axes.get_window_extent()
    low, high = np.array([box.x0, box.y0]) * pixel, np.array([box.x1 + 20, box.y1 + 8]) * pixel
    taken: list[np.ndarray] = list(places)
    for point, place, text in zip(points, places, texts, strict=True):
        half = np.array([2.3 * len(text), 3.5])
        wide = half * (1, 0)
        options = [place + (half + reach) * np.array(way) for reach in (4.5, 9.0, 15.0) for way in _AROUND]
        chosen = max(options, key=lambda spot: _room(spot, taken, half, low, high) - 0.02 * np.hypot(*(spot - place)))
        taken += [chosen, chosen + wide, chosen - wide]
        away = chosen - place
        line = (
            {"arrowstyle": "-", "color": INK, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
            if np.hypot(*away) > 13
            else None
        )
        axes.annotate(
            text,
            point,
            xytext=tuple(away),
            textcoords="offset points",
            ha="center",
            va="center",
            size=6.5,
            color=INK,
            arrowprops=line,
            annotation_clip=False,
        )


def _room(spot: np.ndarray, taken: Sequence[np.ndarray], half: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Distance to what is nearest, up to what is enough; negative outside of the panel."""
    if (spot - half < low).any() or (spot + half > high).any():
        return -10.0
    return min(min(float(np.abs((spot - other) / (half + 3.0)).max()) for other in taken), 1.0)


def spread(places: Sequence[float], distance: float) -> list[float]:
    """Places moved as little as possible until neighbours are a distance apart, in the same order.

    Example:
        >>> [round(float(place), 3) for place in spread([0.5, 0.5, 0.9], 0.1)]
        [0.45, 0.55, 0.9]
    """
    order = np.argsort(places, kind="stable")
    groups: list[list[float]] = []  # places that were pushed together: their mean, and how many
    for place in np.asarray(places, dtype=float)[order]:
        groups.append([float(place), 1])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < distance * (groups[-1][1] + groups[-2][1]) / 2:
            (b, m), (a, n) = groups.pop(), groups.pop()
            groups.append([(a * n + b * m) / (n + m), n + m])
    moved = [centre + distance * (k - (n - 1) / 2) for centre, n in groups for k in range(int(n))]
    result = np.empty(len(moved))
    result[order] = moved
    return list(result)
