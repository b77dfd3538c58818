"""Networks of one architecture, stacked: what they compute together, each with its own weights, time steps and beta.

The states of S networks on batches of B samples are (S, B, n), and each product of matrices is S products in one call.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clep.equilibrium.body import Body
from clep.equilibrium.connections import Bilinear, Connection, Route
from clep.equilibrium.dynamics import Link
from clep.equilibrium.motions import Motion, Nudge, Sender


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
            own = first._parameters.get(name)
            stacked = None if own is None else nn.Parameter(own.new_empty(len(connections), *own.shape), False)
            setattr(self, name, stacked)
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias.unsqueeze(1), False)
        self.load(connections)

    @torch.no_grad()
    def load(self, connections: Sequence[Connection]) -> None:
        """Take over the weights that the networks have at present."""
        for name, stacked in self._parameters.items():
            if stacked is not None:
                own = [connection._parameters[name] for connection in connections]
                into = stacked.data.squeeze(1) if name == "bias" else stacked.data
                torch.stack(own, out=into)  # type: ignore[arg-type]

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


@dataclass(frozen=True)
class Apart(Motion):
    """A motion whose residual is one number for each network, (S,), over the samples that count.

    Args:
        motion: of every layer.
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all count.
    """

    motion: Motion
    counts: Tensor | None

    @property
    def jumps(self) -> bool:  # type: ignore[override]
        """As the motion."""
        return self.motion.jumps

    def rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        return self.motion.rate(layer, states)

    def sender(self, device: torch.device) -> Sender:
        return self.motion.sender(device)

    def target(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        return self.motion.target(layer, force, states, nudge)

    def move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        return self.motion.move(state, target, dt, out)

    def distance(self, state: Tensor, target: Tensor) -> Tensor:
        return self.motion.distance(state, target)

    def residual(self, distance: Tensor) -> Tensor:
        apart = distance.abs_() if self.counts is None else distance.abs_().mul_(self.counts)
        return apart.amax((1, 2))


class Stack:
    """The bodies of S networks as one body, and the tensors of each.

    Args:
        bodies: of the networks, alike in everything but weights, time steps and random signs.

    Attributes:
        body: the stacked body.
        units: number in each layer above the input.

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
        self.units = [math.prod(above[layer]) for layer in sorted(above)]
        self._time_steps = [body.dynamics.time_steps for body in bodies]
        steps = [_stacked_steps([own[layer] for own in self._time_steps]) for layer in range(len(self._time_steps[0]))]
        self.body = replace(first, links=links, dynamics=replace(first.dynamics, links=links[1:], time_steps=steps))

    def load(self) -> None:
        """Take over the weights that the networks have at present."""
        for i, link in enumerate(self.body.links):
            connection = link.connection
            assert isinstance(connection, StackedDense)
            connection.load([body.links[i].connection for body in self.bodies])

    def signs(self) -> list[float]:
        """+1 or -1 for each network, drawn as it would draw itself."""
        return [body.draw_sign() for body in self.bodies]


def _stacked_steps(steps: Sequence[Tensor | None]) -> Tensor | None:
    """Time steps of one layer, (S, 1, n); None if all are 1."""
    if all(step is None for step in steps):
        return None
    known = next(step for step in steps if step is not None)
    return torch.stack([torch.ones_like(known) if step is None else step for step in steps]).unsqueeze(1)
