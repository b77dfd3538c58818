"""Sleep as a simulation of spiking neurons: integrate, fire, and a gated Hebbian rule. Plain arrays, no networks.

Almost all neurons are silent almost always, so a step costs as much as there are spikes in it: the columns of the
inputs that fired are added, the synapses of the neurons that fired are changed, and silent layers only decay.

Reference: Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742), the SRC algorithm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numba
import numpy as np
import torch
from torch import Tensor

from clep.compiled import compiled
from clep.spikes import Spikes


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


class CompiledSimulation:
    """`Simulation` by compiled loops over spikes.

    Weights are kept transposed, so that what an input adds to the layer above is contiguous. Sums are taken in the
    order of the inputs, in the dtype of the weights; a weight's change and the mean of an inhibition are computed in
    float64 and rounded once.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first, float32 or float64; copied.
        parameters: constants of each layer.
        symmetric: whether the rule is applied at both ends of a synapse.
        shuffled: whether the rule sees random lower neurons.
        rng: source of randomness of `shuffled`.
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
        self._fired = np.zeros(neurons, np.int64)  # neurons of a layer that fired in the latest step, then rubbish
        self._number = np.zeros(len(self.sizes), np.int64)  # how many these are
        self._order = np.concatenate([np.arange(n) for n in self.sizes])
        decays = [np.broadcast_to(p.decay, n) for p, n in zip(parameters, self.sizes[1:], strict=True)]
        self._decay = np.concatenate([np.ones(self.sizes[0]), *decays]).astype(dtype)
        self._layer = np.array([[p.threshold, k, p.inhibition] for p, k in _with_feedback(parameters)], dtype)
        self._synapse = np.array([[p.increment, p.decrement, p.gate_width, p.bound] for p in parameters])

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
        _run(
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
            self._layer,
            self._synapse,
            self.symmetric,
            self.shuffled,
            self._order,
            self.rng,
        )

    def is_compiled(self) -> bool:
        """Whether this process has the loops for this dtype; if not, the first steps take some seconds more."""
        signatures = getattr(_run, "signatures", ())  # none if numba is told not to compile
        return any(signature[3].dtype == numba.from_dtype(self._weights.dtype) for signature in signatures)


class TorchSimulation:
    """`Simulation` by torch's functions, on the device of the weights; arguments as of `CompiledSimulation`."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        parameters: Sequence[SpikingParameters],
        *,
        symmetric: bool = False,
        shuffled: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.parameters = list(_with_feedback(parameters))
        self.symmetric, self.shuffled = symmetric, shuffled
        self.rng = rng or np.random.default_rng(0)
        self._weights = [w.T.contiguous().clone() for w in weights]
        self._order = [np.arange(len(w)) for w in self._weights]
        self.potentials = [w.new_zeros(w.shape[1]) for w in self._weights]
        self._decay = [v.new_tensor(p.decay) for p, v in zip(parameters, self.potentials, strict=True)]
        self._counts = [torch.zeros_like(v, dtype=torch.int64) for v in self.potentials]
        self._fired = [torch.empty(0, dtype=torch.int64, device=w.device) for w in weights]

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
        """One step of a layer whose lower neurons `below` fired; those that fire themselves."""
        (p, feedback), w, v = self.parameters[layer], self._weights[layer], self.potentials[layer]
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
            self._learn(layer, below, fired, both)
        return fired

    def _learn(self, layer: int, below: Tensor, fired: Tensor, both_ends: bool) -> None:
        p, w = self.parameters[layer][0], self._weights[layer]
        alone = 0.5 * p.decrement if both_ends else p.decrement
        if self.shuffled:
            below = torch.from_numpy(_subset(self._order[layer], len(below), self.rng).copy()).to(w.device)
        change = w.new_full((len(w), len(fired)), -alone, dtype=torch.float64)
        change[below] = p.increment
        columns = _changed(w[:, fired], change, p)
        if both_ends:  # the synapses of lower neurons; those of both are in the columns
            w[below] = _changed(w[below], w.new_full((1, w.shape[1]), -alone, dtype=torch.float64), p)
        w[:, fired] = columns


def simulation(weights: Sequence[Tensor], parameters: Sequence[SpikingParameters], **options: Any) -> Simulation:
    """`TorchSimulation` of weights on a GPU, otherwise `CompiledSimulation`."""
    if weights[0].is_cuda:
        return TorchSimulation([w.detach() for w in weights], parameters, **options)
    return CompiledSimulation([w.detach().cpu().numpy() for w in weights], parameters, **options)


def _with_feedback(parameters: Sequence[SpikingParameters]) -> list[tuple[SpikingParameters, float]]:
    """Each layer's constants with the factor on W_{l+1}^T z_{l+1}: potentials are in units of their thresholds."""
    ratios = [low.threshold / high.threshold for low, high in pairwise(parameters)]
    return [(p, p.feedback * ratio) for p, ratio in zip(parameters, [*ratios, 0.0], strict=True)]


def _changed(weights: Tensor, change: Tensor, p: SpikingParameters) -> Tensor:
    old = weights.double()
    e = torch.exp(-old.abs() / p.gate_width)
    gate = torch.where(old < 0.0, 2.0, 2.0 * e) / (1.0 + e)
    return (old + change * gate).clamp(-p.bound, p.bound).to(weights.dtype)


# ---------------------------------------------------------------- compiled code


@compiled
def gate(weight: float, width: float) -> float:
    """g(w) = 2 / (1 + exp(w / width)), without overflow."""
    e = math.exp(-abs(weight) / width)
    return (2.0 if weight < 0.0 else 2.0 * e) / (1.0 + e)


@compiled
def _subset(order: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """`k` different entries of a permutation, all sets equally likely; it stays a permutation."""
    for a in range(k):
        b = a + int(rng.random() * (len(order) - a))
        order[a], order[b] = order[b], order[a]
    return order[:k]


@compiled
def _add_rows(total: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> None:
    """total += weights[rows[0]], then += weights[rows[1]], ...: four at a time, each entry in this order."""
    last, k = len(rows), 0
    while k + 4 <= last:
        a, b, c, d = weights[rows[k]], weights[rows[k + 1]], weights[rows[k + 2]], weights[rows[k + 3]]
        for i in range(len(total)):
            total[i] = (((total[i] + a[i]) + b[i]) + c[i]) + d[i]
        k += 4
    while k < last:
        a = weights[rows[k]]
        for i in range(len(total)):
            total[i] += a[i]
        k += 1


@compiled
def _changed_weight(weight: float, rate: float, width: float, bound: float) -> float:
    old = float(weight)
    return min(max(old + rate * gate(old, width), -bound), bound)


@compiled
def _learn(
    w: np.ndarray,
    below: np.ndarray,
    fired: np.ndarray,
    both_ends: bool,
    synapse: np.ndarray,
    mark: np.ndarray,
    column: np.ndarray,
) -> None:
    """The rule for a layer's transposed weights (n_below, n).

    Scratch: `mark`, False before and after, and `column`, as long as a layer.
    """
    low, n = w.shape
    increment, decrement, width, bound = synapse
    alone = 0.5 * decrement if both_ends else decrement
    if len(fired):
        for j in below:
            mark[j] = True
        for i in fired:
            # The entries of a column are far apart in memory: a loop that does nothing but fetch or put back waits for
            # many of them at once, which makes the rule several times faster.
            for j in range(low):
                column[j] = w[j, i]
            for j in range(low):
                column[j] = _changed_weight(column[j], increment if mark[j] else -alone, width, bound)
            for j in range(low):
                w[j, i] = column[j]
        for j in below:
            mark[j] = False
    if both_ends and len(below):
        for i in fired:
            mark[i] = True
        for j in below:
            for i in range(n):
                if not mark[i]:
                    w[j, i] = _changed_weight(w[j, i], -alone, width, bound)
        for i in fired:
            mark[i] = False


@compiled
def _run(
    index,
    start,
    sizes,
    weights,
    first_weight,
    first,
    potentials,
    counts,
    fired,
    number,
    decay,
    constants,
    synapse,
    symmetric,
    shuffled,
    order,
    rng,
):
    """All steps of some input spikes; see `CompiledSimulation` for the arrays."""
    depth = len(sizes) - 1
    mark, column = np.zeros(sizes.max(), np.bool_), np.empty(sizes.max(), weights.dtype)
    drive = np.empty(sizes.max(), weights.dtype)
    for step in range(len(start) - 1):
        below = index[start[step] : start[step + 1]]
        for layer in range(depth):
            low, n = sizes[layer], sizes[layer + 1]
            at = first[layer + 1]
            v = potentials[at : at + n]
            w = weights[first_weight[layer] : first_weight[layer + 1]].reshape(low, n)
            threshold, feedback, inhibition = constants[layer]
            leak = decay[at : at + n]
            for i in range(n):
                v[i] *= leak[i]
            fed_back = feedback != 0.0 and layer + 1 < depth and number[layer + 2] > 0
            driven = fed_back or len(below) > 0
            inhibited = driven and inhibition != 0.0
            target = drive[:n] if inhibited else v  # where input is added
            if inhibited:
                target[:] = 0.0
            _add_rows(target, w, below)
            if fed_back:
                above = fired[first[layer + 2] : first[layer + 2] + number[layer + 2]]
                upper = weights[first_weight[layer + 1] : first_weight[layer + 2]].reshape(n, sizes[layer + 2])
                for i in range(n):
                    total = upper[i, above[0]]
                    for k in above[1:]:
                        total += upper[i, k]
                    target[i] += feedback * total
            if inhibited:
                mean = 0.0
                for i in range(n):
                    mean += target[i] / n
                for i in range(n):
                    v[i] += target[i] - inhibition * mean
            here = 0
            if driven:  # a potential that only decays stays below its threshold
                reached = 0
                for i in range(n):
                    reached += v[i] >= threshold
                if reached:
                    for i in range(n):
                        if v[i] >= threshold:
                            fired[at + here] = i
                            here += 1
                            v[i] = 0.0
                            counts[at + i] += 1
            number[layer + 1] = here
            now = fired[at : at + here]
            both_ends = symmetric and layer > 0
            learns = synapse[layer, 0] != 0.0 or synapse[layer, 1] != 0.0
            if learns and (here > 0 or (both_ends and len(below) > 0)):
                seen = below
                if shuffled:
                    seen = _subset(order[first[layer] : first[layer + 1]], len(below), rng)
                _learn(w, seen, now, both_ends, synapse[layer], mark, column)
            below = now
