"""The list of layers that describes a network, and what follows from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from clep.equilibrium.connections import Connection, Dense, Shape, Wiring
from clep.equilibrium.convolution import ConvLayer, Convolution
from clep.equilibrium.dendrites import Dendrites, Dendritic
from clep.errors import ConfigError


def checked_sizes(sizes: Sequence[int | Shape | ConvLayer | Mapping[str, Any]], readout: str) -> tuple[Any, ...]:
    """The layers as ints, a shape and `ConvLayer`s."""
    layers = [ConvLayer(**layer) if isinstance(layer, Mapping) else layer for layer in sizes]
    layers = [tuple(layer) if isinstance(layer, list | tuple) else layer for layer in layers]
    units = [math.prod(layer) if isinstance(layer, tuple) else layer for layer in layers]
    least = 2 if readout == "state" else 3
    if len(layers) < least or any(isinstance(n, int) and n < 1 for n in units):
        raise ConfigError(
            f"network.hidden: expected at least {'two' if least == 2 else 'three'} layers of at least one unit, got "
            f"{list(sizes)}."
        )
    ends = (layers[0], layers[-1])
    if any(isinstance(layer, tuple) for layer in layers[1:]) or any(isinstance(layer, ConvLayer) for layer in ends):
        raise ConfigError(
            "network.hidden: the input is a number of units or a shape, a shape is for the input alone and the output "
            f"is dense, got {list(sizes)}."
        )
    return tuple(layers)


def connect(
    below: Shape, layer: int | ConvLayer, wiring: Wiring, dendrites: Dendrites | None, first: bool
) -> Connection:
    """The connection from a layer of shape `below` (the input, if it is the first) to the next one."""
    if isinstance(layer, ConvLayer):
        return Convolution(below, layer, wiring)
    if dendrites is None:
        return Dense(below, layer, wiring)
    return Dendritic(below, layer, wiring, dendrites, feeds_back=not first)


def linear_readout(below: int, above: int, wiring: Wiring) -> nn.Linear:
    """A read-out whose initial weights are drawn as those of the connections."""
    drawn = Dense((below,), above, wiring)
    linear = nn.Linear(below, above, bias=drawn.bias is not None)
    linear.weight = drawn.weight
    if drawn.bias is not None:
        linear.bias = drawn.bias
    return linear


def gains(ends: Sequence[tuple[int, int]], depth: int, scale: float) -> list[float]:
    """What undoes scaled feedback in each link's gradient: scale^-(links from its upper layer to the last one).

    With s_l = rho(W_l s_{l-1} + scale W_{l+1}^T s_{l+1}), sum_l scale^l (s_l . W_l s_{l-1} - R(s_l)) is stationary, so
    the contrast of layer l counts scale^l against scale^depth of the nudge. Exact for chains; of residual links the
    shortest way counts, which sets the order of magnitude.
    """
    hops = {depth: 0}
    for below, above in sorted(ends, key=lambda pair: -pair[1]):
        hops[below] = min(hops.get(below, depth), hops[above] + 1)
    return [scale ** -hops[above] for _, above in ends]


def plain_layer(layer: Any) -> Any:
    """A layer as plain values, which `checked_sizes` reads."""
    return asdict(layer) if isinstance(layer, ConvLayer) else list(layer) if isinstance(layer, tuple) else layer
