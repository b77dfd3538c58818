"""clep: continual-learning pipelines for networks trained by equilibrium propagation.

Importing clep is cheap and changes nothing outside clep: torch, Lightning, Avalanche and MLflow are imported by what
first needs them.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("clep")

_HOMES = {
    "Adaptation": "clep.equilibrium",
    "Backpropagation": "clep.equilibrium",
    "Clamping": "clep.equilibrium",
    "Comparison": "clep.results",
    "ContinualNudging": "clep.equilibrium",
    "ConvLayer": "clep.equilibrium",
    "CostNudging": "clep.equilibrium",
    "CrossEntropy": "clep.equilibrium",
    "Learner": "clep.learner",
    "LinearNudging": "clep.equilibrium",
    "Network": "clep.equilibrium",
    "Result": "clep.results",
    "SquaredError": "clep.equilibrium",
    "Strategy": "clep.strategy",
    "TimeStep": "clep.equilibrium",
    "Training": "clep.training",
    "compare": "clep.api",
    "load": "clep.api",
    "metrics": "clep.metrics",
    "run": "clep.api",
    "stream": "clep.streams",
}

__all__ = [
    "Adaptation",
    "Backpropagation",
    "Clamping",
    "Comparison",
    "ContinualNudging",
    "ConvLayer",
    "CostNudging",
    "CrossEntropy",
    "Learner",
    "LinearNudging",
    "Network",
    "Result",
    "SquaredError",
    "Strategy",
    "TimeStep",
    "Training",
    "__version__",
    "compare",
    "load",
    "metrics",
    "run",
    "stream",
]

if TYPE_CHECKING:
    from clep import metrics
    from clep.api import compare, load, run
    from clep.equilibrium import (
        Adaptation,
        Backpropagation,
        Clamping,
        ContinualNudging,
        ConvLayer,
        CostNudging,
        CrossEntropy,
        LinearNudging,
        Network,
        SquaredError,
        TimeStep,
    )
    from clep.learner import Learner
    from clep.results import Comparison, Result
    from clep.strategy import Strategy
    from clep.streams import stream
    from clep.training import Training


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clep' has no attribute '{name}'; public names: {', '.join(__all__)}")
    home = import_module(_HOMES[name])
    return home if home.__name__ == f"clep.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
