"""Figures from stored numbers, one file each; see `clep.report.drawing` for how to add one.

The `*_figure` functions build figures and the `plot_*` functions write them. Matplotlib's global state is not touched.
"""

from clep.report.accuracy_matrix import accuracy_matrix_figure, plot_accuracy_matrix, write_matrix_csv
from clep.report.comparison import comparison_figure
from clep.report.drawing import draw, drawn_for
from clep.report.grid import grid_figure
from clep.report.hidden_states import hidden_states_figure, plot_hidden_states

__all__ = [
    "accuracy_matrix_figure",
    "comparison_figure",
    "draw",
    "drawn_for",
    "grid_figure",
    "hidden_states_figure",
    "plot_accuracy_matrix",
    "plot_hidden_states",
    "write_matrix_csv",
]
