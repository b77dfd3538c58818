"""Equilibrium propagation in PyTorch: usable alone, without Lightning, Avalanche or MLflow.

Two conventions meet in the literature. Here the *primitive function* Phi is **maximised**,

    Phi(x, s) = sum_l  s_l . (W_l s_{l-1} + b_l),        s_0 = x,

so a layer relaxes by `s_l <- s_l + dt_l * (rho(dPhi/ds_l) - s_l)`, where rho is the activation and dt_l in (0, 1]
is the time step of each neuron. Papers that write an *energy* E minimise it; E = sum_i R(s_i) - Phi with
R' = rho^-1 has the same fixed points. A cost C nudges the output by -beta dC/ds, which gives, with Phi,

    dC/dtheta = -lim_{beta -> 0} (1 / beta) [dPhi/dtheta(s^beta) - dPhi/dtheta(s*)].

References:
    Scellier & Bengio 2017; Ernoult et al. 2019 (discrete dynamics); Laborieux et al. 2021 (centered nudging).
"""

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.connections import INITIALIZATIONS, RULES, Dense
from clep.equilibrium.convolution import POOLINGS, ConvLayer, Convolution
from clep.equilibrium.costs import CrossEntropy, SquaredError
from clep.equilibrium.dendrites import Dendrites
from clep.equilibrium.dynamics import ORDERS
from clep.equilibrium.gradients import Backpropagation, Clamping, ContinualNudging, CostNudging, LinearNudging
from clep.equilibrium.network import DYNAMICS, FEEDBACKS, FIRINGS, PRECISIONS, READOUTS, Network
from clep.equilibrium.neurons import NEURONS
from clep.equilibrium.phases import PHASES, STARTS
from clep.equilibrium.stochastic import BernoulliDynamics
from clep.equilibrium.time_steps import DISTRIBUTIONS, TimeStep

__all__ = [
    "DISTRIBUTIONS",
    "DYNAMICS",
    "FEEDBACKS",
    "FIRINGS",
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
    "BernoulliDynamics",
    "Clamping",
    "ContinualNudging",
    "ConvLayer",
    "Convolution",
    "CostNudging",
    "CrossEntropy",
    "Dendrites",
    "Dense",
    "LinearNudging",
    "Network",
    "SquaredError",
    "TimeStep",
]
