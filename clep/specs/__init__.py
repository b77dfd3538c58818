"""Every option of every part, once, with its default, range and meaning. Needs neither torch nor files.

A spec is a frozen dataclass. It is a section of the configuration and the keywords of a constructor at once, and `clep
show` and the reference page of keys print it.
"""

from clep.specs.gradients import Nudging
from clep.specs.layers import ConvLayer, Dendrites, TimeStep
from clep.specs.learner import LearnerSpec, TrainingSpec
from clep.specs.network import NetworkSection, NetworkSpec
from clep.specs.optimization import Optimization
from clep.specs.options import Spec, option
from clep.specs.stream import StreamSpec

__all__ = [
    "ConvLayer",
    "Dendrites",
    "LearnerSpec",
    "NetworkSection",
    "NetworkSpec",
    "Nudging",
    "Optimization",
    "Spec",
    "StreamSpec",
    "TimeStep",
    "TrainingSpec",
    "option",
]
