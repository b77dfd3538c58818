"""Sleep as a simulation of spiking neurons: integrate, fire, and a gated Hebbian rule. Plain arrays, no networks.

Reference: Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742), the SRC algorithm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpikingParameters:
    """Constants of one layer.

    Attributes:
        decay: factor on the membrane potential per step, in [0, 1].
        threshold: potential at which a neuron fires, > 0.
        increment: weight gained by a synapse whose two neurons fired, before the gate.
        decrement: weight lost by a synapse whose upper neuron fired alone, before the gate.
        gate_width: width of the gate g(w) = 2 / (1 + exp(w / gate_width)), > 0: near 2 for negative weights, 1 at zero,
            near 0 for positive ones, which makes what was learned in waking hard to overwrite and the rule stable.
        feedback: kappa, strength of the input from the layer above through the transposed weights; 0 for none.
    """

    decay: float
    threshold: float
    increment: float
    decrement: float
    gate_width: float
    feedback: float = 0.0


@dataclass
class SpikingState:
    """State of the layers above the input.

    Attributes:
        v: membrane potentials, (n_l,) each.
        z: spikes of the latest step, (n_l,) float in {0, 1} each.
    """

    v: list[np.ndarray]
    z: list[np.ndarray]

    @classmethod
    def rest(cls, sizes: Sequence[int], dtype: np.dtype) -> "SpikingState":
        """All potentials zero, no spikes."""
        return cls([np.zeros(n, dtype) for n in sizes], [np.zeros(n, dtype) for n in sizes])


def gate(weights: np.ndarray, width: float) -> np.ndarray:
    """g(w) = 2 / (1 + exp(w / width)), elementwise, without overflow."""
    return 1.0 - np.tanh(weights / (2.0 * width))


def spiking_step(
    weights: Sequence[np.ndarray], state: SpikingState, spikes: np.ndarray, parameters: Sequence[SpikingParameters]
) -> None:
    """One step of all layers, bottom up within the step; `weights` and `state` change in place.

    For every layer l, with everything of the layer above (feedback kappa) from the previous step:
        v <- decay v + W_l z_{l-1} + kappa (threshold_l / threshold_{l+1}) W_{l+1}^T z_{l+1};  z = [v >= threshold_l];
        for fired neurons i: W_ij += increment g(W_ij) where z_{l-1,j} = 1, W_ij -= decrement g(W_ij) elsewhere,
        and v_i <- 0.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first.
        state: potentials and spikes of the layers above the input.
        spikes: input spikes (n_0,), float in {0, 1}.
        parameters: constants of each layer.
    """
    below = spikes
    for layer, (w, p) in enumerate(zip(weights, parameters, strict=True)):
        v = state.v[layer]
        v *= p.decay
        active = np.flatnonzero(below)
        if len(active):
            v += w[:, active].sum(axis=1)
        if p.feedback and layer + 1 < len(weights) and state.z[layer + 1].any():
            # The potential of each layer is measured in units of its threshold, so feedback is too.
            above = weights[layer + 1].T @ state.z[layer + 1]
            v += p.feedback * (p.threshold / parameters[layer + 1].threshold) * above
        fired = np.flatnonzero(v >= p.threshold)
        z = state.z[layer]
        z[:] = 0.0
        if len(fired):
            rows = w[fired]
            rows += gate(rows, p.gate_width) * np.where(below > 0.0, p.increment, -p.decrement).astype(w.dtype)
            w[fired] = rows
            v[fired] = 0.0
            z[fired] = 1.0
        below = z
