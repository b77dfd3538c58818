"""Figures and pages from stored numbers, a file for each figure; see `clep.report.drawing` for how to add one.

The `*_figure` functions build figures and the `plot_*` functions write them. Matplotlib's global state is not touched.
"""

from clep.report.about import About, about_comparison, about_run
from clep.report.accuracy_matrix import accuracy_matrix_figure, plot_accuracy_matrix, write_matrix_csv
from clep.report.cells import DrawnCell, drawn_cells
from clep.report.comparison import comparison_figure
from clep.report.drawing import draw, drawn_for, figures, svg, write_pdf
from clep.report.grid import grid_figure
from clep.report.hidden_states import hidden_states_figure, plot_hidden_states
from clep.report.html import comparison_page, run_page
from clep.report.scaling import plot_scaling, scaling_figure

__all__ = [
    "About",
    "DrawnCell",
    "about_comparison",
    "about_run",
    "accuracy_matrix_figure",
    "comparison_figure",
    "comparison_page",
    "draw",
    "drawn_cells",
    "drawn_for",
    "figures",
    "grid_figure",
    "hidden_states_figure",
    "plot_accuracy_matrix",
    "plot_hidden_states",
    "plot_scaling",
    "run_page",
    "scaling_figure",
    "svg",
    "write_matrix_csv",
    "write_pdf",
]
