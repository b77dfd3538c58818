"""Where compiled steps find the layers and weights of a network; `clep.equilibrium.kernel` says what it asks for."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from clep.equilibrium.connections import Dense


class Layout(NamedTuple):
    """What the kernel asks for under these names."""

    layers: np.ndarray
    links: np.ndarray


def layout_of(units: tuple[int, ...], joins: tuple[tuple[int, int, bool], ...], groups: tuple[range, ...]) -> Layout:
    """The layout of layers of so many units.

    Args:
        units: of each layer above the input.
        joins: of each link (layer below, layer above, whether the weights down are others), counted from the input, 0.
        groups: the layers that move.
    """
    group = {layer: i for i, layers in enumerate(groups) for layer in layers}
    links, at = [], 0
    for below, above, others in joins:
        size = units[below - 1] * units[above - 1]
        links.append((below - 1, above - 1, at, at + size * others))
        at += size * (1 + others)
    return Layout(np.array([(n, group.get(layer, -1)) for layer, n in enumerate(units)]), np.array(links))


def apart(connection: Dense) -> bool:
    """Whether the weights down are not those up."""
    return connection.feedback is not None or connection.feedback_scale != 1.0


def ways(connection: Dense) -> list[Tensor]:
    """The weights up, and those down if they are others."""
    down = [connection.downward.detach() * connection.feedback_scale] if apart(connection) else []
    return [connection.weight.detach(), *down]
