"""Units with branches as layers of branches: each branch is rectified by itself, so each sleeps by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from clep.equilibrium.stack import DenseLayer, DenseStack


def branched(stack: DenseStack) -> tuple[DenseStack, list[Tensor | None]]:
    """The stack whose neurons are branches, and the mask of each of its layers; None where every synapse exists.

    A branch sends its spikes to wherever its unit does, as a share of the unit's: weights from a unit with B branches
    are divided among them, and added up again when they are written. Layers without branches below or in them stay.

    Args:
        stack: of a network; only weights, time steps and how to write them are of the branches, activities stay.

    Example:
        >>> from clep.equilibrium import Network
        >>> stack, masks = branched(Network([4, 3, 2], feedback="dendritic").dense_stack())
        >>> [tuple(weight.shape) for weight in stack.weights]
        [(24, 4), (16, 24)]
    """
    layers, masks, below = [], [], 1
    for layer in stack.layers:
        mask, own = None, 1
        weight, write = layer.weight.detach(), layer.write or layer.weight.copy_
        if layer.branches is not None:
            own = len(layer.branches.weight)
            weight, mask, write = layer.branches.weight.flatten(0, 1), layer.branches.mask.flatten(0, 1), _unflat(layer)
        if own > 1 or below > 1:
            step = None if layer.time_step is None else layer.time_step.repeat(own)
            shared = weight.repeat(1, below) / below
            mask = None if mask is None else mask.repeat(1, below)
            layers.append(replace(layer, weight=shared, time_step=step, write=_added(write, below), branches=None))
        else:
            layers.append(layer)
        masks.append(mask)
        below = own
    return DenseStack(layers, stack.activity, stack.residual), masks


def _unflat(layer: DenseLayer) -> Callable[[Tensor], Any]:
    branches = layer.branches
    assert branches is not None
    return lambda new: branches.write(new.view_as(branches.weight))


def _added(write: Callable[[Tensor], Any], below: int) -> Callable[[Tensor], Any]:
    """Write the sum of the shares of all branches below."""
    return lambda new: write(new.reshape(len(new), below, -1).sum(1))
