"""Figures and tables from stored numbers: accuracy matrices, comparisons of strategies over seeds.

The `*_figure` functions build figures, the `plot_*` functions write them; matplotlib's global state is not touched.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from numpy.typing import ArrayLike
from PIL import Image

from clep.metrics import mean_std

Runs = Sequence[Mapping[str, Any]]

# Okabe & Ito's colours, told apart with any colour vision; with a marker each, since there are only so many colours.
_COLOURS = ("#8A8A8A", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#000000", "#56B4E9")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "p")
_INK, _GRID = "#333333", "#E6E6E6"
_DPI = 120
_DODGE = 0.025  # between the dots of two series in the same place, as a share of a number or of a step
_LARGEST_WITH_NUMBERS = 20  # experiences in a heat map whose cells can hold a number


def plot_accuracy_matrix(matrix: ArrayLike, path: str | Path, title: str = "Accuracy") -> None:
    """Write the heat map of an accuracy matrix as PNG; see `accuracy_matrix_figure`."""
    _write(accuracy_matrix_figure(matrix, title), path)


def plot_comparison(runs: Runs, path: str | Path, *, classes: int) -> None:
    """Write the comparison of several strategies over seeds as PNG; see `comparison_figure`."""
    _write(comparison_figure(runs, classes=classes), path)


def plot_grid(rows: Runs, path: str | Path, *, over: str) -> None:
    """Write the cells of a grid over its last axis as PNG; see `grid_figure`."""
    _write(grid_figure(rows, over=over), path)


def plot_hidden_states(
    magnitude: Sequence[Sequence[float]], participation: Sequence[Sequence[float]], path: str | Path, title: str = ""
) -> None:
    """Write the course of the hidden states over a free phase as PNG; see `hidden_states_figure`."""
    _write(hidden_states_figure(magnitude, participation, title), path)


def accuracy_matrix_figure(matrix: ArrayLike, title: str = "Accuracy") -> Figure:
    """Heat map of R[i, j], accuracy on experience j after experience i, with its values.

    Args:
        matrix: Fractions, (n, n); None or NaN is left blank.
        title: Shown above.
    """
    R = np.asarray(matrix, dtype=np.float64)
    n = len(R)
    side = min(2.6 + 0.4 * n, 10.0)
    figure = Figure(figsize=(side + 0.6, side), layout="compressed", facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(R), cmap="Blues", vmin=0, vmax=1)
    if n <= _LARGEST_WITH_NUMBERS:
        for (i, j), value in np.ndenumerate(R):
            if np.isfinite(value):
                colour = "white" if value > 0.55 else _INK
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=8.5)
    axes.set_facecolor("#F4F4F4")
    axes.hlines(np.arange(n - 1) + 0.5, -0.5, n - 0.5, color="white", linewidth=1)
    axes.vlines(np.arange(n - 1) + 0.5, -0.5, n - 0.5, color="white", linewidth=1)
    ticks = range(0, n, 1 + (n - 1) // _LARGEST_WITH_NUMBERS)
    axes.set(xticks=ticks, yticks=ticks, xlabel="accuracy on experience", ylabel="after training on experience")
    axes.set_title(title, loc="left", size=10, pad=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    colours = figure.colorbar(image, ax=axes, shrink=0.8, aspect=28)
    colours.ax.tick_params(length=0, labelsize=8)
    colours.ax.spines["outline"].set_visible(False)
    return figure


def comparison_figure(runs: Runs, *, classes: int) -> Figure:
    """Strategies compared over seeds: accuracy on all classes seen so far, and the final accuracy.

    Left: mean over seeds after each experience, with a band of one standard deviation; a cell that has only a final
    value (joint training) is a dashed line. Right: each cell's final mean and standard deviation, and a dot per seed.

    Args:
        runs: The `--json` objects of runs; cells keep the order of their first run. Undefined values are None.
        classes: Number of classes, whose inverse is chance.
    """
    labels = list(dict.fromkeys(run["label"] for run in runs))
    row_height = max(0.46, 0.2 + 0.15 * max(1 + label.count("+") for label in labels))
    figure = Figure(figsize=(10.0, max(3.4, 1.3 + row_height * len(labels))), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1), gridspec_kw={"wspace": 0.04})
    inches = figure.dpi_scale_trans + ScaledTranslation(0, 0, right.transAxes)
    beside = blended_transform_factory(inches, right.transData)
    for row, label in enumerate(labels):
        cell = [run for run in runs if run["label"] == label]
        style = {"color": _COLOURS[row % len(_COLOURS)], "marker": _MARKERS[row % len(_MARKERS)]}
        key = _draw_course(left, cell, label, style)
        _draw_final(right, cell, row, style, key | {"transform": beside})
    chance = {"color": _INK, "linewidth": 1, "linestyle": ":", "zorder": 1.5, "label": "chance"}
    left.axhline(1 / classes, **chance)
    right.axvline(1 / classes, **chance)
    left.text(0, 1 / classes + 0.01, "chance", color=_INK, size=8)
    left.set(ylim=(0, 1.06), xlabel="after experience", yticks=np.linspace(0, 1, 6))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set_title("Accuracy on the classes seen so far", loc="left", size=10.5, weight="bold")
    left.grid(axis="y", color=_GRID)
    right.set(xlim=(0, 1), ylim=(len(labels) - 0.4, -0.6), xlabel="after the last experience; a dot is a seed")
    right.set_yticks(range(len(labels)), [label.replace("+", "\n+ ") for label in labels])
    right.set_title("Final accuracy", loc="left", size=10.5, weight="bold")
    right.tick_params(axis="y", length=0, pad=29, labelsize=9.5)
    right.grid(axis="x", color=_GRID)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


def hidden_states_figure(
    magnitude: Sequence[Sequence[float]], participation: Sequence[Sequence[float]], title: str = ""
) -> Figure:
    """How large and how distributed hidden states are, over the steps of a free phase, a line per layer.

    Args:
        magnitude: Mean |s| of each hidden layer, lowest first, after each step, the first one being step 1.
        participation: Participation ratio, likewise; NaN is left out.
        title: Shown above.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained", facecolor="white")
    for axes, courses, name in zip(
        figure.subplots(1, 2), (magnitude, participation), ("mean |s|", "participation ratio"), strict=True
    ):
        for layer, values in enumerate(courses):
            steps = np.arange(1, len(values) + 1)
            label, colour = f"hidden layer {layer + 1}", _COLOURS[(layer + 2) % len(_COLOURS)]
            axes.plot(steps, values, label=label, color=colour, linewidth=1.8)
        largest = max((value for values in courses for value in values if np.isfinite(value)), default=0.0)
        axes.set(xlabel="step of the free phase", ylim=(0, 1.1 * largest or 1.0))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(name, loc="left", size=10)
        axes.grid(axis="y", color=_GRID)
        axes.spines[["top", "right"]].set_visible(False)
    if len(magnitude) > 1:
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", size=10)
    return figure


def _draw_course(axes: Axes, runs: Runs, label: str, style: Mapping[str, Any]) -> dict[str, Any]:
    """Draw `accuracy_seen` over the seeds of one cell and return how the line looks, for the key beside its bar."""
    rows = [np.array(run["accuracy_seen"], dtype=np.float64) for run in runs if run.get("accuracy_seen")]
    line = {**style, "linewidth": 1.8, "markersize": 5.5}
    if not rows:
        return line
    seen = np.stack(rows)  # (seeds, experiences)
    if seen.shape[1] > 1 and np.isnan(seen[:, :-1]).all():
        line |= {"linestyle": "--", "marker": ""}
        axes.axhline(float(np.nanmean(seen[:, -1])), label=label, **line)
        return line
    statistics = [mean_std(column) for column in seen.T]
    mean, std = (np.array([point[key] for point in statistics], dtype=np.float64) for key in ("mean", "std"))
    steps = np.arange(len(mean))
    axes.plot(steps, mean, label=label, **line)
    axes.fill_between(steps, mean - std, mean + std, color=style["color"], alpha=0.18, linewidth=0)
    return line


def _draw_final(axes: Axes, runs: Runs, row: int, style: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    """Draw one cell's key, bar, whisker and seeds, with the numbers at the right; or the word that no run finished."""
    axes.plot([-0.33, -0.2, -0.07], [row] * 3, clip_on=False, markevery=[1], **key)
    values = [run["accuracy"] for run in runs if run.get("accuracy") is not None]
    summary = mean_std(values)
    mean, std = summary["mean"], summary["std"]
    axes.text(1.03, row, "failed" if mean is None else _mean_and_std(summary, "±"), va="center", size=9, color=_INK)
    if mean is None:
        return
    axes.barh(row, mean, height=0.56, color=style["color"], alpha=0.4)
    if std is not None:
        axes.errorbar(mean, row, xerr=std, color=_INK, capsize=4, linewidth=1.3, zorder=3)
    offsets = np.linspace(-0.19, 0.19, len(values)) if len(values) > 1 else np.zeros(1)
    axes.scatter(values, row + offsets, s=13, color=style["color"], edgecolor="white", linewidth=0.5, zorder=4)


def grid_figure(rows: Runs, *, over: str) -> Figure:
    """A grid over its last axis, a column of panels per condition: accuracy, and its spread over seeds.

    Above: a dot per seed and a line through the means, one colour for each alternative of the last axis but one. Below:
    the standard deviation over seeds.

    Args:
        rows: cells with `at` (labels on the axes of the grid), `by_seed`, `mean` and `std`.
        over: name of the last axis; its positions are logarithmic if its labels are positive numbers.
    """
    conditions = list(dict.fromkeys(tuple(row["at"][:-2]) for row in rows))
    series = list(dict.fromkeys(row["at"][-2] for row in rows))
    places = _places(list(dict.fromkeys(row["at"][-1] for row in rows)))
    logarithmic = min(places.values()) > 0.0
    figure = Figure(figsize=(1.2 + 2.6 * len(conditions), 6.0), layout="constrained", facecolor="white")
    panels = figure.subplots(2, len(conditions), sharex=True, sharey="row", squeeze=False, height_ratios=(1.6, 1))
    for column, condition in enumerate(conditions):
        above, below = panels[:, column]
        for i, name in enumerate(series):
            cells = [row for row in rows if tuple(row["at"][:-1]) == (*condition, name)]
            style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)], "markersize": 3.5}
            shift = (i - (len(series) - 1) / 2) * _DODGE
            x = [places[row["at"][-1]] * (1 + shift) if logarithmic else places[row["at"][-1]] + shift for row in cells]
            for key, axes in (("mean", above), ("std", below)):
                y = [np.nan if row[key] is None else row[key] for row in cells]
                axes.plot(x, y, label=name, linewidth=1.0, **style)
            for place, row in zip(x, cells, strict=True):
                values = list(row["by_seed"].values())
                above.scatter([place] * len(values), values, s=5, color=style["color"], alpha=0.6, linewidth=0)
        above.set_title(", ".join(condition), loc="left", size=9)
        below.set_xlabel(over)
        if logarithmic:
            below.set_xscale("log")
        below.set_xticks(list(places.values()), list(places))
        below.minorticks_off()
    panels[0, 0].set_ylabel("final accuracy; a dot is a seed")
    panels[1, 0].set_ylabel("std over seeds")
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_GRID)
        axes.set_axisbelow(True)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _places(labels: Sequence[str]) -> dict[str, float]:
    """Positions of the labels: the numbers that they are, or else 0, 1, 2, ..."""
    try:
        return {label: float(label) for label in labels}
    except ValueError:
        return {label: float(i) for i, label in enumerate(labels)}


def format_table(table: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a comparison as a plain-text table.

    Args:
        table: Rows with `label`, `status`, and `{"mean", "std", "n"}` as `accuracy`, `forgetting`, `learned_accuracy`.
    """
    lines = [["cell", "final accuracy", "forgetting", "learned accuracy", "seeds"]]
    for row in table:
        numbers = [_mean_and_std(row[key], "+-") for key in ("accuracy", "forgetting", "learned_accuracy")]
        remark = "" if row["status"] == "FINISHED" else f" ({row['status'].lower()})"
        lines.append([row["label"], *numbers, f"{row['accuracy']['n']}{remark}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def write_matrix_csv(matrix: ArrayLike, path: str | Path) -> None:
    """Write an accuracy matrix in full precision: a column per experience, a row per experience trained, NaN empty."""
    R = np.asarray(matrix, dtype=np.float64)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(f"experience_{j:02d}" for j in range(R.shape[1]))
        writer.writerows(["" if np.isnan(value) else float(value) for value in row] for row in R)


def _write(figure: Figure, path: str | Path) -> None:
    """Write a PNG of 256 colours: a third of the size, and no difference that can be seen."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    colours = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, format="PNG", optimize=True)


def _mean_and_std(summary: Mapping[str, Any], plus_minus: str) -> str:
    if summary["mean"] is None:
        return "-"
    return f"{summary['mean']:.3f}" + ("" if summary["std"] is None else f" {plus_minus} {summary['std']:.3f}")
