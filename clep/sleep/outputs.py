"""What sleep does to the output units: no bias speaks for a class, and none answers more often than others.

Weakening hidden synapses leaves the read-out of the latest classes as strong as training has made it, while that of
older ones has been written over in part. But spontaneous activity belongs to no class. So a unit that answers it more
often than others is too loud, and its synapses lose, in proportion. That firing rates return to what they were in sleep
is the view of Tononi & Cirelli 2014.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.stack import DenseStack
from clep.sleep.held import Held

_STEPS, _BETWEEN = 400, 4  # at most, and from one look at the samples to the next
_PACE = 0.3  # of a step: a unit that answers always falls by a quarter
_NEAR = 0.3  # of what is due: near enough to it


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


class Balance(NamedTuple):
    """What sleep has made of the output units.

    Attributes:
        factors: on the synapses of each unit of a class that was ever learned, in the order of the classes.
        others: how often the units of older classes answer now, as a share of how often they should; 1 if there are
            none.
        free: whether it ended although more of what was just learned could have been lost: other units answer so
            rarely because nothing excites them.
    """

    factors: Tensor
    others: float
    free: bool


@torch.no_grad()
def balance(stack: DenseStack, held: Held, x: Tensor, classes: Iterable[int], least: float) -> Balance:
    """Scale the synapses of the output units that answer most often down, until all of them answer equally often.

    Args:
        stack: of the model of `held`; its top layer is changed. Its biases are taken to be level.
        held: samples of the experience just trained.
        x: spontaneous activity of the inputs, (n, ...), that has no class.
        classes: all that were ever learned.
        least: the accuracy on the samples that is to be kept; it ends before.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> from clep.sleep import Held
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> held, x = Held(model, torch.eye(2), torch.tensor([0, 1])), torch.rand(100, 2)
        >>> found = balance(stack_of(model), held, x, [0, 1], least=1.0)
        >>> 0.3 < float(found.factors[0]) < 0.6, float(found.factors[1])
        (True, 1.0)
    """
    units = torch.tensor(sorted(classes), device=held.y.device)
    start, due = _top(stack), 1.0 / len(units)
    responses = stack.presynaptic(x)[-1] @ stack.weights[-1][units].T
    factors = best = torch.ones(len(units), device=units.device)
    free = True
    for step in range(_STEPS):
        shares = _shares(responses * factors)
        if step % _BETWEEN == 0:
            _write_top(stack, _scaled(start, units, factors))
            free = held.accuracy() >= least
            if not free:
                break
            best = factors
            if (shares - due).abs().max() < _NEAR * due:
                break
        factors = factors * torch.exp(-_PACE * (shares - due).clamp_min(0.0))
    _write_top(stack, _scaled(start, units, best))
    older = ~torch.isin(units, held.y)
    others = float(_shares(responses * best)[older].sum() / (due * older.sum())) if older.any() else 1.0
    return Balance(best, others, free)


def _shares(responses: Tensor) -> Tensor:
    """How often each unit responds most strongly, (K,), to (n, K)."""
    return torch.bincount(responses.argmax(1), minlength=responses.shape[1]) / len(responses)


def _scaled(weight: Tensor, units: Tensor, factors: Tensor) -> Tensor:
    new = weight.clone()
    new[..., units, :] *= factors[:, None]
    return new


def _top(stack: DenseStack) -> Tensor:
    """(..., n, n_below): of the branches of the output units, where they have them."""
    top = stack.layers[-1]
    return (top.weight if top.branches is None else top.branches.weight).detach().clone()


def _write_top(stack: DenseStack, new: Tensor) -> None:
    top = stack.layers[-1]
    write = (top.write or top.weight.copy_) if top.branches is None else top.branches.write
    write(new)
