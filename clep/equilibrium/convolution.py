"""Convolutions between layers of images, with pooling."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from clep.equilibrium.connections import Bilinear, Route, Wiring, or_zero, real_map
from clep.specs.layers import ConvLayer, Shape


class Convolution(Bilinear):
    """2-d convolution and pooling, phi(below, above) = above . P(W * below + b); images are (C, H, W).

    `weight` is (channels, C, kernel, kernel), in the channels-last layout: CPUs convolve fastest in it. Max pooling
    sends feedback to the current winners in the layer below (Laborieux et al. 2021), average pooling to all units
    equally.

    Args:
        below: shape (C, H, W) of the layer below.
        layer: the layer above.
        wiring: biases, initial weights and feedback.

    Example:
        >>> from clep.equilibrium import ConvLayer, Network
        >>> Network([(1, 8, 8), ConvLayer(4, kernel=3), 10]).connections[0].weight.shape
        torch.Size([4, 1, 3, 3])
    """

    def __init__(self, below: Shape, layer: ConvLayer, wiring: Wiring) -> None:
        above = layer.shape_above(below)
        channels, height, width = below
        self.layer = layer
        cuts = [divmod(side + 2 * layer.padding - layer.kernel, layer.stride) for side in (height, width)]
        self.convolved = tuple(strides + 1 for strides, _ in cuts)
        self.leftover = tuple(rest for _, rest in cuts)  # what the stride leaves over at the far edges
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

    @property
    def routes(self) -> bool:
        return self.layer.routes

    @property
    def synapses(self) -> int:
        return self.weight.numel() * math.prod(self.convolved)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        if below.is_complex():
            pooled = real_map(lambda part: self._pooled(self._convolve(part, None))[0], below)
            pooled.add_(or_zero(None if self.bias is None else self.bias[:, None, None], base))
            return pooled, None
        pooled, route = self._pooled(self._convolve(below, self.bias))
        return (pooled if base is None else torch.add(base, pooled, out=out)), route

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        def down(part: Tensor) -> Tensor:
            return self._transpose(self.unpool(part, route), self.downward)

        return torch.add(
            base, real_map(down, above) if above.is_complex() else down(above), alpha=self.feedback_scale, out=out
        )

    def pull_back(self, above: Tensor, below: Tensor) -> Tensor:
        return self._transpose(self.unpool(above, self.route(below)), self.weight)

    def outer(self, below: Tensor, unpooled: Tensor, total: Tensor | None = None) -> Tensor:
        weight = conv2d_weight(below, self.weight.shape, unpooled, stride=self.layer.stride, padding=self.layer.padding)
        return weight if total is None else total.add_(weight)

    def route(self, below: Tensor) -> Route:
        return self._pooled(self._convolve(below, None))[1] if self.layer.routes else None

    def unpool(self, above: Tensor, route: Route = None) -> Tensor:
        pool = self.layer.pool
        if not self.layer.pools:
            return above
        if self.layer.routes:
            assert route is not None  # max pooling notes its winners
            return functional.max_unpool2d(above, route, (pool, pool), output_size=self.convolved)
        if above.is_complex():
            return real_map(self.unpool, above)
        unpooled = functional.interpolate(above, scale_factor=pool, mode="nearest") / pool**2
        bottom, right = (side - new for side, new in zip(self.convolved, unpooled.shape[2:], strict=True))
        return functional.pad(unpooled, (0, right, 0, bottom)) if bottom or right else unpooled

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

    def _transpose(self, unpooled: Tensor, weight: Tensor) -> Tensor:
        layer = self.layer
        return functional.conv_transpose2d(unpooled, weight, None, layer.stride, layer.padding, self.leftover)
