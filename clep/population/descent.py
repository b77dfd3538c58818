"""Stochastic gradient descent on stacked weights: each network with learning rates and momentum of its own."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from clep.population.stack import Stack

_BUFFER = "momentum_buffer"  # as torch's SGD calls it


def descends(optimizer: Optimizer, parameters: Sequence[Tensor]) -> bool:
    """Whether `Descent` does what an optimiser does, to exactly these parameters.

    Args:
        optimizer: of a member.
        parameters: what is stacked of its network.

    Example:
        >>> import torch
        >>> given = [torch.nn.Parameter(torch.zeros(2))]
        >>> descends(torch.optim.SGD(given, lr=0.1), given), descends(torch.optim.Adam(given), given)
        (True, False)
    """
    if type(optimizer) is not SGD or optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return False
    groups = optimizer.param_groups
    plain = all(not (group["dampening"] or group["nesterov"] or group["maximize"]) for group in groups)
    optimised = {id(parameter) for group in groups for parameter in group["params"]}
    return plain and optimised == {id(parameter) for parameter in parameters}


class Descent:
    """Updates the rows of a stack as their networks' own optimisers would.

    Args:
        stack: of the networks.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> from clep.population.stack import Stack
        >>> network = Network([4, 3, 2])
        >>> stack = Stack([network.body()])
        >>> descent = Descent(stack)
        >>> descent.enter(0, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9), clip=None)
        >>> before = stack.rows[0].clone()
        >>> descent.step([torch.ones_like(row) for row in stack.rows], [0])
        >>> torch.testing.assert_close(stack.rows[0], before - 0.1)
    """

    def __init__(self, stack: Stack) -> None:
        self._stack, self._networks = stack, len(stack.bodies)
        self._velocities = [torch.zeros_like(row) for row in stack.rows]
        self._settings = [[(0.0, 0.0, 0.0)] * len(stack.rows) for _ in range(self._networks)]  # lr, momentum, decay
        self._clips: list[float | None] = [None] * self._networks
        self._factors: list[list[Tensor | float]] | None = None

    def enter(self, index: int, optimizer: Optimizer, clip: float | None) -> None:
        """Go on from an optimiser's present settings and momentum.

        Args:
            index: of the network.
            optimizer: its own.
            clip: largest norm of its gradient; None for any.
        """
        own, settings = self._stack.own[index], {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                settings[id(parameter)] = (float(group["lr"]), float(group["momentum"]), float(group["weight_decay"]))
        for velocity, parameter in zip(self._velocities, own, strict=True):
            known: dict[str, Any] = optimizer.state.get(parameter, {})
            before = known.get(_BUFFER)
            velocity[index] = 0.0 if before is None else before
        found = [settings[id(parameter)] for parameter in own]
        if found != self._settings[index] or clip != self._clips[index]:
            self._settings[index], self._clips[index], self._factors = found, clip, None

    def leave(self, index: int, optimizer: Optimizer) -> None:
        """Give the momentum back to the optimiser.

        Args:
            index: of the network.
            optimizer: its own.
        """
        for velocity, parameter, (_, momentum, _) in zip(
            self._velocities, self._stack.own[index], self._settings[index], strict=True
        ):
            if momentum:
                optimizer.state[parameter][_BUFFER] = velocity[index].clone()

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rows: Iterable[int]) -> None:
        """Move the weights of some networks; the others' rows may hold anything afterwards.

        Args:
            gradients: for each of the stack's rows, (S, ...); **overwritten**.
            rows: the networks.
        """
        if any(self._clips[i] is not None for i in rows):
            self._clip(gradients)
        if self._factors is None:
            self._factors = [self._joined(column) for column in range(3)]
        for i, (weights, gradient, velocity) in enumerate(
            zip(self._stack.rows, gradients, self._velocities, strict=True)
        ):
            rate, momentum, decay = (column[i] for column in self._factors)
            if isinstance(decay, Tensor):
                gradient.addcmul_(weights, decay)
            elif decay:
                gradient.add_(weights, alpha=decay)
            if isinstance(momentum, Tensor) or momentum:
                gradient = velocity.mul_(momentum).add_(gradient)
            if isinstance(rate, Tensor):
                weights.addcmul_(gradient, rate, value=-1.0)
            else:
                weights.add_(gradient, alpha=-rate)

    def _clip(self, gradients: Sequence[Tensor]) -> None:
        """As `torch.nn.utils.clip_grad_norm_` on each network's own."""
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        most = norms.new_tensor([float("inf") if clip is None else clip for clip in self._clips])
        factor = (most / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))

    def _joined(self, column: int) -> list[Tensor | float]:
        """One setting for each of the rows: a number, or where networks differ a tensor to be broadcast to the row."""
        joined: list[Tensor | float] = []
        for i, row in enumerate(self._stack.rows):
            values = [settings[i][column] for settings in self._settings]
            same = len(set(values)) == 1
            joined.append(values[0] if same else row.new_tensor(values).view(-1, *[1] * (row.dim() - 1)))
        return joined
