"""Neurons that send spikes: Bernoulli draws of their states (StochEP)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.equilibrium.motions import Motion, Nudge, Sender, activated, towards
from clep.equilibrium.neurons import Neuron

_FEWEST, _ERRORS = 8, 6.0  # samples from which noise can be told from movement, by so many standard errors


@dataclass(frozen=True)
class Bernoulli(Motion):
    """Hidden layers send spikes z ~ Bernoulli(s) instead of their states s, one draw per neuron and step:

        s_l <- s_l + dt_l (rho(W_l z_{l-1} + b_l + W_{l+1}^T z_{l+1} + nudge) - s_l).

    A spike goes up and down alike. Input and output are graded, states are probabilities, and with E[z] = s the
    mean field is `Prototypical` itself. A relaxation depends only on its arguments and on `seed`: phases that share a
    seed share their uniforms (common random numbers), so that noise which both have cancels in their contrast.

    The residual is what noise cannot explain: the mean change of a layer over its units and the batch, less six of its
    standard errors over the samples, at least 0 (and 0 for fewer than eight samples, which cannot tell).

    Reference: Lin, Jiang & Sengupta 2025 (arXiv 2511.11320), stochastic neurons in equilibrium propagation; the paper's
    equations are not public, these are ours. What leaks at dt < 1 is the probability.

    Args:
        neuron: rho of every layer, with values in [0, 1].
        spiking: number of layers above the input that send spikes, lowest first.
        seed: of the uniforms of every relaxation.
        nudge_outside: add the nudge after rho instead of before.
    """

    neuron: Neuron
    spiking: int
    seed: int
    nudge_outside: bool = False

    jumps = True

    def rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        return states[layer]

    def sender(self, device: torch.device) -> Sender:
        return _Spikes(self.spiking, self.seed, device)

    def target(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        return activated(self.neuron, self.nudge_outside, layer, force, states, nudge)

    def move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        return towards(state, target, dt, out)

    def distance(self, state: Tensor, target: Tensor) -> Tensor:
        return target - state

    def residual(self, distance: Tensor) -> Tensor:
        means = distance.flatten(1).mean(1)  # one for each sample, and independent of each other
        if len(means) < _FEWEST:
            return 0.0 * means.sum()  # NaN where a state is
        return (means.mean().abs() - _ERRORS / math.sqrt(len(means)) * means.std()).clamp_min(0.0)


class _Spikes:
    """Draws the spikes of one relaxation and counts them."""

    def __init__(self, spiking: int, seed: int, device: torch.device) -> None:
        self.spiking = spiking
        self.generator = torch.Generator(device).manual_seed(seed)
        self.spikes = torch.zeros(spiking, dtype=torch.float64, device=device)

    def __call__(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        state = states[layer]
        if layer >= self.spiking:
            return state
        with torch.no_grad():
            spikes = torch.empty_like(state).uniform_(generator=self.generator).lt_(state)
            self.spikes[layer] += spikes.sum()
        # Straight through: a spike passes gradients on as its probability would. The difference is exactly 0.
        return spikes + (state - state.detach()) if torch.is_grad_enabled() and state.requires_grad else spikes
