"""The cells of a claim's grid along one of its axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from clep.report.drawing import GRID, Runs, drawn_for, styles

_DODGE = 0.025  # between the dots of two series in the same place, as a share of a number or of a step


def grid_figure(rows: Runs, *, over: str) -> Figure:
    """A grid along its last axis, one column of panels per condition: accuracy, and its spread over seeds.

    Above: a dot per seed and a line through the means, one colour for each alternative of the second-to-last axis.
    Below: the standard deviation over seeds.

    Args:
        rows: cells with `at` (labels on the axes of the grid), `by_seed`, `mean` and `std`.
        over: name of the last axis; its positions are logarithmic if its labels are positive numbers.
    """
    conditions = list(dict.fromkeys(tuple(row["at"][:-2]) for row in rows))
    series = list(dict.fromkeys(row["at"][-2] for row in rows))
    places = _places(list(dict.fromkeys(row["at"][-1] for row in rows)))
    looks = styles(series)
    logarithmic = min(places.values()) > 0.0
    figure = Figure(figsize=(1.2 + 2.6 * len(conditions), 6.0), layout="constrained", facecolor="white")
    panels = figure.subplots(2, len(conditions), sharex=True, sharey="row", squeeze=False, height_ratios=(1.6, 1))
    for column, condition in enumerate(conditions):
        above, below = panels[:, column]
        for i, name in enumerate(series):
            cells = [row for row in rows if tuple(row["at"][:-1]) == (*condition, name)]
            style = {"color": looks[name].colour, "marker": looks[name].marker, "markersize": 3.5}
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
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


@drawn_for("claim", "")
def _of_claim(rows: Runs, axes: Sequence[str]) -> Figure | None:
    """The figure of a claim with a grid: all cells of the grid along its last axis."""
    return grid_figure([row for row in rows if row["at"]], over=axes[-1]) if axes else None


def _places(labels: Sequence[str]) -> dict[str, float]:
    """Positions of the labels: their own values if they are numbers, otherwise 0, 1, 2, ..."""
    try:
        return {label: float(label) for label in labels}
    except ValueError:
        return {label: float(i) for i, label in enumerate(labels)}
