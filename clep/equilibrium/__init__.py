"""Equilibrium propagation in PyTorch; works without Lightning, Avalanche or MLflow.

The literature has two conventions. Here the *primitive function* Phi is **maximised**,

    Phi(x, s) = sum_l  s_l . (W_l s_{l-1} + b_l),        s_0 = x,

so a layer relaxes by `s_l <- s_l + dt_l * (rho(dPhi/ds_l) - s_l)`, where rho is the activation and dt_l in (0, 1]
is the time step of each neuron. Papers that write an *energy* E minimise it; E = sum_i R(s_i) - Phi with
R' = rho^-1 has the same fixed points. A cost C nudges the output by -beta dC/ds, which gives, with Phi,

    dC/dtheta = -lim_{beta -> 0} (1 / beta) [dPhi/dtheta(s^beta) - dPhi/dtheta(s*)].

References:
    Scellier & Bengio 2017; Ernoult et al. 2019 (discrete dynamics); Laborieux et al. 2021 (centered nudging).
"""

from typing import Any, get_args

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.bernoulli import Bernoulli
from clep.equilibrium.body import Body, FreePhase
from clep.equilibrium.connections import Connection, Dense
from clep.equilibrium.contrast import RULES
from clep.equilibrium.convolution import Convolution
from clep.equilibrium.costs import Cost, CrossEntropy, SquaredError
from clep.equilibrium.dendrites import Dendritic
from clep.equilibrium.gradients import (
    CEP,
    Backpropagation,
    Clamping,
    CostNudging,
    Gradient,
    LinearNudging,
    Needs,
    Prediction,
)
from clep.equilibrium.network import PRECISIONS, Network
from clep.equilibrium.time_steps import DISTRIBUTIONS
from clep.renames import renamed
from clep.specs.gradients import Phases, Start
from clep.specs.layers import ConvLayer, Dendrites, Pooling, TimeStep
from clep.specs.network import Dynamics, Feedback, Initialization, NetworkSpec, Order, Readout
from clep.specs.neurons import NEURONS, Neuron

DYNAMICS, FEEDBACKS, INITIALIZATIONS, ORDERS, READOUTS = map(
    get_args, (Dynamics, Feedback, Initialization, Order, Readout)
)
PHASES, POOLINGS, STARTS = map(get_args, (Phases, Pooling, Start))

__all__ = [
    "CEP",
    "DISTRIBUTIONS",
    "DYNAMICS",
    "FEEDBACKS",
    "INITIALIZATIONS",
    "NEURONS",
    "ORDERS",
    "PHASES",
    "POOLINGS",
    "PRECISIONS",
    "READOUTS",
    "RULES",
    "STARTS",
    "Adaptation",
    "Backpropagation",
    "Bernoulli",
    "Body",
    "Clamping",
    "Connection",
    "ConvLayer",
    "Convolution",
    "Cost",
    "CostNudging",
    "CrossEntropy",
    "Dendrites",
    "Dendritic",
    "Dense",
    "FreePhase",
    "Gradient",
    "LinearNudging",
    "Needs",
    "Network",
    "NetworkSpec",
    "Neuron",
    "Prediction",
    "SquaredError",
    "TimeStep",
]


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
