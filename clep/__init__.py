"""clep: continual-learning pipelines for networks trained by equilibrium propagation.

Importing clep is cheap and changes nothing outside clep: torch, Lightning, Avalanche and MLflow are imported when
something first needs them.
"""

from typing import TYPE_CHECKING, Any

from clep.distribution import version
from clep.imports import exported
from clep.renames import NAMES, find_old_modules, renamed

__version__ = version()

_HOMES = {
    "Adaptation": "clep.equilibrium",
    "Backpropagation": "clep.equilibrium",
    "CEP": "clep.equilibrium",
    "Clamping": "clep.equilibrium",
    "Comparison": "clep.results",
    "ConvLayer": "clep.equilibrium",
    "CostNudging": "clep.equilibrium",
    "CrossEntropy": "clep.equilibrium",
    "Dendrites": "clep.equilibrium",
    "Learner": "clep.learner",
    "LinearNudging": "clep.equilibrium",
    "Network": "clep.equilibrium",
    "Result": "clep.results",
    "SquaredError": "clep.equilibrium",
    "Strategy": "clep.strategy",
    "TimeStep": "clep.equilibrium",
    "Training": "clep.training",
    "compare": "clep.api",
    "compose": "clep.api",
    "load": "clep.api",
    "load_comparison": "clep.api",
    "metrics": "clep.metrics",
    "run": "clep.api",
    "stream": "clep.streams",
}
"""Public name -> the module that defines it."""

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from clep import metrics as metrics
    from clep.api import compare as compare
    from clep.api import compose as compose
    from clep.api import load as load
    from clep.api import load_comparison as load_comparison
    from clep.api import run as run
    from clep.equilibrium import CEP as CEP
    from clep.equilibrium import Adaptation as Adaptation
    from clep.equilibrium import Backpropagation as Backpropagation
    from clep.equilibrium import Clamping as Clamping
    from clep.equilibrium import ConvLayer as ConvLayer
    from clep.equilibrium import CostNudging as CostNudging
    from clep.equilibrium import CrossEntropy as CrossEntropy
    from clep.equilibrium import Dendrites as Dendrites
    from clep.equilibrium import LinearNudging as LinearNudging
    from clep.equilibrium import Network as Network
    from clep.equilibrium import SquaredError as SquaredError
    from clep.equilibrium import TimeStep as TimeStep
    from clep.learner import Learner as Learner
    from clep.results import Comparison as Comparison
    from clep.results import Result as Result
    from clep.strategy import Strategy as Strategy
    from clep.streams import stream as stream
    from clep.training import Training as Training

find_old_modules()


def __getattr__(name: str) -> Any:
    if ("clep", name) in NAMES:
        return renamed("clep", name)
    return exported("clep", name, _HOMES, __all__)


def __dir__() -> list[str]:
    return __all__
