"""What sleep does to the output units: no bias speaks for a class, and the classes learned last speak less loudly.

Weakening hidden synapses leaves the read-out of the latest classes as strong as training has made it, while that of
older ones has been written over in part. Synapses that were strengthened most lose most (Tononi & Cirelli 2014): here,
those on the units of the classes just trained, in proportion.
"""

import torch
from torch import Tensor

from clep.equilibrium.stack import DenseStack
from clep.sleep.held import Held

_FACTOR = 0.95  # from one look to the next
_LEAST = 0.003  # of the weights


@torch.no_grad()
def level_biases(stack: DenseStack) -> None:
    """Give every output unit the mean bias of all: its own says little but how often its class came lately.

    Args:
        stack: the top layer's bias, (..., n), is changed in place; without one, nothing is.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> model = nn.Linear(3, 2)
        >>> level_biases(stack_of(model))
        >>> bool(model.bias[0] == model.bias[1])
        True
    """
    bias = stack.layers[-1].bias
    if bias is not None:
        bias.copy_(bias.mean(-1, keepdim=True).expand_as(bias))


@torch.no_grad()
def quieten(stack: DenseStack, held: Held, least: float) -> float:
    """Scale the synapses on the output units of the classes just trained down, as long as enough is kept of them.

    If they may be almost silent and nothing is lost, all is left as it was: then no other unit competes, as where units
    are clipped at their lower end after long training, and how loudly the latest ones speak says nothing.

    Args:
        stack: of the model of `held`; its top layer is changed.
        held: samples of the experience just trained.
        least: the accuracy on them that is to be kept.

    Returns:
        The factor on the weights, in (0, 1]; 1 if nothing has changed.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> from clep.sleep import Held
        >>> model = nn.Linear(2, 3, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]]))
        >>> held = Held(model, torch.eye(2), torch.tensor([0, 1]))
        >>> factor = quieten(stack_of(model), held, least=1.0)  # until the third unit would answer
        >>> 0.6 < factor < 0.65, bool((model.weight[2] == 0.6).all())
        (True, True)
    """
    classes, best = held.y.unique(), 1.0
    start = _top(stack)
    while best * _FACTOR >= _LEAST:
        _write_top(stack, _scaled(start, classes, best * _FACTOR))
        if held.accuracy() < least:
            break
        best *= _FACTOR
    else:
        best = 1.0
    _write_top(stack, _scaled(start, classes, best))
    return best


def _scaled(weight: Tensor, classes: Tensor, factor: float) -> Tensor:
    new = weight.clone()
    new[..., classes, :] *= factor
    return new


def _top(stack: DenseStack) -> Tensor:
    """(..., n, n_below): of the branches of the output units, where they have them."""
    top = stack.layers[-1]
    return (top.weight if top.branches is None else top.branches.weight).detach().clone()


def _write_top(stack: DenseStack, new: Tensor) -> None:
    top = stack.layers[-1]
    write = (top.write or top.weight.copy_) if top.branches is None else top.branches.write
    write(new)
