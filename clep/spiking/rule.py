"""What a network asleep does in a step, in equations, and the constants in them."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from clep.spiking.spikes import Spikes


@dataclass(frozen=True)
class SpikingParameters:
    """Constants of one layer.

    Attributes:
        decay: factor on the membrane potential per step, in [0, 1]: one for all neurons, or of each, (n_l,).
        threshold: potential at which a neuron fires, > 0.
        increment: weight gained by a synapse whose two neurons fired, before the gate.
        decrement: weight lost by a synapse whose upper neuron fired alone, before the gate.
        gate_width: width of the gate g(w) = 2 / (1 + exp(w / gate_width)), > 0: near 2 for negative weights, 1 at zero,
            near 0 for positive ones, which makes what was learned in waking hard to overwrite and the rule stable.
            Infinite for none: g = 1.
        feedback: kappa, strength of the input from the layer above through the transposed weights; 0 for none.
        inhibition: share of the layer's mean input that is taken from the input of each of its neurons, >= 0; 0 for
            none.
        bound: largest absolute value that a weight has after it was changed, > 0; infinite for none.
    """

    decay: float | np.ndarray
    threshold: float
    increment: float
    decrement: float
    gate_width: float
    feedback: float = 0.0
    inhibition: float = 0.0
    bound: float = math.inf


class Simulation(Protocol):
    """A network asleep. For every layer l, bottom up within a step:

        I = W_l z_{l-1} + kappa (threshold_l / threshold_{l+1}) W_{l+1}^T z_{l+1};
        v <- decay v + I - inhibition mean(I);  z = [v >= threshold_l];
        for fired neurons i: W_ij += increment g(W_ij) where z_{l-1,j} = 1, W_ij -= decrement g(W_ij) elsewhere,
        weights are clipped to the bound, and v_i <- 0;

    z_{l+1} is of the step before, and mean(I) is over the neurons of the layer: with an inhibition of 1, what drives a
    layer on the whole fires nobody, and what remains is who is driven more than others. Symmetric: a synapse between
    two hidden or output neurons is changed by the mean of the rule and the rule with its two ends exchanged, g taken
    once. Shuffled: for the rule alone, the lower neurons that fired are replaced by as many at random, drawn whenever
    the rule is applied.

    Attributes:
        weights: (n_l, n_{l-1}) of each layer, lowest first.
        potentials: v of each layer above the input, (n_l,).
        counts: number of spikes of each neuron since the start, (n_l,) int64 of each layer.
    """

    @property
    def weights(self) -> list[Any]: ...
    @property
    def potentials(self) -> list[Any]: ...
    @property
    def counts(self) -> list[np.ndarray]: ...

    def run(self, spikes: Spikes) -> None:
        """Go on by `len(spikes)` steps."""
