"""Steps of small dense networks: the layers that move together lie side by side in one buffer.

A step of a small network costs calls, not arithmetic. Here all matrix products of a relaxation are bound to their
memory once, and the activation, the residual and the move act on all layers of a group in one call each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.connections import Dense
from clep.equilibrium.motions import Nudge, Prototypical, max_abs
from clep.equilibrium.products import suits_onednn
from clep.specs.neurons import NEURONS

FEWEST_STEPS = 3
"""To set up a buffer costs more than it saves in fewer."""
BY_ENTRY = tuple(NEURONS.values())
"""Activations that act on every entry by itself."""
_LARGEST = 2**17  # entries of the buffer: beyond that the arithmetic costs more than the calls


class _Group(NamedTuple):
    """Layers that move together, in one of the two roles of the buffers.

    Attributes:
        products: write dPhi/ds of each layer into `target`.
        state: where the layers are; of one layer (B, n), of several one row.
        target: where they move to, shaped as `state`.
        step: dt, to be broadcast to `state`; None if every step is 1.
        last: target and state of the last layer, (B, K), if it is nudged and in this group.
    """

    products: Sequence[Callable[[], object]]
    state: Tensor
    target: Tensor
    step: Tensor | None
    last: tuple[Tensor, Tensor] | None


def suits(
    links: Sequence[Any],
    motion: object,
    time_steps: Sequence[Tensor | None],
    drive: Tensor,
    states: Sequence[Tensor],
    steps: int,
) -> bool:
    """Whether `FlatSteps` can and should take the steps.

    Args:
        links: the connections above the input.
        motion: how the layers move; each activation of clep acts on every entry by itself.
        time_steps: dt of each layer above the input, or None where every step is 1.
        drive: of layer 1, (B, ...).
        states: of the layers above the input, (B, ...) each.
        steps: how many there are to take.
    """
    if steps < FEWEST_STEPS or type(motion) is not Prototypical or motion.neuron not in BY_ENTRY:
        return False
    if len({step is None for step in time_steps}) > 1 or drive.is_complex():
        return False
    if sum(state.numel() for state in states) > _LARGEST:
        return False
    for link in links:
        connection = link.connection
        if type(connection) is not Dense or states[link.below - 1].dim() != 2:
            return False
        low, high, weight = states[link.below - 1], states[link.above - 1], connection.weight
        if suits_onednn(low, weight) or suits_onednn(high, connection.downward.T):
            return False
    return True


class FlatSteps:
    """Steps of dense layers, as `Dynamics` takes them, to the bit where the activation has no rounding of its own.

    Args:
        links: the connections above the input.
        motion: how the layers move.
        time_steps: dt of each layer above the input, (n,) each, or None for every layer.
        groups: the layers that move, in groups that move one after another.
        drive: W_1 x + b_1, (B, n_1).
        states: of all layers above the input, (B, n) each; copied.
        nudge: acts on the last layer.
    """

    spikes: Tensor | None = None

    def __init__(
        self,
        links: Sequence[Any],
        motion: Prototypical,
        time_steps: Sequence[Tensor | None],
        groups: Sequence[range],
        drive: Tensor,
        states: Sequence[Tensor],
        nudge: Nudge | None,
    ) -> None:
        self._motion, self._nudge = motion, nudge
        self._jumps, self._role = time_steps[0] is None, 0
        groups = [group for group in groups if group]
        order = [layer for group in groups for layer in group]
        here = torch.cat([states[layer].reshape(-1) for layer in order]) if order else drive.new_empty(0)
        buffers = (here, torch.empty_like(here))
        self._layers = [_layers_of(buffer, order, states) for buffer in buffers]
        self._roles: list[list[_Group]] = [[] for _ in range(2 if self._jumps else 1)]
        last = len(states) - 1
        for role, made in enumerate(self._roles):
            now, then = list(self._layers[role]), self._layers[1 - role]
            at = [_parts_of(buffer, groups, layers) for buffer, layers in zip(buffers, self._layers, strict=True)]
            for i, group in enumerate(groups):
                products = [call for layer in group for call in _products(layer, links, drive, now, then[layer])]
                step = _joined([time_steps[layer] for layer in group], [states[layer] for layer in group])
                nudged = (then[last], now[last]) if nudge is not None and last in group else None
                made.append(_Group(products, at[role][i], at[1 - role][i], step, nudged))
                if self._jumps:  # later groups are driven by where this one is then
                    for layer in group:
                        now[layer] = then[layer]

    @property
    def states(self) -> list[Tensor]:
        """Where the layers are, (B, n) each."""
        return self._layers[self._role]

    def take(self, look: bool) -> list[Tensor]:
        """Take a step; the residual of each group if asked for, () tensors."""
        neuron, nudge, outside = self._motion.neuron, self._nudge, self._motion.nudge_outside
        residuals = []
        for products, state, target, step, last in self._roles[self._role]:
            for product in products:
                product()
            if last is not None and not outside:
                last[0].add_(nudge(last[1]))  # type: ignore[misc]
            neuron(target)
            if last is not None and outside:
                last[0].add_(nudge(last[1]))  # type: ignore[misc]
            if look:
                residuals.append(max_abs(target - state, overwrite=True))
            if step is not None:
                state.lerp_(target, step)
        if self._jumps:
            self._role = 1 - self._role
        return residuals


def _products(
    layer: int, links: Sequence[Any], drive: Tensor, states: Sequence[Tensor], out: Tensor
) -> list[Callable[[], object]]:
    """What writes dPhi/ds of a layer to `out`, in the order of `Dynamics`."""
    calls: list[Callable[[], object]] = []
    total = drive if layer == 0 else None
    for link in links:
        if link.above - 1 == layer:
            below, up, bias = states[link.below - 1], link.connection.weight.T, link.connection.bias
            if total is None and bias is None:
                calls.append(partial(torch.mm, below, up, out=out))
            elif total is None:
                calls.append(partial(torch.addmm, bias, below, up, out=out))
            else:
                calls.append(partial(torch.addmm, total, below, up, out=out))
                calls += [] if bias is None else [partial(out.add_, bias)]
            total = out
    for link in links:
        if link.below - 1 == layer:
            above, down, scale = states[link.above - 1], link.connection.downward, link.connection.feedback_scale
            calls.append(partial(torch.addmm, total, above, down, alpha=scale, out=out))
            total = out
    if total is drive:
        calls.append(partial(out.copy_, drive))
    return calls


def _layers_of(buffer: Tensor, order: Sequence[int], states: Sequence[Tensor]) -> list[Tensor]:
    """Views of a buffer, one for each layer in `order`; the others stay where they are."""
    layers = list(states)
    parts = buffer.split([states[layer].numel() for layer in order]) if order else ()
    for layer, part in zip(order, parts, strict=True):
        layers[layer] = part.view(states[layer].shape)
    return layers


def _parts_of(buffer: Tensor, groups: Sequence[range], layers: Sequence[Tensor]) -> list[Tensor]:
    """Each group's part of a buffer: the layer itself where it is alone, otherwise a row."""
    if len(groups) == 1 and len(groups[0]) > 1:
        return [buffer]
    rows = buffer.split([sum(layers[layer].numel() for layer in group) for group in groups]) if groups else ()
    return [layers[group[0]] if len(group) == 1 else row for row, group in zip(rows, groups, strict=True)]


def _joined(steps: Sequence[Tensor | None], states: Sequence[Tensor]) -> Tensor | None:
    """dt of a group, to be broadcast to its states."""
    given = [step for step in steps if step is not None]
    if not given:
        return None
    if len(given) > 1:
        given = [torch.cat([step.expand_as(state).reshape(-1) for step, state in zip(given, states, strict=True)])]
    return given[0].to(states[0].dtype)
