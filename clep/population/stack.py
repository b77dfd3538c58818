"""Networks of one architecture, stacked: what they compute together, each with its own weights, time steps and beta.

The states of S networks on batches of B samples are (S, B, n), and each product of matrices is S products in one call.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from clep.equilibrium.body import Body
from clep.equilibrium.compiled import CompiledSteps
from clep.equilibrium.connections import Bilinear, Connection, Route
from clep.equilibrium.dynamics import Link
from clep.population.dynamics import StackedDynamics
from clep.population.steps import StackedSteps


class StackedDense(Bilinear):
    """The dense connections of S networks: `below` is (S, B, n_below), `above` (S, B, n_above).

    Args:
        connections: one of each network, alike but for their weights.

    Attributes:
        weight: (S, n_above, n_below).
        bias: (S, 1, n_above), or None.
        feedback: as `weight`, or None.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> stacked = StackedDense([Network([4, 3, 2], seed=seed).connections[0] for seed in range(6)])
        >>> stacked.up(torch.rand(6, 5, 4))[0].shape
        torch.Size([6, 5, 3])
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        first = connections[0]
        super(Bilinear, self).__init__(first.below, first.above)  # the weights are there already
        self.feedback_scale = first.feedback_scale  # type: ignore[assignment]
        for name in ("weight", "bias", "feedback"):
            given = [connection._parameters.get(name) for connection in connections]
            own = [parameter.detach() for parameter in given if parameter is not None]
            setattr(self, name, nn.Parameter(torch.stack(own), requires_grad=False) if own else None)
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias.unsqueeze(1), requires_grad=False)

    def up(self, below: Tensor, base: Tensor | None = None, out: Tensor | None = None) -> tuple[Tensor, Route]:
        weight, bias = self.weight.transpose(1, 2), self.bias
        if base is None:
            drive = torch.bmm(below, weight, out=out) if bias is None else torch.baddbmm(bias, below, weight, out=out)
            return drive, None
        total = torch.baddbmm(base, below, weight, out=out)
        return (total if bias is None else total.add_(bias)), None

    def add_down(self, base: Tensor, above: Tensor, route: Route = None, out: Tensor | None = None) -> Tensor:
        above = above if self.feedback_scale == 1.0 else above * self.feedback_scale
        return torch.baddbmm(base, above, self.downward, out=out)

    def pull_back(self, above: Tensor, below: Tensor) -> Tensor:
        return torch.bmm(above, self.weight)

    def outer(self, below: Tensor, unpooled: Tensor, total: Tensor | None = None) -> Tensor:
        above = unpooled.transpose(1, 2)
        return torch.bmm(above, below) if total is None else total.baddbmm_(above, below)

    def summed(self, change: Tensor) -> Tensor:
        return change.sum(1)


class Stack:
    """The bodies of S networks as one body, and the tensors of each.

    Args:
        bodies: of the networks, alike in everything but weights, time steps and random signs.

    Attributes:
        body: the stacked body.
        readout: stacked weights (S, K, n) and biases (S, K) of a linear read-out; [] without one.
        rows: what is stacked of the networks, (S, ...) each: the parameters of the connections, then of the read-out.
        own: for each network, the parameters that these are taken from.
        compiled: compiled steps of all networks; None if they take those of torch.

    Example:
        >>> from clep.equilibrium import Network
        >>> stack = Stack([Network([4, 3, 2], seed=seed).body() for seed in range(6)])
        >>> [tuple(link.connection.weight.shape) for link in stack.body.links]
        [(6, 3, 4), (6, 2, 3)]
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        first = bodies[0]
        self.bodies = list(bodies)
        links = [
            Link(link.below, link.above, StackedDense([body.links[i].connection for body in bodies]))
            for i, link in enumerate(first.links)
        ]
        above = {link.above: link.connection.above for link in first.links}
        units = [math.prod(above[layer]) for layer in sorted(above)]
        time_steps = [body.dynamics.time_steps for body in bodies]
        steps = [_stacked_steps([own[layer] for own in time_steps]) for layer in range(len(units))]
        dynamics = StackedDynamics(links[1:], first.dynamics.motion, steps, first.dynamics.order, units=units)
        self.body = replace(first, links=links, dynamics=dynamics)
        readouts = [[] if body.readout is None else list(body.readout.parameters()) for body in bodies]
        self.readout = [torch.stack([p.detach() for p in same]) for same in zip(*readouts, strict=True)]
        self.own: list[list[Tensor]] = [
            [*(p for link in body.links for p in link.connection.parameters()), *readout]
            for body, readout in zip(bodies, readouts, strict=True)
        ]
        learned = [p.data for link in links for p in link.connection.parameters()]
        self.rows = [
            stacked.view(len(bodies), *own.shape)
            for stacked, own in zip([*learned, *self.readout], self.own[0], strict=True)
        ]
        self._views = [[stacked[i] for stacked in self.rows] for i in range(len(bodies))]
        self._kept: dict[tuple[int, bool], StackedSteps] = {}
        self.compiled: CompiledSteps | None = None
        if all(body.dynamics.compiled is not None for body in bodies):
            motion: Any = first.dynamics.motion
            self.compiled = CompiledSteps(links[1:], motion.neuron, steps)

    @torch.no_grad()
    def load(self, indices: Iterable[int]) -> None:
        """Take over the weights that some of the networks have at present."""
        for i in indices:
            torch._foreach_copy_(self._views[i], self.own[i])

    @torch.no_grad()
    def store(self, index: int) -> None:
        """Give a network the weights of its row."""
        torch._foreach_copy_(self.own[index], self._views[index])

    def drive(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """W_1 x + b_1 of each network, (S, B, n_1), for inputs (S, B, n_0).

        Args:
            x: the inputs.
            out: its memory, (S, n_1, B); None for new memory.
        """
        first, below = self.body.links[0].connection, x.transpose(1, 2)
        if first.bias is None:
            drive = torch.bmm(first.weight, below, out=out)
        else:
            drive = torch.baddbmm(first.bias.transpose(1, 2), first.weight, below, out=out)  # type: ignore[operator]
        return drive.transpose(1, 2)

    def steps(self, samples: int, *, nudged: bool = False) -> StackedSteps:
        """Steps of all layers in buffers that are kept for batches of this size.

        Args:
            samples: of each network.
            nudged: whether a constant nudge acts on the last layer.
        """
        key = samples, nudged
        if key not in self._kept:
            if len(self._kept) >= _SIZES:
                self._kept.clear()
            like = self.rows[0].new_empty(len(self.bodies), samples)
            self._kept[key] = self.body.dynamics.steps(like, nudged=nudged)  # type: ignore[attr-defined]
        return self._kept[key]

    def signs(self) -> list[float]:
        """+1 or -1 for each network, drawn as it would draw itself."""
        return [body.draw_sign() for body in self.bodies]


_SIZES = 6  # of batches whose buffers are kept at a time


def _stacked_steps(steps: Sequence[Tensor | None]) -> Tensor | None:
    """Time steps of one layer, (S, 1, n); None if all are 1."""
    if all(step is None for step in steps):
        return None
    known = next(step for step in steps if step is not None)
    return torch.stack([torch.ones_like(known) if step is None else step for step in steps]).unsqueeze(1)
