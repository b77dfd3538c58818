"""Connections between two layers: the terms of Phi that hold parameters.

A connection is phi(below, above) = above . P(K below + b): K is linear (a matrix, a convolution), P is the identity or
a pooling. Its feedback is dphi/dbelow = K^T P^T above, or, untied, the same with weights of its own in K.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clep.equilibrium.products import times_transposed
from clep.errors import ConfigError

Pooling = Literal["none", "max", "average"]
POOLINGS: tuple[Pooling, ...] = ("none", "max", "average")
Initialization = Literal["fan_in", "glorot"]
INITIALIZATIONS: tuple[Initialization, ...] = ("fan_in", "glorot")
Shape = tuple[int, ...]
Route = Tensor | None
"""What the way down must know of the way up: the winners of max pooling; None elsewhere."""


@dataclass(frozen=True)
class Wiring:
    """What the connections of a network have in common.

    Args:
        bias: whether layers above the input have biases.
        init: `fan_in`, U(-1/sqrt(n_in), 1/sqrt(n_in)) as in `torch.nn`, or `glorot`, U(+-sqrt(6 / (n_in + n_out))).
        untied: whether feedback has weights of its own (a vector field, no energy) instead of the transpose.
        feedback_scale: factor on all feedback, > 0 (FRE-RNN; Liu & Chen, arXiv 2508.11659).
        generator: source of the forward weights and biases.
        feedback_generator: source of untied feedback weights, so that tied and untied twins start alike.
    """

    bias: bool
    init: Initialization
    untied: bool
    feedback_scale: float
    generator: torch.Generator
    feedback_generator: torch.Generator


class Connection(nn.Module, ABC):
    """Weights between two layers; `below` is (B, *shape below), `above` (B, *shape above).

    Attributes:
        weight: forward weights.
        bias: of the layer above, or None.
        feedback: weights of untied feedback, shaped as `weight`, or None.
    """

    def __init__(
        self, below: Shape, above: Shape, weight: Sequence[int], fans: tuple[int, int], wiring: Wiring, units: int
    ) -> None:
        super().__init__()
        self.below, self.above = below, above
        self.feedback_scale = wiring.feedback_scale
        fan_in, fan_out = fans
        narrow = 1.0 / math.sqrt(fan_in)
        bound = narrow if wiring.init == "fan_in" else math.sqrt(6.0 / (fan_in + fan_out))
        self.weight = _uniform(weight, bound, wiring.generator)
        self.bias = _uniform((units,), narrow, wiring.generator) if wiring.bias else None
        self.feedback = _uniform(weight, bound, wiring.feedback_generator) if wiring.untied else None

    @abstractmethod
    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        """`base` + dphi/dabove = `base` + P(K below + b), (B, *above), and its route; written to `out` if given."""

    @abstractmethod
    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        """`base` + feedback_scale K^T P^T above, (B, *below); written to `out` (which may be `base`) if given."""

    @abstractmethod
    def pull_back(self, above: Tensor, route: Route = None) -> Tensor:
        """K^T P^T above with the forward weights, (B, *below): the vector-Jacobian product of the way up."""

    @abstractmethod
    def outer(self, below: Tensor, spread: Tensor) -> Tensor:
        """dphi/dK summed over the batch, shaped as `weight`; bilinear in `below` and `spread`, both real."""

    def route(self, below: Tensor) -> Route:
        """Route of the way up from `below`."""
        return None

    def spread(self, above: Tensor, route: Route = None) -> Tensor:
        """P^T above: the identity without pooling."""
        return above

    def cast(self, dtype: torch.dtype) -> "Connection":
        """A copy for relaxation alone whose parameters are rounded to `dtype`."""
        other = copy.copy(self)
        other._parameters = {
            name: None if p is None else nn.Parameter(p.detach().to(dtype), requires_grad=False)
            for name, p in self._parameters.items()
        }
        return other

    @property
    def downward(self) -> Tensor:
        """The weights of the feedback."""
        return self.weight if self.feedback is None else self.feedback

    def angle(self) -> float:
        """Angle between forward and feedback weights in degrees; 0 where they are tied."""
        if self.feedback is None:
            return 0.0
        cosine = functional.cosine_similarity(self.weight.detach().flatten(), self.feedback.detach().flatten(), dim=0)
        return math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))


class Dense(Connection):
    """All-to-all connection, phi(below, above) = above . (W below + b); `weight` is (n_above, n_below).

    A layer of images below is read as a vector.
    """

    def __init__(self, below: Shape, units: int, wiring: Wiring) -> None:
        n = math.prod(below)
        super().__init__(below, (units,), (units, n), (n, units), wiring, units)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        below = below.flatten(1)
        if below.is_complex():
            return _real_map(lambda part: part @ self.weight.T, below).add_(_or_zero(self.bias, base)), None
        if base is None:
            return times_transposed(below, self.weight, self.bias, out=out), None
        total = times_transposed(below, self.weight, base, out=out)
        return (total if self.bias is None else total.add_(self.bias)), None

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        if above.is_complex():
            down = _real_map(lambda part: part @ self.downward, above).unflatten(1, self.below)
            return torch.add(base, down, alpha=self.feedback_scale, out=out)
        if len(self.below) == 1:
            above = above if self.feedback_scale == 1.0 else above * self.feedback_scale
            return times_transposed(above, self.downward.T, base, out=out)
        down = times_transposed(above, self.downward.T).unflatten(1, self.below)
        return torch.add(base, down, alpha=self.feedback_scale, out=out)

    def pull_back(self, above: Tensor, route: Route = None) -> Tensor:
        return times_transposed(above, self.weight.T).unflatten(1, self.below)

    def outer(self, below: Tensor, spread: Tensor) -> Tensor:
        return times_transposed(spread.T, below.flatten(1).T)


class Convolution(Connection):
    """2-d convolution and pooling, phi(below, above) = above . P(W * below + b); images are (C, H, W).

    `weight` is (channels, C, kernel, kernel), in the channels-last layout, in which CPUs convolve fastest. Max pooling
    sends feedback to the winners of the present state below (Laborieux et al. 2021), average pooling to all alike.
    """

    def __init__(self, below: Shape, layer: "ConvLayer", wiring: Wiring) -> None:
        above = layer.shape_above(below)
        channels, height, width = below
        self.layer = layer
        self.convolved = tuple(
            (side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in (height, width)
        )
        # What the stride leaves over at the far edges.
        self.rest = tuple((side + 2 * layer.padding - layer.kernel) % layer.stride for side in (height, width))
        area = layer.kernel**2
        super().__init__(
            below,
            above,
            (layer.channels, channels, layer.kernel, layer.kernel),
            (channels * area, layer.channels * area),
            wiring,
            layer.channels,
        )
        for parameter in (self.weight, self.feedback):
            if parameter is not None:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        if below.is_complex():
            pooled = _real_map(lambda part: self._pooled(self._convolve(part, None))[0], below)
            pooled.add_(_or_zero(None if self.bias is None else self.bias[:, None, None], base))
            return pooled, None
        pooled, route = self._pooled(self._convolve(below, self.bias))
        return (pooled if base is None else torch.add(base, pooled, out=out)), route

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        def down(part: Tensor) -> Tensor:
            return self._transpose(self.spread(part, route), self.downward)

        return torch.add(
            base, _real_map(down, above) if above.is_complex() else down(above), alpha=self.feedback_scale, out=out
        )

    def pull_back(self, above: Tensor, route: Route = None) -> Tensor:
        return self._transpose(self.spread(above, route), self.weight)

    def outer(self, below: Tensor, spread: Tensor) -> Tensor:
        return torch.nn.grad.conv2d_weight(
            below, self.weight.shape, spread, stride=self.layer.stride, padding=self.layer.padding
        )

    def route(self, below: Tensor) -> Route:
        return self._pooled(self._convolve(below, None))[1] if self.layer.routes else None

    def spread(self, above: Tensor, route: Route = None) -> Tensor:
        pool = self.layer.pool
        if not self.layer.pools:
            return above
        if self.layer.routes:
            return functional.max_unpool2d(above, route, pool, output_size=self.convolved)
        if above.is_complex():
            return _real_map(self.spread, above)
        spread = functional.interpolate(above, scale_factor=pool, mode="nearest") / pool**2
        bottom, right = (side - new for side, new in zip(self.convolved, spread.shape[2:], strict=True))
        return functional.pad(spread, (0, right, 0, bottom)) if bottom or right else spread

    def _convolve(self, below: Tensor, bias: Tensor | None) -> Tensor:
        below = below.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(below, self.weight, bias, self.layer.stride, self.layer.padding)

    def _pooled(self, convolved: Tensor) -> tuple[Tensor, Route]:
        pool = self.layer.pool
        if not self.layer.pools:
            return convolved, None
        if self.layer.routes:
            return functional.max_pool2d(convolved, pool, return_indices=True)
        return functional.avg_pool2d(convolved, pool), None

    def _transpose(self, spread: Tensor, weight: Tensor) -> Tensor:
        layer = self.layer
        return functional.conv_transpose2d(spread, weight, None, layer.stride, layer.padding, self.rest)


@dataclass(frozen=True)
class ConvLayer:
    """A convolutional layer in the list that describes a network.

    Args:
        channels: number of feature maps.
        kernel: side of the square kernel.
        stride: of the convolution.
        padding: zeros around the image.
        pooling: `none`, `max` or `average`, over squares that do not overlap.
        pool: side of these squares.

    Raises:
        ConfigError: for an unknown pooling or a number out of range.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    pooling: Pooling = "max"
    pool: int = 2

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ConfigError(f"network.pooling: unknown pooling `{self.pooling}`. Valid names: {', '.join(POOLINGS)}.")
        for name, least in {"channels": 1, "kernel": 1, "stride": 1, "pool": 1, "padding": 0}.items():
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"network.{name}: expected an integer of at least {least}, got {value}.")

    @property
    def pools(self) -> bool:
        """Whether there is anything to pool."""
        return self.pooling != "none" and self.pool > 1

    @property
    def routes(self) -> bool:
        """Whether feedback must follow the winners of the way up."""
        return self.pooling == "max" and self.pool > 1

    def shape_above(self, below: Shape) -> Shape:
        """(channels, H, W) of this layer above one of shape `below`.

        Raises:
            ConfigError: if `below` is no image or too small.
        """
        if len(below) != 3:
            raise ConfigError(
                f"network.channels: a convolutional layer needs images (C, H, W) below it, got a layer of {below}."
            )
        pool = self.pool if self.pools else 1
        sides = [((side + 2 * self.padding - self.kernel) // self.stride + 1) // pool for side in below[1:]]
        if min(sides) < 1:
            raise ConfigError(
                f"network.kernel: images of {below[1]} x {below[2]} are too small for kernel {self.kernel}, padding "
                f"{self.padding}, stride {self.stride} and pool {pool}; use fewer layers, smaller kernels or padding."
            )
        return self.channels, *sides


def connect(below: Shape, layer: "int | ConvLayer", wiring: Wiring) -> Connection:
    """The connection from a layer of shape `below` to the next one."""
    return Convolution(below, layer, wiring) if isinstance(layer, ConvLayer) else Dense(below, layer, wiring)


def _uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> nn.Parameter:
    # Drawn where the generator lives, then moved: the same weights on every default device.
    values = torch.empty(*shape, device=generator.device).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(values.to(torch.get_default_device()))


def _real_map(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """A real linear map of a complex tensor."""
    return torch.complex(function(z.real), function(z.imag))


def _or_zero(*terms: Tensor | None) -> Any:
    return sum(term for term in terms if term is not None)
