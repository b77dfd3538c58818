"""Imported by the process that workers are forked from: what each of them would do first, done once for all."""

import io

from clep import tracking
from clep.report import accuracy_matrix_figure

tracking.warm_up()
accuracy_matrix_figure([[0.0]]).savefig(io.BytesIO(), format="png")  # fonts and the renderer
