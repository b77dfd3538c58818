"""Relaxation of the layers to an equilibrium: explicit steps, in place and without autograd, or unrolled with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.compiled import CompiledSteps, Course, Ended
from clep.equilibrium.connections import Connection, Route
from clep.equilibrium.flat import FlatSteps, suits
from clep.equilibrium.motions import Affine, Motion, Nudge, Prototypical
from clep.specs.network import Order

Watch = Callable[[Sequence[Tensor]], None]

_LOOK_EVERY = 5  # steps between two looks at the residual; each look waits for the device


class Link(NamedTuple):
    """A connection between layers `below` < `above`; layer 0 is the input and links only to layer 1."""

    below: int
    above: int
    connection: Connection


class Stop(NamedTuple):
    """When a relaxation ends.

    Attributes:
        steps: largest number of steps (asynchronous: sweeps), >= 1.
        tolerance: residual below which it ends early, checked every few steps. 0 takes all steps.
    """

    steps: int
    tolerance: float = 0.0


class Relaxation(NamedTuple):
    """Where a relaxation ended.

    Attributes:
        states: states of the layers above the input, (B, ...) each, or their means; see `Dynamics.averaged`.
        residual: max |target - s| over all units at the last step, () tensor; zero at a fixed point whatever the time
            steps. NaN in nudged phases; they are not measured.
        halfway: the residual after half of the steps; a relaxation that settles ends far below it.
        steps: number of steps taken.
        spikes: number of spikes that each spiking layer sent, lowest first, summed over steps and batch; None if all
            signals are graded.
    """

    states: list[Tensor]
    residual: Tensor
    halfway: Tensor
    steps: int
    spikes: Tensor | None = None

    @classmethod
    def by_compiled(cls, ended: Ended) -> "Relaxation":
        """Where compiled steps of one phase ended."""
        return cls(ended.states[0], ended.residual, ended.halfway, ended.steps)


@dataclass(frozen=True)
class Dynamics:
    """All layers, step by step: each moves as `motion` says, driven by its links.

    Synchronous: all layers at once, from the old states. Asynchronous: one sweep updates the odd layers, then the even
    ones from the new states of the odd. The fixed points are the same and it takes about half the steps, but on a
    different path.

    Args:
        links: the connections above the input, and which layers they join.
        motion: how a layer moves.
        time_steps: dt of each layer above the input, shaped as the layer, or None if every step is 1.
        order: `synchronous` or `asynchronous`.
        inhibition: kappa of the mean inhibition among the n units of each of the first `inhibited` layers above the
            input; it adds the term -kappa / (2 n) (sum_i s_i)^2 to Phi.
        inhibited: number of these layers.
        averaged: a relaxation returns the mean of the states over its last `averaged` steps; 1 is the last state.
        compiled: steps of these layers to take where they can be; they round otherwise than torch.
    """

    links: Sequence[Link]
    motion: Motion
    time_steps: Sequence[Tensor | None]
    order: Order = "synchronous"
    inhibition: float = 0.0
    inhibited: int = 0
    averaged: int = 1
    compiled: CompiledSteps | None = None

    @torch.no_grad()
    def relax(
        self,
        drive: Tensor,
        states: list[Tensor],
        stop: Stop,
        nudge: Nudge | None = None,
        *,
        clamped: bool = False,
        watch: Watch | None = None,
    ) -> Relaxation:
        """Take steps from `states` until `stop`.

        Args:
            drive: W_1 x + b_1, (B, ...); it is the same at every step, so it is computed once per batch.
            states: states of the layers above the input, (B, ...) each; **overwritten**.
            stop: when to end.
            nudge: acts on the last layer at every step; None in the free phase.
            clamped: the last layer keeps its state.
            watch: called with the states after each step; the next steps overwrite their memory.
        """
        free = nudge is None and not clamped
        if watch is None and (compiled := self.compiled_steps(drive, nudge)) is not None:
            groups = self.groups(len(states) - clamped)
            return _taken(compiled, groups, drive, states, stop, nudge, looks=free)
        steps, tolerance = stop.steps, stop.tolerance
        stepping, mean = self._stepping(drive, states, steps, nudge, clamped), _TailMean(self.averaged, steps)
        residual = halfway = torch.full((), 0.0 if free else torch.nan, device=drive.device)
        for step in range(1, steps + 1):
            middle = step == max(1, steps // 2)
            look = free and (middle or step == steps or (tolerance > 0.0 and step % _LOOK_EVERY == 0))
            residuals = stepping.take(look)
            mean.add(step, stepping.states)
            if watch is not None:
                watch(stepping.states)
            if residuals:
                residual = residuals[0] if len(residuals) == 1 else torch.stack(residuals).amax(0)
                halfway = residual if middle else halfway
                if tolerance > 0.0 and residual < tolerance:  # without one, no wait for the device
                    return Relaxation(stepping.states, residual, halfway, step)
        return Relaxation(mean.of(stepping.states), residual, halfway, steps, stepping.spikes)

    def compiled_steps(self, drive: Tensor, nudge: Nudge | None = None) -> CompiledSteps | None:
        """Compiled steps, if they can take a relaxation with this drive and nudge."""
        steps = self.compiled
        return steps if steps is not None and steps.take(self.motion, drive, nudge) else None

    def settle(self, drive: Tensor, stop: Stop) -> Relaxation | None:
        """As `relax` without a nudge, from zero states; None where no compiled steps can be taken."""
        compiled = self.compiled_steps(drive)
        groups = self.groups(len(self.time_steps))
        return None if compiled is None else _taken(compiled, groups, drive, None, stop, None, looks=True)

    def _stepping(
        self, drive: Tensor, states: list[Tensor], steps: int, nudge: Nudge | None, clamped: bool
    ) -> "_Steps | FlatSteps":
        """What takes the steps of a relaxation: the quickest that can."""
        groups = self.groups(len(states) - clamped)
        alone = not self.inhibition and self.averaged == 1  # nothing acts on the layers but their links
        if alone and suits(self.links, self.motion, self.time_steps, drive, states, steps):
            assert isinstance(self.motion, Prototypical)
            return FlatSteps(self.links, self.motion, self.time_steps, groups, drive, states, nudge)
        return _Steps(self, drive, states, groups, nudge)

    def unroll(self, drive: Tensor, states: Sequence[Tensor], steps: int) -> list[Tensor]:
        """The same free steps, differentiable and in new tensors: for backpropagation through time."""
        motion, states = self.motion, list(states)
        groups = self.groups(len(states))
        send, mean = motion.sender(drive.device), _TailMean(self.averaged, steps)
        sent = [send(layer, states) for layer in range(len(states))]
        routes = self.first_routes(sent, groups)
        for step in range(1, steps + 1):
            for group in groups:
                targets = {layer: self.target(layer, drive, states, sent, None, routes) for layer in group}
                for layer, target in targets.items():
                    dt = self.time_steps[layer]
                    jump = dt is None and motion.jumps
                    states[layer] = target if jump else motion.move(states[layer], target, 1.0 if dt is None else dt)
                    sent[layer] = send(layer, states)
            mean.add(step, states)
        return mean.of(states)

    def signals(self, states: Sequence[Tensor]) -> list[Tensor]:
        """The rates of all layers: what a contrast compares, and the expectation of what they send."""
        return [self.motion.rate(layer, states) for layer in range(len(states))]

    def groups(self, layers: int) -> tuple[range, ...]:
        """The lowest layers that move together, topmost first: max pooling on the way up decides the way down."""
        if self.order == "synchronous":
            return (range(layers)[::-1],)
        return range(0, layers, 2)[::-1], range(1, layers, 2)[::-1]

    def first_routes(self, sent: Sequence[Tensor], groups: Sequence[range]) -> dict[Link, Route]:
        """Routes of the links into layers that move after the layers below them; the others follow during the step."""
        if len(groups) == 1 and len(groups[0]) == len(sent):
            return {}
        late = [layer for layer in range(len(sent)) if layer not in groups[0]]
        into = [link for link in self.links if link.above - 1 in late]
        return {link: link.connection.up(sent[link.below - 1])[1] for link in into if link.connection.routes}

    def target(
        self,
        layer: int,
        drive: Tensor,
        states: Sequence[Tensor],
        sent: Sequence[Tensor],
        nudge: Nudge | None,
        routes: dict[Link, Route],
        out: Tensor | None = None,
    ) -> Tensor:
        """The target of one layer from the signals `sent`, written to `out` if the connections can."""
        total = drive if layer == 0 else None
        for link in self.links:
            if link.above - 1 == layer:
                total, route = link.connection.up(sent[link.below - 1], total, out)
                if route is not None:
                    routes[link] = route
        assert total is not None  # every layer has a link from the one below it
        for link in self.links:
            if link.below - 1 == layer:
                total = link.connection.add_down(total, sent[link.above - 1], routes.get(link), out)
        if total is drive:
            total = drive.clone() if out is None else out.copy_(drive)
        if self.inhibition and layer < self.inhibited:
            mean = sent[layer].flatten(1).mean(1)
            total = total.sub_(mean.view(-1, *[1] * (total.dim() - 1)), alpha=self.inhibition)
        return self.motion.target(layer, total, states, nudge)


def _taken(
    compiled: CompiledSteps,
    groups: tuple[range, ...],
    drive: Tensor,
    states: Sequence[Tensor] | None,
    stop: Stop,
    nudge: Nudge | None,
    *,
    looks: bool,
) -> Relaxation:
    """A relaxation by compiled steps; None for states of zero."""
    assert nudge is None or isinstance(nudge, Affine)
    ended = compiled.relax(Course(groups, stop.steps, looks, stop.tolerance, _LOOK_EVERY), drive, states, nudge)
    return Relaxation.by_compiled(ended)


class _Steps:
    """Steps of any layers, one layer after another.

    Args:
        dynamics: the layers.
        drive: W_1 x + b_1, (B, ...).
        states: of all layers above the input, (B, ...) each; **overwritten**.
        groups: the layers that move, in groups that move one after another.
        nudge: acts on the last layer.
    """

    def __init__(
        self, dynamics: Dynamics, drive: Tensor, states: list[Tensor], groups: Sequence[range], nudge: Nudge | None
    ) -> None:
        self._dynamics, self._drive, self.states, self._groups, self._nudge = dynamics, drive, states, groups, nudge
        self._targets = [torch.empty_like(state) for state in states]
        self._send = dynamics.motion.sender(drive.device)
        self._sent = [self._send(layer, states) for layer in range(len(states))]
        self._routes = dynamics.first_routes(self._sent, groups)

    @property
    def spikes(self) -> Tensor | None:
        """Number of spikes that each spiking layer has sent, lowest first; None if all signals are graded."""
        return self._send.spikes

    def take(self, look: bool) -> list[Tensor]:
        """Take a step; the residual of each layer if asked for, () tensors."""
        dynamics, states, targets, sent = self._dynamics, self.states, self._targets, self._sent
        motion, residuals = dynamics.motion, []
        for group in self._groups:
            for layer in group:
                targets[layer] = dynamics.target(
                    layer, self._drive, states, sent, self._nudge, self._routes, targets[layer]
                )
            if look:
                residuals += [motion.residual(motion.distance(states[layer], targets[layer])) for layer in group]
            for layer in group:
                dt = dynamics.time_steps[layer]
                if dt is None and motion.jumps:
                    states[layer], targets[layer] = targets[layer], states[layer]
                else:
                    motion.move(states[layer], targets[layer], 1.0 if dt is None else dt, out=states[layer])
                sent[layer] = self._send(layer, states)
        return residuals


class _TailMean:
    """Mean of the states over the last `length` of `steps` steps; autograd can follow it."""

    def __init__(self, length: int, steps: int) -> None:
        self.length, self.first = min(length, steps), steps - length + 1
        self.sums: list[Tensor] | None = None

    def add(self, step: int, states: Sequence[Tensor]) -> None:
        """Note the states after a step; the first step is 1."""
        if self.length > 1 and step >= self.first:
            sums = self.sums or [torch.zeros_like(state) for state in states]
            self.sums = [total + state for total, state in zip(sums, states, strict=True)]

    def of(self, states: list[Tensor]) -> list[Tensor]:
        """The mean, or `states` after the last step if it is the only one averaged."""
        return states if self.sums is None else [total / self.length for total in self.sums]


def full_precision(tensor: Tensor) -> torch.autocast:
    """Context without autocast on the device of `tensor`: a contrast of half-precision states is mostly rounding."""
    return torch.autocast(tensor.device.type, enabled=False)
