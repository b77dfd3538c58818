"""What sleep leaves of the activity of several hidden layers: their synapses are scaled until it is what it was.

Synapses that have lost drive their neurons less, and what a layer lacks the layers above lack with it: after three of
them next to nothing arrived, and the network learned no more. Scaling all synapses of a layer alike leaves which of its
neurons answer what. A single hidden layer is left as quiet as sleep has made it.
"""

import torch
from torch import Tensor, nn

from clep.equilibrium.stack import DenseLayer, DenseStack, stack_of

_ROUNDS, _MOST = 4, 2.0  # layers may drive each other, so once is not enough; and the most that a round scales


@torch.no_grad()
def activity(stack: DenseStack, x: Tensor) -> list[float]:
    """Mean size of the activity of each hidden layer, lowest first.

    Args:
        stack: of a network.
        x: inputs (B, ...).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> model = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
        >>> _ = model[0].weight.data.fill_(0.5)
        >>> activity(stack_of(model), torch.ones(3, 2))
        [1.0]
    """
    return [float(state.abs().mean()) for state in stack.presynaptic(x)[1:]]


@torch.no_grad()
def restore(model: nn.Module, x: Tensor, before: list[float]) -> None:
    """Scale the synapses of each hidden layer until its activity has the mean size that it had.

    Args:
        model: it is changed. A layer that is silent on all of `x`, or was, is left as it is.
        x: inputs (B, ...).
        before: `activity` on them, that is to come back.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> from clep.sleep.gains import activity
        >>> model = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
        >>> _ = model[0].weight.data.fill_(0.5)
        >>> restore(model, torch.ones(3, 2), [3.0])
        >>> activity(stack_of(model), torch.ones(3, 2))
        [3.0]
    """
    for _ in range(_ROUNDS):
        for layer, due in enumerate(before):
            stack = stack_of(model)  # made anew: its weights may be computed from others, which have changed
            now = activity(stack, x)[layer]
            if now and due:
                write_synapses(stack.layers[layer], synapses(stack.layers[layer]) * min(_MOST, due / now))


def synapses(layer: DenseLayer) -> Tensor:
    """A copy of the weights of a layer, (..., n, n_below): of the branches of its units, where they have them."""
    return (layer.weight if layer.branches is None else layer.branches.weight).detach().clone()


def write_synapses(layer: DenseLayer, new: Tensor) -> None:
    """Give a layer new weights, shaped as those of `synapses`."""
    write = (layer.write or layer.weight.copy_) if layer.branches is None else layer.branches.write
    write(new)
