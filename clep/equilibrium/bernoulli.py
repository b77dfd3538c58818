"""Neurons that send spikes: Bernoulli draws of their states (StochEP)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.equilibrium.motions import Prototypical, Sender

_FEWEST, _ERRORS = 8, 6.0  # it takes so many samples to tell movement from noise, by so many standard errors


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Prototypical):
    """Hidden layers send spikes z ~ Bernoulli(s) instead of their states s, one draw per neuron and step:

        s_l <- s_l + dt_l (rho(W_l z_{l-1} + b_l + W_{l+1}^T z_{l+1} + nudge) - s_l).

    The same spike goes up and down. Input and output are graded, states are probabilities, and since E[z] = s, the mean
    field is `Prototypical` itself. A relaxation depends only on its arguments and on `seed`. Phases with the same seed
    use the same uniforms (common random numbers), so the noise they share cancels in their contrast.

    The residual is what noise cannot explain: the mean change of a layer over its units and the batch, less six of its
    standard errors over the samples, and never below 0. With fewer than eight samples it is 0, since so few cannot tell
    movement from noise.

    Reference: Lin, Jiang & Sengupta 2025 (arXiv 2511.11320), stochastic neurons in equilibrium propagation. Their
    equations are not public; these are ours. At dt < 1 the probability leaks.

    Args:
        neuron: rho of every layer, with values in [0, 1].
        nudge_outside: add the nudge after rho instead of before.
        spiking: number of layers above the input that send spikes, lowest first.
        seed: seeds the uniforms of every relaxation.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> free = Network([4, 3, 2], dynamics="bernoulli").free_phase(torch.rand(5, 4))
        >>> free.spikes.shape
        torch.Size([1])
    """

    spiking: int
    seed: int

    def sender(self, device: torch.device) -> Sender:
        return _Spikes(self.spiking, self.seed, device)

    def residual(self, distance: Tensor) -> Tensor:
        means = distance.flatten(1).mean(1)  # one per sample, all independent
        if len(means) < _FEWEST:
            return 0.0 * means.sum()  # NaN if a state is NaN
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
