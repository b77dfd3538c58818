"""What each part is made of: every option once, with its default, range and meaning. No torch, no files.

A spec is a frozen dataclass. The same spec is a section of the configuration, the keywords of a constructor, what
`clep show` prints and the source of the reference page of keys.
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
