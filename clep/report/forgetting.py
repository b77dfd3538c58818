"""How much each cell has forgotten in the end, least first, by both definitions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from clep.answer import AFTER_CONSOLIDATION, SINCE_TRAINING
from clep.report.cells import DrawnCell
from clep.report.drawing import INK, drawn_for
from clep.report.rows import figure_of_rows, name_row, zero_line


@drawn_for("page", "forgetting")
def forgetting_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Final forgetting since training (bar, interval and a dot per seed) and since consolidation (upright stroke).

    Args:
        cells: best first; those without forgetting are left out.
    """
    cells = [cell for cell in cells if _defined(cell)]
    if not cells:
        return None
    figure, axes = figure_of_rows(cells, "forgetting: bar since training, stroke since consolidation, dots seeds")
    for row, cell in enumerate(cells):
        colour, since_training, since_consolidation = (
            cell.style.colour,
            cell.summary(SINCE_TRAINING),
            cell.summary(AFTER_CONSOLIDATION),
        )
        place = row + 0.17
        if since_training.mean is not None:
            axes.barh(place, since_training.mean, height=0.34, color=colour, alpha=0.32, linewidth=0)
            if since_training.low is not None and since_training.high is not None:
                axes.plot([since_training.low, since_training.high], [place] * 2, color=INK, linewidth=0.9, zorder=3)
            values = list(since_training.by_seed.values())
            spread = np.linspace(-0.09, 0.09, len(values)) if len(values) > 1 else np.zeros(1)
            axes.scatter(values, place + spread, s=9, color=colour, edgecolor="white", linewidth=0.4, zorder=4)
        if since_consolidation.mean is not None:
            axes.plot([since_consolidation.mean] * 2, [place - 0.2, place + 0.2], color=INK, linewidth=1.8, zorder=5)
        name_row(axes, row, cell, *_words(cell))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.0), max(high, 0.1))
    zero_line(axes, len(cells))
    return figure


def _defined(cell: DrawnCell) -> bool:
    return any(cell.summary(measure).mean is not None for measure in (SINCE_TRAINING, AFTER_CONSOLIDATION))


def _words(cell: DrawnCell) -> tuple[str, str]:
    found = cell.summary(SINCE_TRAINING)
    if found.mean is None:
        return "", "since training: not recorded"
    if cell.answer.learned_nothing:
        return "", f"learned nothing ({found.mean:.3f})"
    return f"{found.mean:.3f}", ""
