"""Torch's optimisers without what they do for profilers and compilers: it takes longer than to move a small layer."""

from typing import Any

import torch
from torch.optim import SGD, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.optim.sgd import sgd

_BUFFER = "momentum_buffer"  # as torch's SGD calls it


def forget_gradients(optimizer: Any) -> None:
    """Do what `zero_grad` does.

    Args:
        optimizer: of torch; another one, or one with a `zero_grad` of its own, does it itself.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.ones(2)
        >>> forget_gradients(torch.optim.SGD([weight], lr=0.1))
        >>> weight.grad is None
        True
    """
    if getattr(type(optimizer), "zero_grad", None) is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def step(optimizer: Any) -> None:
    """Do what `step` does, to the bit.

    Args:
        optimizer: torch's SGD without hooks; another one, or one whose `step` was replaced as schedules replace it,
            does it itself.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.ones(2)
        >>> step(torch.optim.SGD([weight], lr=0.5))
        >>> weight.tolist()
        [-0.5, -0.5]
    """
    if not _is_plain(optimizer):
        optimizer.step()
        return
    with torch.no_grad():
        for group in optimizer.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients, momentum = [parameter.grad for parameter in moved], group["momentum"]
            states = [optimizer.state[parameter] for parameter in moved] if momentum else []
            buffers = [state.get(_BUFFER) for state in states]
            sgd(
                moved,
                gradients,
                buffers,
                has_sparse_grad=any(gradient.is_sparse for gradient in gradients),
                foreach=group["foreach"],
                fused=False,
                weight_decay=group["weight_decay"],
                momentum=momentum,
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
            )
            for state, buffer in zip(states, buffers, strict=True):
                state[_BUFFER] = buffer


def _is_plain(optimizer: Any) -> bool:
    return (
        type(optimizer) is SGD
        and "step" not in vars(optimizer)
        and not (optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)
        and not (_global_optimizer_pre_hooks or _global_optimizer_post_hooks)
        and not (optimizer.defaults["fused"] or optimizer.defaults["differentiable"])
    )
