"""Imported by the process that workers are forked from: what each of them would do first, done once for all."""

import atexit
import gc
import io

from clep import tracking
from clep.report import accuracy_matrix_figure
from clep.sources import own_code

own_code()  # of what is imported here, not of what the files hold when a worker is forked
tracking.warm_up()
accuracy_matrix_figure([[0.0]]).savefig(io.BytesIO(), format="png")  # fonts and the renderer
gc.freeze()  # what is loaded by now stays: a collection in a worker need not walk, and so copy, all of it
atexit.register(gc.unfreeze)  # otherwise torch's compiler reports it all as leaked when this process ends
