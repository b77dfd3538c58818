"""Strategies compared over seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from clep.columns import plus_minus
from clep.metrics import mean_std
from clep.report.drawing import GRID, INK, Runs, drawn_for, styles


@drawn_for("comparison", "comparison")
def comparison_figure(runs: Runs, *, classes: int) -> Figure:
    """Strategies compared over seeds: accuracy on all experiences seen so far, and the final accuracy.

    Left: mean over seeds after each experience, with a band of one standard deviation; a cell that has only a final
    value (joint training) is a dashed line. Right: each cell's final mean and standard deviation, and a dot per seed.

    Args:
        runs: The `--json` objects of runs; cells keep the order of their first run. Undefined values are None.
        classes: Number of classes; chance is 1 / `classes`.
    """
    labels = list(dict.fromkeys(run["label"] for run in runs))
    row_height = max(0.46, 0.2 + 0.15 * max(1 + label.count("+") for label in labels))
    figure = Figure(figsize=(10.0, max(3.4, 1.3 + row_height * len(labels))), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1), gridspec_kw={"wspace": 0.04})
    looks = styles(labels)
    inches = figure.dpi_scale_trans + ScaledTranslation(0, 0, right.transAxes)
    beside = blended_transform_factory(inches, right.transData)
    for row, label in enumerate(labels):
        cell = [run for run in runs if run["label"] == label]
        style = {"color": looks[label].colour, "marker": looks[label].marker, "linestyle": looks[label].dashes}
        key = _draw_course(left, cell, label, style)
        _draw_final(right, cell, row, style, key | {"transform": beside})
    chance = {"color": INK, "linewidth": 1, "linestyle": ":", "zorder": 1.5, "label": "chance"}
    left.axhline(1 / classes, **chance)
    right.axvline(1 / classes, **chance)
    left.text(0, 1 / classes + 0.01, "chance", color=INK, size=8)
    left.set(ylim=(0, 1.06), xlabel="after experience", yticks=np.linspace(0, 1, 6))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set_title("Accuracy on the experiences seen so far", loc="left", size=10.5, weight="bold")
    left.grid(axis="y", color=GRID)
    right.set(xlim=(0, 1), ylim=(len(labels) - 0.4, -0.6), xlabel="after the last experience; a dot is a seed")
    right.set_yticks(range(len(labels)), [label.replace("+", "\n+ ") for label in labels])
    right.set_title("Final accuracy", loc="left", size=10.5, weight="bold")
    right.tick_params(axis="y", length=0, pad=29, labelsize=9.5)
    right.grid(axis="x", color=GRID)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
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
    """Draw one cell's key, bar, whisker and seeds, with the numbers on the right, or say that no run finished."""
    axes.plot([-0.33, -0.2, -0.07], [row] * 3, clip_on=False, markevery=[1], **key)
    values = [run["accuracy"] for run in runs if run.get("accuracy") is not None]
    summary = mean_std(values)
    mean, std = summary["mean"], summary["std"]
    axes.text(1.03, row, "failed" if mean is None else plus_minus(summary, " ± "), va="center", size=9, color=INK)
    if mean is None:
        return
    axes.barh(row, mean, height=0.56, color=style["color"], alpha=0.4)
    if std is not None:
        axes.errorbar(mean, row, xerr=std, color=INK, capsize=4, linewidth=1.3, zorder=3)
    offsets = np.linspace(-0.19, 0.19, len(values)) if len(values) > 1 else np.zeros(1)
    axes.scatter(values, row + offsets, s=13, color=style["color"], edgecolor="white", linewidth=0.5, zorder=4)
