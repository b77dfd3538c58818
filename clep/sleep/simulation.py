"""Two simulations of a sleep: compiled loops that follow the spikes, and torch's functions for other devices."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numba
import numpy as np
import torch
from torch import Tensor

from clep.sleep.rule import (
    SpikingParameters,
    learn,
    neuron_constants,
    run_steps,
    subset,
    synapse_constants,
)
from clep.sleep.spikes import Spikes


class Simulation(Protocol):
    """A network asleep. For every layer l, bottom up within a step:

        I = W_l z_{l-1} + kappa (threshold_l / threshold_{l+1}) W_{l+1}^T z_{l+1};
        v <- decay v + I - inhibition mean(I);  z = [v >= threshold_l];
        for fired neurons i: W_ij += increment g(W_ij) where z_{l-1,j} = 1, W_ij -= decrement g(W_ij) elsewhere,
        weights are clipped to the bound, and v_i <- 0;

    z_{l+1} is of the step before, and mean(I) is over the neurons of the layer: with an inhibition of 1, input common
    to the whole layer fires no neuron; only differences count. Symmetric: a synapse between two hidden or output
    neurons changes by the mean of the rule and the rule with its two ends exchanged, g taken once. Shuffled: the rule
    sees the same number of random lower neurons instead of those that fired, drawn each time the rule is applied.

    Attributes:
        weights: (n_l, n_{l-1}) of each layer, lowest first.
        potentials: v of each layer above the input, (n_l,).
        counts: number of spikes of each neuron since the start, (n_l,) int64 for each layer.
    """

    @property
    def weights(self) -> list[Any]: ...
    @property
    def potentials(self) -> list[Any]: ...
    @property
    def counts(self) -> list[np.ndarray]: ...

    def run(self, spikes: Spikes) -> None:
        """Simulate `len(spikes)` more steps."""

    def set(self, parameters: Sequence[SpikingParameters]) -> None:
        """Go on with other constants; decays stay as they are."""

    def is_compiled(self) -> bool:
        """Whether this process has compiled what it needs for the dtype; if not, the first steps take seconds."""


class CompiledSimulation:
    """`Simulation` by compiled loops over spikes.

    Weights are kept transposed, so that the weights of one input are contiguous. Sums are taken in the
    order of the inputs, in the dtype of the weights; a weight's change and the mean of an inhibition are computed in
    float64 and rounded once.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first, float32 or float64; copied.
        parameters: constants of each layer.
        symmetric: whether the rule is applied at both ends of a synapse.
        shuffled: whether the rule sees random lower neurons.
        rng: source of randomness for `shuffled`.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        parameters: Sequence[SpikingParameters],
        *,
        symmetric: bool = False,
        shuffled: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        dtype = weights[0].dtype
        self.sizes = np.array([weights[0].shape[1], *(len(w) for w in weights)])
        self.symmetric, self.shuffled = symmetric, shuffled
        self.rng = rng or np.random.default_rng(0)
        self._weights = np.concatenate([w.T.ravel() for w in weights])
        self._first_weight = np.concatenate([[0], np.cumsum(self.sizes[1:] * self.sizes[:-1])])
        self._first = np.concatenate([[0], np.cumsum(self.sizes)])  # of each layer, the input included
        neurons = self._first[-1]
        self._v = np.zeros(neurons, dtype)
        self._counts = np.zeros(neurons, np.int64)
        self._fired = np.zeros(neurons, np.int64)  # of each layer: neurons that fired in the latest step, then garbage
        self._number = np.zeros(len(self.sizes), np.int64)  # of each layer: how many fired
        self._order = np.concatenate([np.arange(n) for n in self.sizes])
        decays = [np.broadcast_to(p.decay, n) for p, n in zip(parameters, self.sizes[1:], strict=True)]
        self._decay = np.concatenate([np.ones(self.sizes[0]), *decays]).astype(dtype)
        self.set(parameters)

    def set(self, parameters: Sequence[SpikingParameters]) -> None:
        self._neuron = np.array(neuron_constants(parameters), self._weights.dtype)
        self._synapse = np.array([synapse_constants(p) for p in parameters])

    @property
    def weights(self) -> list[np.ndarray]:
        return [
            self._weights[start:end].reshape(low, high).T
            for (start, end), (low, high) in zip(pairwise(self._first_weight), pairwise(self.sizes), strict=True)
        ]

    @property
    def potentials(self) -> list[np.ndarray]:
        return self._split(self._v)

    @property
    def counts(self) -> list[np.ndarray]:
        return self._split(self._counts)

    def _split(self, neurons: np.ndarray) -> list[np.ndarray]:
        return np.split(neurons, self._first[1:-1])[1:]

    def run(self, spikes: Spikes) -> None:
        run_steps(
            spikes.index,
            spikes.start,
            self.sizes,
            self._weights,
            self._first_weight,
            self._first,
            self._v,
            self._counts,
            self._fired,
            self._number,
            self._decay,
            self._neuron,
            self._synapse,
            self.symmetric,
            self.shuffled,
            self._order,
            self.rng,
        )

    def is_compiled(self) -> bool:
        signatures = getattr(run_steps, "signatures", ())  # missing if numba is told not to compile
        return any(signature[3].dtype == numba.from_dtype(self._weights.dtype) for signature in signatures)


class TorchSimulation:
    """`Simulation` by torch's functions, on the device of the weights.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first; copied.
        parameters: constants of each layer.
        symmetric, shuffled, rng: see `CompiledSimulation`.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        parameters: Sequence[SpikingParameters],
        *,
        symmetric: bool = False,
        shuffled: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.set(parameters)
        self.symmetric, self.shuffled = symmetric, shuffled
        self.rng = rng or np.random.default_rng(0)
        self._weights = [w.T.contiguous().clone() for w in weights]
        self._order = [np.arange(len(w)) for w in self._weights]
        self.potentials = [w.new_zeros(w.shape[1]) for w in self._weights]
        self._decay = [v.new_tensor(p.decay) for p, v in zip(parameters, self.potentials, strict=True)]
        self._counts = [torch.zeros_like(v, dtype=torch.int64) for v in self.potentials]
        self._fired = [torch.empty(0, dtype=torch.int64, device=w.device) for w in weights]

    def set(self, parameters: Sequence[SpikingParameters]) -> None:
        self.parameters, self._neuron = list(parameters), neuron_constants(parameters)

    def is_compiled(self) -> bool:
        return True  # there is nothing to compile

    @property
    def weights(self) -> list[Tensor]:
        return [w.T for w in self._weights]

    @property
    def counts(self) -> list[np.ndarray]:
        return [count.cpu().numpy() for count in self._counts]

    @torch.no_grad()
    def run(self, spikes: Spikes) -> None:
        index = torch.from_numpy(spikes.index).to(self._weights[0].device)
        for start, end in pairwise(spikes.start.tolist()):
            below = index[start:end]
            for layer in range(len(self._weights)):
                below = self._step(layer, below)

    def _step(self, layer: int, below: Tensor) -> Tensor:
        """One step of a layer after the lower neurons `below` fired; returns the neurons that fire."""
        p, w, v = self.parameters[layer], self._weights[layer], self.potentials[layer]
        _, feedback, _ = self._neuron[layer]
        above = self._fired[layer + 1] if feedback and layer + 1 < len(self._weights) else below[:0]
        v.mul_(self._decay[layer])
        if len(below) or len(above):
            drive = w[below].sum(0)
            if len(above):
                drive.add_(self._weights[layer + 1][:, above].sum(1), alpha=feedback)
            v.add_(drive.sub_(p.inhibition * drive.mean()) if p.inhibition else drive)
        fired = torch.nonzero(v >= p.threshold).flatten() if len(below) or len(above) else below[:0]
        v[fired] = 0.0
        self._counts[layer][fired] += 1
        self._fired[layer] = fired
        both = self.symmetric and layer > 0
        if (len(fired) or (both and len(below))) and (p.increment or p.decrement):
            seen = below
            if self.shuffled:
                seen = torch.from_numpy(subset(self._order[layer], len(below), self.rng).copy()).to(w.device)
            learn(w, seen, fired, both, p)
        return fired


def simulation(weights: Sequence[Tensor], parameters: Sequence[SpikingParameters], **options: Any) -> Simulation:
    """Put a network to sleep: `TorchSimulation` for weights on a GPU, otherwise `CompiledSimulation`.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first.
        parameters: constants of each layer.
        **options: `symmetric`, `shuffled` and `rng`; see `CompiledSimulation`.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from clep.sleep.rule import SpikingParameters
        >>> from clep.sleep.spikes import Spikes
        >>> layer = SpikingParameters(decay=0.9, threshold=0.5, increment=0.1, decrement=0.05, gate_width=1.0)
        >>> asleep = simulation([torch.eye(2)], [layer])
        >>> asleep.run(Spikes.of(np.array([[1, 0], [1, 0], [0, 1]])))
        >>> asleep.counts[0].tolist()
        [2, 1]
    """
    if weights[0].is_cuda:
        return TorchSimulation([w.detach() for w in weights], parameters, **options)
    return CompiledSimulation([w.detach().cpu().numpy() for w in weights], parameters, **options)
