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
        layers: which ones.
        products: write dPhi/ds of each layer into `target`.
        state: where the layers are, as one row.
        target: where they move to, likewise.
        step: dt, likewise; None if every step is 1.
        last: target and state of the last layer, (S, K, B), if it is in this group.
    """

    layers: Sequence[int]
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
        sizes = [networks * units[layer] * samples for layer in order]
        self._buffers = [like.new_zeros(sum(sizes)) for _ in range(2)]
        self.drive = like.new_zeros(networks, units[0], samples)
        self.kick = like.new_zeros(networks, units[-1], samples) if nudged else None
        self._layers, last = [[self.drive] * len(units) for _ in range(2)], len(units) - 1
        for buffer, layers in zip(self._buffers, self._layers, strict=True):
            for layer, part in zip(order, buffer.split(sizes), strict=True):
                layers[layer] = part.view(networks, units[layer], samples)
        self._roles: list[list[_Group]] = [[] for _ in range(2 if self._jumps else 1)]
        for role, made in enumerate(self._roles):
            now, then, start = list(self._layers[role]), self._layers[1 - role], 0
            for group in groups:
                end = start + sum(now[layer].numel() for layer in group)
                products = [call for layer in group for call in self._products(layer, now, then[layer])]
                step = None if self._jumps else _joined([(time_steps[layer], now[layer]) for layer in group])
                nudged_layer = (then[last], now[last]) if last in group else None
                state, target = self._buffers[role][start:end], self._buffers[1 - role][start:end]
                made.append(_Group(group, products, state, target, step, nudged_layer))
                start = end
                if self._jumps:  # later groups are driven by where this one is then
                    for layer in group:
                        now[layer] = then[layer]

    @property
    def layers(self) -> list[Tensor]:
        """Where the layers are, (S, n, B) each; the next relaxation overwrites their memory."""
        return self._layers[self._role]

    @property
    def states(self) -> list[Tensor]:
        """The same as states of `Dynamics`, (S, B, n) each."""
        return [layer.transpose(1, 2) for layer in self.layers]

    def begin(self, layers: Sequence[Tensor] | None = None) -> None:
        """Set where the layers are.

        Args:
            layers: (S, n, B) each; None for zero.
        """
        self._role = 0
        if layers is None:
            self._buffers[0].zero_()
        for layer, given in zip(self._layers[0], layers or (), strict=False):
            layer.copy_(given)

    def take(self, look: bool) -> list[Tensor]:
        """Take a step; the residual of each layer if asked for, (S,) each."""
        neuron, nudge, outside = self.motion.neuron, self.nudge, self.motion.nudge_outside
        residuals = []
        for group, products, state, target, step, last in self._roles[self._role]:
            for product in products:
                product()
            if last is not None and nudge is not None and not outside:
                last[0].add_(nudge(last[1].transpose(1, 2)).transpose(1, 2))
            neuron(target)
            if last is not None and nudge is not None and outside:
                last[0].add_(nudge(last[1].transpose(1, 2)).transpose(1, 2))
            if look:
                distance = (target - state).abs_().split([self._layers[0][layer].numel() for layer in group])
                residuals += [
                    self._residual(part.view(self._layers[0][layer].shape))
                    for layer, part in zip(group, distance, strict=True)
                ]
            if step is not None:
                state.lerp_(target, step)
        if self._jumps:
            self._role = 1 - self._role
        return residuals

    def _residual(self, distance: Tensor) -> Tensor:
        if self.counts is not None:
            distance.mul_(self.counts.transpose(1, 2))
        return distance.amax((1, 2))  # a norm of torch.linalg takes fifteen times as long

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


def _joined(steps: Sequence[tuple[Tensor | None, Tensor]]) -> Tensor:
    """dt of a group as one row, for pairs of dt (S, 1, n) and layers (S, n, B)."""
    return torch.cat([dt.transpose(1, 2).expand_as(layer).reshape(-1) for dt, layer in steps if dt is not None])
