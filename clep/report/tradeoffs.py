"""Final accuracy against what it costs: what is forgotten, and what is kept of the past."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from clep.answer import SINCE_TRAINING
from clep.columns import bytes_of
from clep.report.cells import DrawnCell
from clep.report.drawing import INK, PALE_INK, drawn_for
from clep.report.labels import beside_points, figure_with_key

_HEIGHT = 3.1
_FEW = 8  # cells that need not fill the whole panel


@drawn_for("page", "accuracy_against_forgetting")
def against_forgetting_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Does a cell forget less, or did it learn less? Best is at the top right.

    Args:
        cells: best first; those without forgetting are left out.
    """
    shown = [(cell, _by_seed(cell)) for cell in cells]
    shown = [(cell, values) for cell, values in shown if len(values)]
    if not shown:
        return None
    figure, axes = figure_with_key([cell for cell, _ in shown], _HEIGHT)
    for cell, values in shown:
        _mark(axes, cell, values)
    chance = shown[0][0].chance
    every = np.concatenate([values for _, values in shown])
    left, lowest = every.min(axis=0) if len(shown) > _FEW else np.minimum(every.min(axis=0), 0.0)
    right, highest = every.max(axis=0) if len(shown) > _FEW else (1.0, max(1.0, every[:, 1].max()))
    margin = 0.06 * (highest - lowest) + 0.004
    axes.set(xlim=(left, right + 0.04 * (right - left) + 0.004), ylim=(highest + margin, lowest - margin))
    axes.set(xlabel="final accuracy", ylabel="forgetting since training")
    if left < chance:
        axes.axvspan(left, chance, color="#F1F1F1", linewidth=0)
        axes.text(
            (left + chance) / 2,
            float(np.mean(axes.get_ylim())),
            "chance",
            rotation=90,
            ha="center",
            va="center",
            size=6.5,
            color=PALE_INK,
        )
    means = [tuple(values.mean(axis=0)) for _, values in shown]
    beside_points(axes, means, [str(cell.number) for cell, _ in shown])
    return figure


@drawn_for("page", "accuracy_against_bytes")
def against_bytes_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """What a byte of the past buys: final accuracy against the bytes kept, on a logarithmic axis with 0 at its left.

    Args:
        cells: best first; those that did not record bytes are left out.
    """
    kept = {cell.label: _bytes_and_accuracy(cell) for cell in cells}
    shown = [cell for cell in cells if len(kept[cell.label])]
    if not shown:
        return None
    positive = [value for values in kept.values() for value in values[:, 0] if value > 0]
    first = int(np.floor(np.log10(min(positive, default=10.0))))
    last = max(int(np.ceil(np.log10(max(positive, default=100.0)))), first + 1)
    zero = first - 1.0 * max(1.0, (last - first) / 4)
    figure, axes = figure_with_key(shown, _HEIGHT)
    means = []
    for cell in shown:
        x, accuracies = kept[cell.label].T
        values = np.column_stack([np.where(x > 0, np.log10(np.maximum(x, 1.0)), zero), accuracies])
        _mark(axes, cell, values)
        means.append(tuple(values.mean(axis=0)))
    margin = 0.06 * (last - zero)
    axes.set(xlim=(zero - margin, last + margin), ylim=(0, 1.04))
    axes.set(xlabel="bytes kept of the past", ylabel="final accuracy")
    axes.set_xticks([zero, *range(first, last + 1)], ["0", *(_bytes(10**k) for k in range(first, last + 1))])
    axes.xaxis.set_minor_locator(NullLocator())
    cut = (zero + first) / 2
    for shift in (-0.012, 0.012):  # the axis is broken between zero and its first power of ten
        place = cut + shift * (last - zero)
        axes.plot(
            [place - margin / 9, place + margin / 9],
            [-0.015, 0.015],
            transform=axes.get_xaxis_transform(),
            color=INK,
            linewidth=0.8,
            clip_on=False,
        )
    axes.axhline(shown[0].chance, color=PALE_INK, linewidth=0.8, linestyle=":")
    axes.text(last + margin, shown[0].chance + 0.012, "chance", ha="right", size=6.5, color=PALE_INK)
    beside_points(axes, means, [str(cell.number) for cell in shown])
    return figure


def _mark(axes: Axes, cell: DrawnCell, values: np.ndarray) -> None:
    """A small dot per seed, and an open marker at the mean, so that what lies beneath stays in sight."""
    style = cell.style
    axes.scatter(values[:, 0], values[:, 1], s=5, color=style.colour, alpha=0.6, linewidth=0, zorder=3)
    axes.plot(
        *values.mean(axis=0),
        style.marker,
        color=style.colour,
        markerfacecolor="none",
        markersize=6,
        markeredgewidth=1.3,
        zorder=4,
    )


def _by_seed(cell: DrawnCell) -> np.ndarray:
    """(accuracy, forgetting since training) of each seed that has both."""
    forgetting = cell.summary(SINCE_TRAINING).by_seed
    pairs = [(run["accuracy"], forgetting[run["seed"]]) for run in cell.runs if run["seed"] in forgetting]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def _bytes_and_accuracy(cell: DrawnCell) -> np.ndarray:
    """The same for (bytes kept, accuracy)."""
    pairs = [(bytes_of(run), run["accuracy"]) for run in cell.runs]
    return np.array([pair for pair in pairs if pair[0] is not None], dtype=np.float64).reshape(-1, 2)


def _bytes(number: int) -> str:
    """A power of ten with its unit.

    Example:
        >>> _bytes(100), _bytes(10_000), _bytes(10**7)
        ('100 B', '10 kB', '10 MB')
    """
    unit = max(k for k in (0, 3, 6, 9, 12) if 10**k <= number)
    return f"{number // 10**unit} {({0: 'B', 3: 'kB', 6: 'MB', 9: 'GB', 12: 'TB'})[unit]}"
