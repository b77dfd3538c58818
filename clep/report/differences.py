"""Differences of the cells to the baseline, paired by seed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from clep.answer import ACCURACY, SINCE_TRAINING, Measure
from clep.report.cells import DrawnCell
from clep.report.drawing import PALE_INK, drawn_for
from clep.report.rows import figure_of_rows, name_row, zero_line

_GAP = "\N{NO-BREAK SPACE}" * 4  # a page would make one of several plain spaces


@drawn_for("page", "differences_in_forgetting")
def forgetting_differences_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Forgetting since training, less that of the baseline with the same seed.

    Args:
        cells: best first, the baseline among them.
    """
    return _differences(cells, SINCE_TRAINING, "\N{LEFTWARDS ARROW} forgets less", "forgets more \N{RIGHTWARDS ARROW}")


@drawn_for("page", "differences_in_accuracy")
def accuracy_differences_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Final accuracy, less that of the baseline with the same seed.

    Args:
        cells: best first, the baseline among them.
    """
    return _differences(cells, ACCURACY, "\N{LEFTWARDS ARROW} less accurate", "more accurate \N{RIGHTWARDS ARROW}")


def _differences(cells: Sequence[DrawnCell], measure: Measure, less: str, more: str) -> Figure | None:
    """Mean, 95 % interval, and a dot per seed below; filled if the difference is shown, open if not."""
    compared = [cell for cell in cells if measure.key in cell.answer.differences]
    found = [(cell, cell.answer.differences[measure.key]) for cell in compared]
    found = [(cell, difference) for cell, difference in found if difference.n]
    if not found:
        return None
    baseline = next(cell for cell in cells if cell.is_baseline)
    figure, axes = figure_of_rows([cell for cell, _ in found], f"{less}{_GAP}than cell {baseline.number}{_GAP}{more}")
    for row, (cell, difference) in enumerate(found):
        style, place, values = cell.style, row + 0.08, list(difference.by_seed.values())
        mean = float(np.mean(values))
        words = f"{mean:+.3f}"
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [place] * 2, color=style.colour, linewidth=1.4)
            words += f" [{difference.low:+.2f}, {difference.high:+.2f}]"
        face = style.colour if difference.shown else "white"
        axes.plot([mean], [place], style.marker, color=style.colour, markerfacecolor=face, markersize=5, zorder=4)
        axes.scatter(values, np.full(len(values), row + 0.33), s=5, color=PALE_INK, linewidth=0, zorder=3)
        name_row(axes, row, cell, words.replace("-", "\N{MINUS SIGN}"))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.02), max(high, 0.02))
    zero_line(axes, len(found))
    return figure
