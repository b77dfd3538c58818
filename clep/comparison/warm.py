"""Imported by the process that workers are forked from: what each of them would do first, done once for all."""

import atexit
import gc
import io
from contextlib import suppress

import sklearn.datasets  # what the digits are read with
import sklearn.model_selection  # noqa: F401
import torch

from clep import report, tracking
from clep.config import compose
from clep.equilibrium import Network
from clep.results import Result
from clep.sources import own_code

own_code()  # of what is imported here, not of what the files hold when a worker is forked
with suppress(FileNotFoundError):  # the command has ended meanwhile, and taken its temporary folder along
    tracking.warm_up()
tracking.provenance_once()
report.accuracy_matrix_figure([[0.0]]).savefig(io.BytesIO(), format="png")  # fonts and the renderer
_config = compose()
_matrix = [[1.0, 0.0], [0.5, 1.0]]
_numbers = {"accuracy": 0.5, "accuracy_matrix": _matrix, "accuracy_before_consolidation": _matrix, "sizes": [1, 1]}
_result = Result.of(_config, "", "", "FINISHED", **_numbers)
report.run_page(_result.to_json(), report.about_run(_config, "", ""))  # templates, and the figures of a page
with torch.no_grad(), torch.random.fork_rng(devices=[]):  # a backward pass may start threads, which no fork survives
    Network([3, 3, 2])(torch.zeros(2, 3))  # compiled steps
gc.freeze()  # what is loaded by now stays: a collection in a worker need not walk, and so copy, all of it
atexit.register(gc.unfreeze)  # otherwise torch's compiler reports it all as leaked when this process ends
