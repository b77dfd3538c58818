"""Dendritic connections: inputs arrive on branches. Each branch sees some of them and rectifies their sum.

A block with B branches for each of n units reads the activity u of another layer as

    D_o(u) = (1 / B) sum_k relu((W * M)_{k, o} . u + b_{k, o}),        o = 1 ... n,

where the fixed random mask M keeps a share of the inputs of each branch. The way up is a block of basal branches. The
way down is a block A of apical branches with its own weights and no biases, times a gain gamma. So no energy exists:
layer l follows the gradient of phi_l = s_l . (D_l(s_{l-1}) + gamma A_l(s_{l+1})) in s_l only, a vector field.

Reference: Kubo 2026 (arXiv 2605.08135). The output layer has branches too, as in the paper's code.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor

from clep.equilibrium.connections import Connection, Ends, Route, Wiring, default_device, uniform
from clep.equilibrium.products import times_transposed
from clep.equilibrium.stack import Branches, DenseLayer, own_bias
from clep.specs.layers import Dendrites, Shape


class Dendritic(Connection):
    """Basal branches on the way up, apical ones on the way down; see the module.

    Masked weights are zero and get no gradient. If something else makes them nonzero, they have no effect.

    Args:
        below: shape of the layer below; images are read as vectors.
        units: number of units of the layer above.
        wiring: biases, initial weights.
        dendrites: the branches.

    Attributes:
        weight: of the basal branches, (basal, units, n_below).
        bias: of the basal branches, (basal, units), or None.
        apical: weights of the apical branches of the layer below, (apical, n_below, units), or None.
        mask: 1 or 0 for each entry of `weight`; None in a copy whose weights are already masked.
        apical_mask: the same for `apical`; also None if its branches keep everything.

    Example:
        >>> from clep.equilibrium import Network
        >>> Network([4, 3, 2], feedback="dendritic").connections[0].weight.shape
        torch.Size([8, 3, 4])
    """

    mask: Tensor | None
    apical_mask: Tensor | None

    def __init__(self, below: Shape, units: int, wiring: Wiring, dendrites: Dendrites) -> None:
        super().__init__(below, (units,))
        n, density, masks = math.prod(below), dendrites.density, wiring.mask_generator
        self.gain = dendrites.gain
        self.weight = uniform((dendrites.basal, units, n), wiring.bound(n, units), wiring.generator)
        bound = 1.0 / math.sqrt(kept(n, density))
        self.bias = uniform((dendrites.basal, units), bound, wiring.generator) if wiring.bias else None
        self.register_buffer("mask", random_mask(self.weight.shape, density, masks))
        self.apical, apical_mask = None, None
        if wiring.feeds_back:
            shape = (dendrites.apical, n, units)
            self.apical = uniform(shape, wiring.bound(units, n), wiring.feedback_generator)
            apical_mask = None if dendrites.apical_dense else random_mask(shape, density, masks)
        self.register_buffer("apical_mask", apical_mask)
        with torch.no_grad():
            for parameter, mask in ((self.weight, self.mask), (self.apical, self.apical_mask)):
                if parameter is not None and mask is not None:
                    parameter.mul_(mask)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        drive = _rectified_sum(below.flatten(1), self._basal(), self.bias)
        scale = 1.0 / len(self.weight)
        if base is None:
            return torch.mul(drive, scale, out=out), None
        return torch.add(base, drive, alpha=scale, out=out), None

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        assert self.apical is not None  # the input gets no feedback
        feedback = _rectified_sum(above, self._apical(), None)
        return torch.add(base, feedback, alpha=self.gain / len(self.apical), out=out)

    def pull_back(self, above: Tensor, below: Tensor) -> Tensor:
        weight = self._basal()
        gated = _gated(above, below.flatten(1), weight, self.bias)
        pulled: Tensor = times_transposed(gated, weight.flatten(0, 1).T).div_(len(weight)).unflatten(1, self.below)
        return pulled

    def differences(self, first: Ends, second: Ends, presynaptic: Ends | None, coefficient: complex) -> list[Tensor]:
        assert not isinstance(coefficient, complex)  # refused: a rectified branch is not analytic
        (low_1, high_1), (low_2, high_2) = first, second
        sent_up, sent_down = (low_1, low_2), (high_1, high_2)
        if presynaptic is not None:
            low, high = presynaptic
            sent_up, sent_down = (low, low), (high, high)
        scale = coefficient / len(self.weight)
        weight, bias = _contrast(self._basal(), self.bias, sent_up, (high_1, high_2), scale)
        gradients = [weight if self.mask is None else weight.mul_(self.mask)]
        if self.bias is not None:
            gradients.append(bias)
        if self.apical is not None:
            scale = coefficient * self.gain / len(self.apical)
            apical, _ = _contrast(self._apical(), None, sent_down, (low_1, low_2), scale)
            gradients.append(apical if self.apical_mask is None else apical.mul_(self.apical_mask))
        return gradients

    def prepared(self, dtype: torch.dtype) -> "Dendritic":
        other = copy.copy(self)
        apical = None if self.apical is None else self._apical()
        # Products with masks, so autograd can follow; the type of `_parameters` allows only parameters.
        masked: dict[str, Any] = {"weight": self._basal(), "bias": self.bias, "apical": apical}
        other._parameters = {name: None if p is None else p.to(dtype) for name, p in masked.items()}
        other._buffers = {"mask": None, "apical_mask": None}
        return other

    @torch.no_grad()
    def dense_layer(self, name: str, time_step: Tensor) -> DenseLayer:
        """The mean over the branches of each unit, (n_above, n_below), and the branches; masked synapses are zero."""
        assert self.mask is not None  # only copies have None, see `prepared`
        weight = self._basal()
        branches = Branches(weight, self.mask, self.weight.copy_)
        return DenseLayer(name, weight.mean(0), time_step, self._write_mean, branches, own_bias(self))

    @torch.no_grad()
    def _write_mean(self, new: Tensor) -> None:
        """Change the branches such that their mean is `new`.

        All unmasked branches of a pair of units change by the same amount. A pair without any stays unchanged.
        """
        assert self.mask is not None  # only copies have None, see `prepared`
        share = len(self.weight) / self.mask.sum(0).clamp_min(1.0)
        change = (new - self._basal().mean(0)) * share
        self.weight.add_(self.mask * change)

    def _basal(self) -> Tensor:
        return self.weight if self.mask is None else self.weight * self.mask

    def _apical(self) -> Tensor:
        assert self.apical is not None
        return self.apical if self.apical_mask is None else self.apical * self.apical_mask


def random_mask(shape: tuple[int, ...], density: float, generator: torch.Generator) -> Tensor:
    """1 for `max(1, round(density * n))` entries, drawn without replacement, of each row of n; 0 elsewhere."""
    order = torch.rand(*shape, device=generator.device, generator=generator).argsort(-1)
    return (order < kept(shape[-1], density)).to(default_device(), torch.get_default_dtype())


def kept(inputs: int, density: float) -> int:
    """How many of its inputs a branch keeps."""
    return max(1, round(density * inputs))


def _currents(u: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Input of every branch before its threshold, (batch, B, n)."""
    total = times_transposed(u, weight.flatten(0, 1), None if bias is None else bias.flatten())
    currents: Tensor = total.unflatten(1, weight.shape[:2])
    return currents


def _rectified_sum(u: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """B times D(u), (batch, n)."""
    return _currents(u, weight, bias).relu_().sum(1)


def _gated(post: Tensor, u: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`post` (batch, n) at the branches that u switches on, 0 at the others, (batch, B n)."""
    return _currents(u, weight, bias).gt_(0.0).mul_(post.unsqueeze(1)).flatten(1)


def _contrast(
    weight: Tensor, bias: Tensor | None, pre: tuple[Tensor, Tensor], post: tuple[Tensor, Tensor], scale: float
) -> tuple[Tensor, Tensor]:
    """`scale` * B times the difference of d(post . D(pre)) by weight and bias between two states; masks not applied.

    As in `Bilinear.differences`, states are subtracted before they are multiplied.
    """
    (pre_1, pre_2), (post_1, post_2) = pre, post
    if pre_1 is pre_2:
        u = pre_1.flatten(1)
        change = _gated((post_1 - post_2).mul_(scale), u, weight, bias)
        total = times_transposed(change.T, u.T)
    else:
        u, low = pre_1.flatten(1), _gated(post_2, pre_2.flatten(1), weight, bias)
        change = _gated(post_1, u, weight, bias).sub_(low).mul_(scale)
        total = times_transposed(change.T, u.T)
        total.add_(times_transposed(low.T, (u - pre_2.flatten(1)).mul_(scale).T))
    return total.view(weight.shape), change.sum(0).view(weight.shape[:2])
