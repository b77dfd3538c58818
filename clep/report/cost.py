"""What the cells cost: wall time, by what it was spent on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from clep.report.cells import DrawnCell
from clep.report.drawing import drawn_for
from clep.report.rows import figure_of_rows, name_row

_PARTS = {"train": 0.75, "consolidation": 0.4, "eval": 0.15}  # and how dark they are


@drawn_for("page", "seconds")
def seconds_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Mean wall seconds of a run: training, consolidation, evaluation, from dark to light.

    Args:
        cells: best first.
    """
    shown = [cell for cell in cells if any(run.get("seconds") for run in cell.runs)]
    if not shown:
        return None
    figure, axes = figure_of_rows(shown, "seconds per run, dark to light: train, consolidate, evaluate")
    for row, cell in enumerate(shown):
        left, total = 0.0, float(np.mean([run["seconds"].get("total", np.nan) for run in cell.runs]))
        for part, alpha in _PARTS.items():
            seconds = float(np.mean([run["seconds"].get(part, 0.0) for run in cell.runs]))
            axes.barh(row + 0.17, seconds, left=left, height=0.32, color=cell.style.colour, alpha=alpha, linewidth=0)
            left += seconds
        name_row(axes, row, cell, f"{total:.3g} s")
    axes.set_xlim(left=0)
    return figure
