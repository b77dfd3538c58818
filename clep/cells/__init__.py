"""Cells: the rows of a comparison, each any configuration. Comparisons and claims read them in the same way.

`forms` reads the ways of writing cells, `grids` makes a cell of every combination of alternatives, `expanding` turns
both into what a stored configuration keeps, `controls` adds what every comparison has, and `vain` finds what changes
nothing. `clep.config.cells_of` composes each cell.
"""

from clep.cells.cell import Cell
from clep.cells.controls import with_controls, without_controls
from clep.cells.expanding import expand
from clep.cells.forms import names_in, normal, read_cells
from clep.cells.grids import Axis, axis_of, combinations, read_grid
from clep.cells.vain import not_chosen, of_others

__all__ = [
    "Axis",
    "Cell",
    "axis_of",
    "combinations",
    "expand",
    "names_in",
    "normal",
    "not_chosen",
    "of_others",
    "read_cells",
    "read_grid",
    "with_controls",
    "without_controls",
]
