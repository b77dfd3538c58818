"""Steps of stacked dense layers: all layers of all networks lie in one buffer, which is kept from update to update.

States of S networks on batches of B samples are (S, n, B) here, samples side by side: products of narrow layers are
then twice as fast. Whatever acts on each unit by itself is one call for all layers of all networks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.motions import Nudge, Prototypical


class _Group(NamedTuple):
    """Layers that move together, in one of the two roles of the buffers.

    Attributes:
        products: write dPhi/ds of each layer into `target`.
        state: where the layers are, (S, n, B), one below the other.
        target: where they move to, shaped as `state`.
        step: dt, to be broadcast to `state`; None if every step is 1.
        last: target and state of the last layer, (S, K, B), if it is in this group.
    """

    products: Sequence[Callable[[], object]]
    state: Tensor
    target: Tensor
    step: Tensor | None
    last: tuple[Tensor, Tensor] | None


class StackedSteps:
    """Steps of the layers of S networks, as `Dynamics` takes them.

    Args:
        links: the stacked connections above the input.
        motion: how the layers move.
        time_steps: dt of each layer above the input, (S, 1, n) each, or None for every layer.
        groups: the layers that move, in groups that move one after another.
        units: number in each layer above the input.
        like: any tensor of S networks and B samples, (S, B, ...).
        nudged: whether something acts on the last layer.

    Attributes:
        drive: W_1 x + b_1, (S, n_1, B); to be filled before the first step.
        kick: a constant nudge, (S, K, B), to be filled; None without one.
        nudge: one that depends on the state, or None; as in `Dynamics.relax`.
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all count.
    """

    spikes: Tensor | None = None

    def __init__(
        self,
        links: Sequence[Any],
        motion: Prototypical,
        time_steps: Sequence[Tensor | None],
        groups: Sequence[range],
        units: Sequence[int],
        like: Tensor,
        *,
        nudged: bool,
    ) -> None:
        networks, samples = like.shape[:2]
        self.motion = motion
        self.nudge: Nudge | None = None
        self.counts: Tensor | None = None
        self._links, self._jumps, self._role = links, time_steps[0] is None, 0
        groups = [group for group in groups if group]
        order = [layer for group in groups for layer in group]
        order += [layer for layer in range(len(units)) if layer not in order]  # a clamped one stays where it is
        ends = torch.tensor([units[layer] for layer in order]).cumsum(0).tolist()
        self._at = {layer: slice(end - units[layer], end) for layer, end in zip(order, ends, strict=True)}
        self.buffers = [like.new_zeros(networks, ends[-1], samples) for _ in range(2)]
        self.drive = like.new_zeros(networks, units[0], samples)
        self.kick = like.new_zeros(networks, units[-1], samples) if nudged else None
        layers = [[buffer[:, self._at[layer]] for layer in range(len(units))] for buffer in self.buffers]
        self._layers, last = layers, len(units) - 1
        self._roles: list[list[_Group]] = [[] for _ in range(2 if self._jumps else 1)]
        for role, made in enumerate(self._roles):
            now, then = list(layers[role]), layers[1 - role]
            for group in groups:
                rows = slice(self._at[group[0]].start, self._at[group[-1]].stop)
                products = [call for layer in group for call in self._products(layer, now, then[layer])]
                step = None if self._jumps else _joined([time_steps[layer] for layer in group], samples)
                nudged_layer = (then[last], now[last]) if last in group else None
                state, target = self.buffers[role][:, rows], self.buffers[1 - role][:, rows]
                made.append(_Group(products, state, target, step, nudged_layer))
                if self._jumps:  # later groups are driven by where this one is then
                    for layer in group:
                        now[layer] = then[layer]

    @property
    def buffer(self) -> Tensor:
        """Where all layers are, (S, n, B), one below the other."""
        return self.buffers[self._role]

    @property
    def states(self) -> list[Tensor]:
        """Where the layers are, (S, B, n) each; the next relaxation overwrites their memory."""
        return [layer.transpose(1, 2) for layer in self._layers[self._role]]

    def begin(self, fill: Callable[[Tensor], object]) -> None:
        """Set where the layers are.

        Args:
            fill: writes to the buffer, (S, n, B).
        """
        self._role = 0
        fill(self.buffers[0])

    def begin_at(self, states: Sequence[Tensor]) -> None:
        """Begin at states (S, B, n)."""
        self._role = 0
        for layer, state in zip(self._layers[0], states, strict=True):
            layer.copy_(state.transpose(1, 2))

    def of_layer(self, rows: Tensor, layer: int) -> Tensor:
        """The rows of a layer in a tensor of the shape of `buffer`."""
        return rows[:, self._at[layer]]

    def take(self, look: bool) -> list[Tensor]:
        """Take a step; the residual of each group if asked for, (S,) each."""
        neuron, nudge, outside = self.motion.neuron, self.nudge, self.motion.nudge_outside
        residuals = []
        for products, state, target, step, last in self._roles[self._role]:
            for product in products:
                product()
            if last is not None and nudge is not None and not outside:
                last[0].add_(nudge(last[1].transpose(1, 2)).transpose(1, 2))
            neuron(target)
            if last is not None and nudge is not None and outside:
                last[0].add_(nudge(last[1].transpose(1, 2)).transpose(1, 2))
            if look:
                residuals.append(self._residual(target - state))
            if step is not None:
                state.lerp_(target, step)
        if self._jumps:
            self._role = 1 - self._role
        return residuals

    def _residual(self, distance: Tensor) -> Tensor:
        if self.counts is not None:
            distance.mul_(self.counts.transpose(1, 2))
        return distance.abs_().amax((1, 2))  # a norm of torch.linalg takes fifteen times as long

    def _products(self, layer: int, states: Sequence[Tensor], out: Tensor) -> list[Callable[[], object]]:
        """What writes dPhi/ds of a layer to `out`, in the order of `Dynamics`."""
        calls: list[Callable[[], object]] = []
        total = self.drive if layer == 0 else self.kick if layer == len(states) - 1 else None
        for link in self._links:
            if link.above - 1 == layer:
                connection, below = link.connection, states[link.below - 1]
                bias = None if connection.bias is None else connection.bias.transpose(1, 2)
                if total is None and bias is None:
                    calls.append(partial(torch.bmm, connection.weight, below, out=out))
                else:
                    calls.append(
                        partial(torch.baddbmm, bias if total is None else total, connection.weight, below, out=out)
                    )
                    calls += [] if total is None or bias is None else [partial(out.add_, bias)]
                total = out
        for link in self._links:
            if link.below - 1 == layer:
                down, scale = link.connection.downward.transpose(1, 2), link.connection.feedback_scale
                calls.append(partial(torch.baddbmm, total, down, states[link.above - 1], alpha=scale, out=out))
                total = out
        if total is self.drive:
            calls.append(partial(out.copy_, total))
            if self.kick is not None and layer == len(states) - 1:
                calls.append(partial(out.add_, self.kick))
        return calls


def _joined(steps: Sequence[Tensor | None], samples: int) -> Tensor:
    """dt of a group, (S, n, B), one layer below the other."""
    rows = torch.cat([step for step in steps if step is not None], dim=2)
    return rows.transpose(1, 2).expand(-1, -1, samples).contiguous()
