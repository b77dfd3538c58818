"""The rule of sleep: its constants, and the loops that apply it, compiled and in torch. Variants go here.

A neuron that fires strengthens its synapses from neurons that fired in the same step and weakens the others, through
the gate g(w) = 2 / (1 + exp(w / width)): near 2 for negative weights, 1 at zero, near 0 for positive ones. This keeps
the rule stable and protects what was learned awake.

The compiled functions stay in one file: numba keeps compiled code on disk, and to see whether it is stale it checks
only the file of the function itself, not those of the functions it calls.

Reference: Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from clep.compiling import compiled


@dataclass(frozen=True)
class SpikingParameters:
    """Constants of one layer.

    Attributes:
        decay: factor on the membrane potential per step, in [0, 1]: one for all neurons, or (n_l,), one each.
        threshold: potential at which a neuron fires, > 0.
        increment: weight gained by a synapse whose two neurons fired, before the gate.
        decrement: weight lost by a synapse if only its upper neuron fired, before the gate.
        gate_width: width of the gate, > 0; infinite for no gate, g = 1.
        feedback: kappa, strength of the input from the layer above through the transposed weights; 0 for none.
        inhibition: share of the layer's mean input to subtract from each neuron's input, >= 0.
        bound: largest absolute value of a weight after a change, > 0; infinite for none.
    """

    decay: float | np.ndarray
    threshold: float
    increment: float
    decrement: float
    gate_width: float
    feedback: float = 0.0
    inhibition: float = 0.0
    bound: float = math.inf


def neuron_constants(layers: Sequence[SpikingParameters]) -> list[tuple[float, float, float]]:
    """The (threshold, feedback, inhibition) of each layer.

    The feedback is the factor on W_{l+1}^T z_{l+1}; it measures potentials in units of their layer's threshold.

    Args:
        layers: constants of each layer, lowest first.

    Example:
        >>> from clep.sleep.rule import SpikingParameters
        >>> layer = SpikingParameters(decay=0.9, threshold=0.5, increment=0.1, decrement=0.05, gate_width=1.0)
        >>> neuron_constants([layer])
        [(0.5, 0.0, 0.0)]
    """
    ratios = [low.threshold / high.threshold for low, high in pairwise(layers)]
    return [(p.threshold, p.feedback * ratio, p.inhibition) for p, ratio in zip(layers, [*ratios, 0.0], strict=True)]


def synapse_constants(p: SpikingParameters) -> tuple[float, float, float, float]:
    """The constants that a synapse needs to change, as `_learn` unpacks them."""
    return p.increment, p.decrement, p.gate_width, p.bound


@compiled
def gate(weight: float, width: float) -> float:
    """g(w) = 2 / (1 + exp(w / width)), without overflow."""
    e = math.exp(-abs(weight) / width)
    return (2.0 if weight < 0.0 else 2.0 * e) / (1.0 + e)


@compiled
def subset(order: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
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
            # The entries of a column are far apart in memory. A loop that only reads or only writes them keeps many
            # accesses going at once and makes the rule several times faster.
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
def run_steps(
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
            target = drive[:n] if inhibited else v  # input is added here
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
                    seen = subset(order[first[layer] : first[layer + 1]], len(below), rng)
                _learn(w, seen, now, both_ends, synapse[layer], mark, column)
            below = now


def changed_weights(weights: Tensor, change: Tensor, p: SpikingParameters) -> Tensor:
    """`_changed_weight` in torch.

    Args:
        weights: any shape.
        change: the change before the gate, of a shape that broadcasts.
        p: constants of the layer.

    Example:
        >>> import torch
        >>> from clep.sleep.rule import SpikingParameters
        >>> layer = SpikingParameters(decay=0.9, threshold=0.5, increment=0.1, decrement=0.05, gate_width=1.0)
        >>> changed_weights(torch.zeros(2), torch.tensor([0.1, -0.05]), layer)
        tensor([ 0.1000, -0.0500])
    """
    old = weights.double()
    e = torch.exp(-old.abs() / p.gate_width)
    g = torch.where(old < 0.0, 2.0, 2.0 * e) / (1.0 + e)
    return (old + change * g).clamp(-p.bound, p.bound).to(weights.dtype)


def learn(w: Tensor, below: Tensor, fired: Tensor, both_ends: bool, p: SpikingParameters) -> None:
    """`_learn` in torch: the rule for a layer's weights, changed in place.

    Args:
        w: transposed weights, (n_below, n).
        below: indices of the lower neurons that fired, as the rule sees them.
        fired: indices of the neurons of the layer that fired.
        both_ends: whether the rule is applied at both ends of a synapse.
        p: constants of the layer.

    Example:
        >>> import torch
        >>> from clep.sleep.rule import SpikingParameters
        >>> layer = SpikingParameters(decay=0.9, threshold=0.5, increment=0.1, decrement=0.05, gate_width=1.0)
        >>> w = torch.zeros(2, 1)
        >>> learn(w, torch.tensor([0]), torch.tensor([0]), False, layer)
        >>> w.flatten()
        tensor([ 0.1000, -0.0500])
    """
    alone = 0.5 * p.decrement if both_ends else p.decrement
    change = w.new_full((len(w), len(fired)), -alone, dtype=torch.float64)
    change[below] = p.increment
    columns = changed_weights(w[:, fired], change, p)
    if both_ends:  # the synapses of lower neurons; if both fired, the columns have them
        w[below] = changed_weights(w[below], w.new_full((1, w.shape[1]), -alone, dtype=torch.float64), p)
    w[:, fired] = columns
