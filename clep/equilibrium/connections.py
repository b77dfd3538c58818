"""Connections between two layers: the terms of Phi that hold parameters.

A bilinear connection is phi(below, above) = above . P(K below + b): K is linear (a matrix, a convolution), P is the
identity or a pooling. Its feedback is dphi/dbelow = K^T P^T above; untied feedback has its own weights in K.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from clep.equilibrium.products import suits_onednn, times_transposed
from clep.equilibrium.stack import DenseLayer, own_bias
from clep.specs.layers import Shape
from clep.specs.network import Initialization

Route = Tensor | None
"""What the way down must know about the way up: the winners of max pooling; otherwise None."""
Ends = tuple[Tensor, Tensor]
"""Signals (below, above) at the two ends of a connection."""


@dataclass(frozen=True)
class Wiring:
    """What all connections of a network share.

    Args:
        bias: whether layers above the input have biases.
        init: `fan_in`, U(-1/sqrt(n_in), 1/sqrt(n_in)) as in `torch.nn`, or `glorot`, U(+-sqrt(6 / (n_in + n_out))).
        untied: whether feedback has its own weights (a vector field, no energy) instead of the transpose.
        feedback_scale: factor on all feedback, > 0 (FRE-RNN; Liu & Chen, arXiv 2508.11659).
        generator: source of the forward weights and biases.
        feedback_generator: source of untied feedback weights; a separate one, so tied and untied twins start alike.
        mask_generator: source of the masks of dendrites.
        feeds_back: whether the connection has a way down; those from the input have none.
    """

    bias: bool
    init: Initialization
    untied: bool
    feedback_scale: float
    generator: torch.Generator
    feedback_generator: torch.Generator
    mask_generator: torch.Generator
    feeds_back: bool = True

    def bound(self, fan_in: int, fan_out: int) -> float:
        """Largest absolute initial weight."""
        return initial_bound(self.init, fan_in, fan_out)


def initial_bound(init: Initialization, fan_in: int, fan_out: int) -> float:
    """Largest absolute initial weight.

    Example:
        >>> initial_bound("fan_in", 16, 8), initial_bound("glorot", 16, 8)
        (0.25, 0.5)
    """
    return 1.0 / math.sqrt(fan_in) if init == "fan_in" else math.sqrt(6.0 / (fan_in + fan_out))


class Connection(nn.Module, ABC):
    """What joins two layers; `below` is (B, *shape below), `above` (B, *shape above).

    Args:
        below: shape of the layer below, without the batch.
        above: shape of the layer above, without the batch.

    Attributes:
        weight: forward weights, the first of its parameters.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> connection = Network([4, 3, 2]).connections[0]
        >>> drive, route = connection.up(torch.rand(5, 4))
        >>> drive.shape, connection.add_down(torch.zeros(5, 4), drive).shape
        (torch.Size([5, 3]), torch.Size([5, 4]))
    """

    weight: nn.Parameter

    def __init__(self, below: Shape, above: Shape) -> None:
        super().__init__()
        self.below, self.above = below, above

    @abstractmethod
    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        """`base` + the drive of the layer above, (B, *above), and its route.

        Args:
            below: signals of the layer below, (B, *below).
            base: what the drive is added to, (B, *above); None for nothing.
            out: where the sum goes, (B, *above); None for new memory.
        """

    @abstractmethod
    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        """`base` + the feedback to the layer below, (B, *below).

        Args:
            base: what the feedback is added to, (B, *below).
            above: signals of the layer above, (B, *above).
            route: what `up` returned with the drive, such as the winners (B, ...) of max pooling.
            out: where the sum goes, (B, *below); it may be `base`; None for new memory.
        """

    @abstractmethod
    def pull_back(self, above: Tensor, below: Tensor) -> Tensor:
        """The vector-Jacobian product of the way up, (B, *below).

        Args:
            above: the vector, (B, *above).
            below: where the Jacobian is taken, (B, *below).
        """

    @abstractmethod
    def differences(self, first: Ends, second: Ends, presynaptic: Ends | None, coefficient: complex) -> list[Tensor]:
        """Real part of `coefficient` * [dphi/dtheta(first) - dphi/dtheta(second)], in the order of `parameters()`.

        Args:
            first, second: signals (B, ...) at both ends in the two states that are compared; summed over the batch.
            presynaptic: presynaptic signals (B, ...) to use for both states, so that only the postsynaptic change
                counts; None to use those of each state. See `clep.equilibrium.contrast.RULES`.
            coefficient: real, or complex for complex signals.
        """

    @property
    def routes(self) -> bool:
        """Whether the way down follows the winners of the way up, as in max pooling."""
        return False

    @property
    def synapses(self) -> int:
        """Number of products of a weight and a signal on the way up; the way down has the same number."""
        return self.weight.numel()

    def prepared(self, dtype: torch.dtype) -> "Connection":
        """The connection to use in the steps between two updates: this one, or a copy.

        Its parameters have `dtype`. Work that every step would repeat is done here once, differentiably.
        """
        if self.weight.dtype == dtype:
            return self
        other = copy.copy(self)
        other._parameters = {
            name: None if p is None else nn.Parameter(p.detach().to(dtype), requires_grad=False)
            for name, p in self._parameters.items()
        }
        return other

    def angle(self) -> float:
        """Angle between forward and feedback weights in degrees; 0 where they are tied."""
        return 0.0

    def dense_layer(self, name: str, time_step: Tensor) -> DenseLayer | None:
        """This connection as a dense layer that consolidation may change; None if it must stay as it is.

        Args:
            name: of the layer.
            time_step: dt of the units above, (n_above,).
        """
        return None


class Bilinear(Connection):
    """phi(below, above) = above . P(K below + b).

    Attributes:
        weight: forward weights.
        bias: of the layer above, or None.
        feedback: weights of untied feedback, shaped as `weight`, or None.
    """

    def __init__(
        self, below: Shape, above: Shape, weight: Sequence[int], fans: tuple[int, int], wiring: Wiring, units: int
    ) -> None:
        super().__init__(below, above)
        self.feedback_scale = wiring.feedback_scale
        bound = wiring.bound(*fans)
        self.weight = uniform(weight, bound, wiring.generator)
        self.bias = uniform((units,), 1.0 / math.sqrt(fans[0]), wiring.generator) if wiring.bias else None
        self.feedback = uniform(weight, bound, wiring.feedback_generator) if wiring.untied else None

    @abstractmethod
    def outer(self, below: Tensor, unpooled: Tensor, total: Tensor | None = None) -> Tensor:
        """dphi/dK summed over the batch, shaped as `weight`; bilinear in `below` and `unpooled`, both real.

        With `total` the result is added to it, in place.
        """

    def route(self, below: Tensor) -> Route:
        """Route of the way up from `below`."""
        return None

    def unpool(self, above: Tensor, route: Route = None) -> Tensor:
        """P^T above: the identity without pooling."""
        return above

    @property
    def downward(self) -> Tensor:
        """The weights of the feedback."""
        return self.weight if self.feedback is None else self.feedback

    def angle(self) -> float:
        if self.feedback is None:
            return 0.0
        cosine = functional.cosine_similarity(self.weight.detach().flatten(), self.feedback.detach().flatten(), dim=0)
        return math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))

    def differences(self, first: Ends, second: Ends, presynaptic: Ends | None, coefficient: complex) -> list[Tensor]:
        # With a above and b below, a1 b1' - a2 b2' is computed as (a1 - a2) b1' + a2 (b1 - b2)'. The states differ
        # little: differences of states keep the digits that a difference of products would lose.
        (below_1, above_1), (below_2, above_2) = first, second
        fixed = below_1 is below_2  # the input: one product serves both
        if presynaptic is None:
            if fixed:
                change = self._unpool_at(_scaled(above_1 - above_2, coefficient), below_1)
                weight = self._real_outer(below_1, change)
            else:
                low, high = self._unpool_at(above_2, below_2), self._unpool_at(above_1, below_1)
                change = _scaled(high - low, coefficient)
                weight = self._real_outer(below_1, change)
                weight = self._real_outer(_scaled(below_1 - below_2, coefficient), low, weight)
            down = weight
        else:
            below, above = presynaptic
            change = self._unpool_at(_scaled(above_1 - above_2, coefficient), below)
            weight = self._real_outer(below, change)
            if self.feedback is not None:
                moved = torch.zeros_like(below) if fixed else _scaled(below_1 - below_2, coefficient)
                down = self._real_outer(moved, self._unpool_at(above, below))
        gradients = [weight]
        if self.bias is not None:
            change = change.real if change.is_complex() else change
            gradients.append(self.summed(change))
        if self.feedback is not None:
            gradients.append(down if down is not weight else weight.clone())
        return gradients

    def summed(self, change: Tensor) -> Tensor:
        """The gradient of the bias, (units,): the change of the layer above, summed over batch and positions."""
        return change.sum((0, *range(2, change.dim())))

    def _unpool_at(self, above: Tensor, below: Tensor) -> Tensor:
        return self.unpool(above, self.route(below.real if below.is_complex() else below))

    def _real_outer(self, below: Tensor, unpooled: Tensor, total: Tensor | None = None) -> Tensor:
        """Real part of dphi/dweight for signals that may be complex; added to `total`, in place, if it is given."""
        if not (below.is_complex() or unpooled.is_complex()):
            return self.outer(below, unpooled, total)
        parts = [(t.real, t.imag) if t.is_complex() else (t, None) for t in (below, unpooled)]
        (low, low_i), (high, high_i) = parts
        total = self.outer(low, high, total)
        return total if low_i is None or high_i is None else self.outer(-low_i, high_i, total)


class Dense(Bilinear):
    """All-to-all connection, phi(below, above) = above . (W below + b); `weight` is (n_above, n_below).

    If the layer below holds images, it is read as a vector.

    Args:
        below: shape of the layer below.
        units: number of units of the layer above.
        wiring: biases, initial weights and feedback.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> drive, _ = Network([4, 3, 2]).connections[1].up(torch.ones(5, 3))
        >>> drive.shape
        torch.Size([5, 2])
    """

    def __init__(self, below: Shape, units: int, wiring: Wiring) -> None:
        n = math.prod(below)
        super().__init__(below, (units,), (units, n), (n, units), wiring, units)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        below = below.flatten(1)
        if below.is_complex():
            return real_map(lambda part: part @ self.weight.T, below).add_(or_zero(self.bias, base)), None
        if base is None:
            return times_transposed(below, self.weight, self.bias, out=out), None
        total = times_transposed(below, self.weight, base, out=out)
        return (total if self.bias is None else total.add_(self.bias)), None

    def up_by_units(self, below: Tensor) -> Tensor:
        """The drive of `up`, (B, n_above), where the samples of a unit lie side by side in memory.

        Args:
            below: signals of the layer below, (B, *below), real.
        """
        below = below.flatten(1)
        if suits_onednn(below, self.weight):
            return times_transposed(below, self.weight, self.bias).t().contiguous().t()
        if self.bias is None:
            return torch.mm(self.weight, below.t()).t()
        return torch.addmm(self.bias.unsqueeze(1), self.weight, below.t()).t()

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        if above.is_complex():
            down = real_map(lambda part: part @ self.downward, above).unflatten(1, self.below)
            return torch.add(base, down, alpha=self.feedback_scale, out=out)
        if len(self.below) == 1:
            above = above if self.feedback_scale == 1.0 else above * self.feedback_scale
            return times_transposed(above, self.downward.T, base, out=out)
        down = times_transposed(above, self.downward.T).unflatten(1, self.below)
        return torch.add(base, down, alpha=self.feedback_scale, out=out)

    def pull_back(self, above: Tensor, below: Tensor) -> Tensor:
        pulled: Tensor = times_transposed(above, self.weight.T).unflatten(1, self.below)
        return pulled

    def outer(self, below: Tensor, unpooled: Tensor, total: Tensor | None = None) -> Tensor:
        if total is not None:  # a second matrix of this size would set the peak of an update's memory
            return total.addmm_(unpooled.T, below.flatten(1))
        return times_transposed(unpooled.T, below.flatten(1).T)

    def dense_layer(self, name: str, time_step: Tensor) -> DenseLayer:
        return DenseLayer(name, self.weight, time_step, bias=own_bias(self))


def effective(connection: Connection, names: Sequence[str]) -> Connection:
    """The connection with the weights that a phase uses; itself unless they are computed from other parameters.

    Parametrizations (`torch.nn.utils.parametrize`) and the hooks of pruning compute a weight anew whenever they are
    asked. The phases of one update need the same one, and autograd must know where it came from. So the values are
    computed once, into a copy.

    Args:
        connection: one of a network's connections.
        names: of the tensors that `differences` returns gradients for, in that order.
    """
    own: dict[str, Any] = connection._parameters
    if all(name in own for name in names):
        return connection
    copied: Any = connection
    if parametrize.is_parametrized(connection):  # such a class refuses to be copied; its parent does not
        copied = object.__new__(type(connection).__mro__[1])
        copied.__dict__.update(connection.__dict__)
    else:
        copied = copy.copy(connection)
    with torch.enable_grad():
        for hook in connection._forward_pre_hooks.values():  # connections are not called, so torch does not run them
            hook(connection, ())
        copied._parameters = {name: getattr(connection, name) for name in names}
    copied._modules = {name: module for name, module in connection._modules.items() if name != "parametrizations"}
    for name in names:
        copied.__dict__.pop(name, None)  # where hooks keep what they computed
    return copied  # type: ignore[no-any-return]


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> nn.Parameter:
    """A parameter drawn from U(-bound, bound)."""
    # Drawn on the generator's device, then moved: the same weights on every default device.
    values = torch.empty(*shape, device=generator.device).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(values.to(default_device()))


def default_device() -> torch.device:
    """Where tensors are made; `torch.get_default_device` of torch 2.7 does not know of `with torch.device(...)`."""
    return torch.empty(0).device


def real_map(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """A real linear map of a complex tensor."""
    return torch.complex(function(z.real), function(z.imag))


def or_zero(*terms: Tensor | None) -> Any:
    """The sum of the terms that are not None."""
    return sum(term for term in terms if term is not None)


def _scaled(difference: Tensor, coefficient: complex) -> Tensor:
    """`coefficient` times a difference, which may be overwritten."""
    return difference * coefficient if isinstance(coefficient, complex) else difference.mul_(coefficient)
