"""The list of layers that describes a network, and what follows from it."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from clep import parts
from clep.equilibrium.connections import Connection, Dense, Wiring
from clep.equilibrium.dendrites import Dendritic
from clep.errors import ConfigError
from clep.parameters import made
from clep.specs.layers import ConvLayer, Shape
from clep.specs.network import NetworkSpec
from clep.specs.options import signature_of

Layer = int | Shape | ConvLayer
"""One entry of the list that describes a network: units, the shape of the input, or a convolutional layer."""


def checked_sizes(sizes: Sequence[Layer | Mapping[str, Any]], readout: str) -> tuple[Any, ...]:
    """The layers as ints, a shape and `ConvLayer`s.

    Raises:
        ConfigError: for too few layers, a layer without units, or a shape or convolution in the wrong place.
    """
    layers = [ConvLayer(**layer) if isinstance(layer, Mapping) else layer for layer in sizes]
    layers = [tuple(layer) if isinstance(layer, list | tuple) else layer for layer in layers]
    units = [math.prod(layer) if isinstance(layer, tuple) else layer for layer in layers]
    least = 2 if readout == "state" else 3
    if len(layers) < least or any(isinstance(n, int) and n < 1 for n in units):
        raise ConfigError(
            f"sizes: expected at least {'two' if least == 2 else 'three'} layers of at least one unit, got "
            f"{list(sizes)}"
        )
    ends = (layers[0], layers[-1])
    if any(isinstance(layer, tuple) for layer in layers[1:]) or any(isinstance(layer, ConvLayer) for layer in ends):
        raise ConfigError(
            "sizes: expected units or a shape for the input, units or convolutional layers above it and units for the "
            f"output, got {list(sizes)}"
        )
    return tuple(layers)


Join = Callable[[Shape, int, Wiring], Connection]
"""(shape below, units above, wiring) -> the connection of two dense layers."""


def joining(spec: NetworkSpec) -> Join:
    """What joins the dense layers of a network.

    Raises:
        ConfigError: for an unknown name, or a path to something other than a `Connection` class.
    """
    if spec.feedback == "dendritic":
        return functools.partial(Dendritic, dendrites=spec.dendrites)
    if spec.connection == "dense":
        return Dense
    found = parts.find("connection", spec.connection, "connection")
    if not (isinstance(found, type) and issubclass(found, Connection)):
        raise ConfigError(
            f"connection: `{spec.connection}` is not a class derived from `clep.equilibrium.connections.Connection`"
        )
    given = list(signature_of(found).parameters)[:3]  # whatever it calls what it is made with by position
    return functools.partial(_own_connection, found, spec.connection_options, given)


def _own_connection(cls: type[Connection], options: Mapping[str, Any], given: Sequence[str], *ends: Any) -> Connection:
    joined: Connection = made(cls, options, *ends, key="connection", given=given)
    return joined


def wiring_of(spec: NetworkSpec, seed: int, feedback: torch.Generator, masks: torch.Generator) -> Wiring:
    """What all connections of a network share."""
    return Wiring(
        spec.bias,
        spec.init,
        spec.feedback == "untied",
        spec.feedback_scale,
        generator=torch.Generator().manual_seed(seed),
        feedback_generator=feedback,
        mask_generator=masks,
    )


def linear_readout(below: int, above: int, wiring: Wiring) -> nn.Linear:
    """A read-out; its initial weights are drawn in the same way as those of the connections."""
    drawn = Dense((below,), above, wiring)
    linear = nn.Linear(below, above, bias=drawn.bias is not None)
    linear.weight = drawn.weight
    if drawn.bias is not None:
        linear.bias = drawn.bias
    return linear


def gains(joined: Sequence[tuple[int, int]], depth: int, scale: float) -> list[float]:
    """The factor on each link's gradient that undoes scaled feedback: scale^-(links from its upper layer to the last).

    With s_l = rho(W_l s_{l-1} + scale W_{l+1}^T s_{l+1}), sum_l scale^l (s_l . W_l s_{l-1} - R(s_l)) is stationary, so
    the contrast of layer l counts scale^l against scale^depth of the nudge. Exact for chains. With residual links the
    shortest path counts, since it sets the order of magnitude.
    """
    hops = {depth: 0}
    for below, above in sorted(joined, key=lambda pair: -pair[1]):
        hops[below] = min(hops.get(below, depth), hops[above] + 1)
    return [scale ** -hops[above] for _, above in joined]


def plain_layer(layer: Any) -> Any:
    """A layer as plain values that `checked_sizes` can read."""
    return asdict(layer) if isinstance(layer, ConvLayer) else list(layer) if isinstance(layer, tuple) else layer
