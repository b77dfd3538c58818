"""What sleep does to the output units: no bias speaks for a class, and none answers more often than others.

Training on new classes pushes the output units of older ones down on whatever comes, and leaves the read-out of the
latest as strong as it has made it. But spontaneous activity belongs to no class. So no unit should be driven or
silenced by it on average, and one that still answers it more often than others is too loud: its synapses lose, in
proportion. That firing rates return to what they were in sleep is the view of Tononi & Cirelli 2014.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from clep.equilibrium.stack import DenseStack, stack_of
from clep.sleep.gains import synapses, write_synapses
from clep.sleep.held import Held

_STEPS, _BETWEEN = 400, 4  # at most, and from one look at the samples to the next
_PACE = 0.3  # of a step: a unit that answers always falls by a quarter
_NEAR = 0.3  # of what is due: near enough to it
_PARTS = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the way to the centre: the first that keeps enough


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
def centre(held: Held, x: Tensor, classes: Iterable[int], least: float) -> None:
    """Move the synapses of the output units until spontaneous activity neither drives nor silences any on average.

    The synapses of a unit change in proportion to the mean activity of the neurons that they come from: what a bias
    would do, and there are networks without. Scaling alone lifts no unit that is below zero whatever comes. A branch is
    rectified by itself, so each is centred by itself.

    Args:
        held: samples of the experience just trained; the top layer of its model is changed.
        x: spontaneous activity of the inputs, (n, ...), that has no class.
        classes: all that were ever learned.
        least: the accuracy on the samples that is to be kept; a part of the way is gone where the whole takes more.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.sleep import Held
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 0.0], [-1.0, -2.0]]))
        >>> held, x = Held(model, torch.eye(2), torch.tensor([0, 1])), torch.rand(100, 2)
        >>> centre(held, x, [0, 1], least=0.0)
        >>> bool((model(x).mean(0).abs() < 1e-6).all())
        True
    """
    units, stack = torch.tensor(sorted(classes), device=held.y.device), stack_of(held.model)
    top = stack.layers[-1]
    start, mean = synapses(top), stack.presynaptic(x)[-1].mean(0)
    reached = (mean if top.branches is None else mean * top.branches.mask).expand_as(start)[..., units, :]
    away = (start[..., units, :] * reached).sum(-1) / reached.square().sum(-1).clamp_min(1e-12)
    for part in _PARTS:
        new = start.clone()
        new[..., units, :] -= part * away[..., None] * reached
        write_synapses(top, new)
        if held.accuracy() >= least:
            break


@torch.no_grad()
def balance(held: Held, x: Tensor, classes: Iterable[int], least: float) -> Tensor:
    """Scale the synapses of the output units that answer most often down, until all of them answer equally often.

    Args:
        held: samples of the experience just trained; the top layer of its model is changed, whose biases are taken to
            be level.
        x: spontaneous activity of the inputs, (n, ...), that has no class.
        classes: all that were ever learned.
        least: the accuracy on the samples that is to be kept; it ends before.

    Returns:
        The factors on the synapses of each unit of a class that was ever learned, in the order of the classes.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.sleep import Held
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> held, x = Held(model, torch.eye(2), torch.tensor([0, 1])), torch.rand(100, 2)
        >>> factors = balance(held, x, [0, 1], least=1.0)
        >>> 0.3 < float(factors[0]) < 0.6, float(factors[1])
        (True, 1.0)
    """
    units, stack = torch.tensor(sorted(classes), device=held.y.device), stack_of(held.model)
    start, due = synapses(stack.layers[-1]), 1.0 / len(units)
    responses = stack.presynaptic(x)[-1] @ stack.weights[-1][units].T
    responses = responses[(responses != 0.0).any(1)]  # waves that die out below say nothing of any unit
    factors = best = torch.ones(len(units), device=units.device)
    if not len(responses):
        return factors
    for step in range(_STEPS):
        shares = _shares(responses * factors)
        if step % _BETWEEN == 0:
            write_synapses(stack.layers[-1], _scaled(start, units, factors))
            if held.accuracy() < least:
                break
            best = factors
            if (shares - due).abs().max() < _NEAR * due:
                break
        factors = factors * torch.exp(-_PACE * (shares - due).clamp_min(0.0))
    write_synapses(stack.layers[-1], _scaled(start, units, best))
    return best


def _shares(responses: Tensor) -> Tensor:
    """How often each unit responds most strongly, (K,), to (n, K)."""
    return torch.bincount(responses.argmax(1), minlength=responses.shape[1]) / len(responses)


def _scaled(weight: Tensor, units: Tensor, factors: Tensor) -> Tensor:
    new = weight.clone()
    new[..., units, :] *= factors[:, None]
    return new
