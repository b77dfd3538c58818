"""Relaxation of the layers to an equilibrium: explicit steps, in place and without autograd, or unrolled with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from clep.equilibrium.connections import Connection, Route
from clep.equilibrium.convolution import Convolution
from clep.equilibrium.neurons import Neuron

Nudge = Callable[[Tensor], Tensor]
"""State of the last layer (B, ...) -> the term added to its dynamics, of the same shape."""

Watch = Callable[[Sequence[Tensor]], None]

Order = Literal["synchronous", "asynchronous"]
ORDERS: tuple[Order, ...] = ("synchronous", "asynchronous")

_LOOK_EVERY = 5  # steps between two looks at the residual, each of which waits for the device


class Link(NamedTuple):
    """A connection between layers `below` < `above`; layer 0 is the input and has links to layer 1 alone."""

    below: int
    above: int
    connection: Connection


class Relaxation(NamedTuple):
    """Where a relaxation ended.

    Attributes:
        states: states of the layers above the input, (B, ...) each, or their means; see `Dynamics.averaged`.
        residual: max |target - s| over all units at the last step, () tensor; zero at a fixed point whatever the time
            steps. NaN in nudged phases, where nobody looks.
        halfway: the same after half of the steps; a relaxation that settles leaves it far behind.
        steps: number of steps taken.
        spikes: number of spikes that each spiking layer sent, lowest first, summed over steps and batch; None where all
            signals are graded.
    """

    states: list[Tensor]
    residual: Tensor
    halfway: Tensor
    steps: int
    spikes: Tensor | None = None


class Sender(Protocol):
    """What the layers send during one relaxation."""

    @property
    def spikes(self) -> Tensor | None:
        """See `Relaxation`."""

    def __call__(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """The signal of a layer in the next step, (B, ...), the same for the layers above and below."""


@dataclass(frozen=True)
class Dynamics:
    """A step moves each layer by  s_l <- s_l + dt_l (rho(dPhi/ds_l + nudge) - s_l), the prototypical dynamics.

    Synchronous: all layers at once, from the old states. Asynchronous: one sweep updates the odd layers, then the even
    ones from the new states of the odd; it has the same fixed points and needs about half the steps, but its path is
    another one.

    Args:
        links: the connections above the input, and which layers they join.
        neuron: rho of every layer.
        time_steps: dt of each layer above the input, shaped as the layer, or None where every step is 1.
        nudge_outside: add the nudge after rho instead of before (Ernoult et al. 2019).
        order: `synchronous` or `asynchronous`.
        inhibition: kappa of the mean inhibition among the n units of each of the first `inhibited` layers above the
            input, which adds the term -kappa / (2 n) (sum_i s_i)^2 to Phi.
        inhibited: number of these layers.
        averaged: a relaxation returns the mean of the states over its last `averaged` steps; 1 is the last state.
    """

    links: Sequence[Link]
    neuron: Neuron
    time_steps: Sequence[Tensor | None]
    nudge_outside: bool = False
    order: Order = "synchronous"
    inhibition: float = 0.0
    inhibited: int = 0
    averaged: int = 1

    @torch.no_grad()
    def relax(
        self,
        drive: Tensor,
        states: list[Tensor],
        steps: int,
        nudge: Nudge | None = None,
        *,
        tolerance: float = 0.0,
        clamped: bool = False,
        watch: Watch | None = None,
    ) -> Relaxation:
        """Take `steps` steps (asynchronous: sweeps) from `states`, or fewer if the residual falls below `tolerance`.

        Args:
            drive: W_1 x + b_1, (B, ...), the same at every step and so computed once per batch.
            states: states of the layers above the input, (B, ...) each; **overwritten**.
            steps: largest number of steps, >= 1.
            nudge: acts on the last layer at every step; None in the free phase.
            tolerance: residual at which to stop; it is looked at every few steps. 0 takes all steps.
            clamped: the last layer keeps its state.
            watch: told the states after each step, whose memory the next steps use.
        """
        groups = self._groups(len(states) - clamped)
        targets: list[Tensor] = [torch.empty_like(state) for state in states]
        send, mean = self._sender(drive), _TailMean(self.averaged, steps)
        sent = [send(layer, states) for layer in range(len(states))]
        routes = self._first_routes(sent, groups)
        free = nudge is None and not clamped
        residual = halfway = torch.full((), 0.0 if free else torch.nan, device=drive.device)
        for step in range(1, steps + 1):
            middle = step == max(1, steps // 2)
            look = free and (middle or step == steps or (tolerance > 0.0 and step % _LOOK_EVERY == 0))
            changes = []
            for group in groups:
                for layer in group:
                    targets[layer] = self._target(layer, drive, states, sent, nudge, routes, targets[layer])
                if look:
                    changes += [self._unrest(self._distance(layer, targets, states)) for layer in group]
                for layer in group:
                    dt = self.time_steps[layer]
                    if dt is None and self._jumps:
                        states[layer], targets[layer] = targets[layer], states[layer]
                    else:
                        self._move(states[layer], targets[layer], 1.0 if dt is None else dt, out=states[layer])
                    sent[layer] = send(layer, states)
            mean.add(step, states)
            if watch is not None:
                watch(states)
            if look and changes:
                residual = torch.stack(changes).max()
                halfway = residual if middle else halfway
                if residual < tolerance:
                    return Relaxation(states, residual, halfway, step)
        return Relaxation(mean.of(states), residual, halfway, steps, send.spikes)

    def unroll(self, drive: Tensor, states: Sequence[Tensor], steps: int) -> list[Tensor]:
        """The same free steps as a differentiable computation, for backpropagation through time; new tensors."""
        states = list(states)
        groups = self._groups(len(states))
        send, mean = self._sender(drive), _TailMean(self.averaged, steps)
        sent = [send(layer, states) for layer in range(len(states))]
        routes = self._first_routes(sent, groups)
        for step in range(1, steps + 1):
            for group in groups:
                targets = {layer: self._target(layer, drive, states, sent, None, routes) for layer in group}
                for layer, target in targets.items():
                    dt = self.time_steps[layer]
                    jump = dt is None and self._jumps
                    states[layer] = target if jump else self._move(states[layer], target, 1.0 if dt is None else dt)
                    sent[layer] = send(layer, states)
            mean.add(step, states)
        return mean.of(states)

    def signals(self, states: Sequence[Tensor]) -> list[Tensor]:
        """The rates of all layers: what a contrast is made of, and the expectation of what they send."""
        return [self._rate(layer, states) for layer in range(len(states))]

    _jumps = True  # with dt = 1 a step replaces the state by its target

    def _rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """The rates of one layer: its states."""
        return states[layer]

    def _sender(self, drive: Tensor) -> Sender:
        """What the layers send during one relaxation under this drive: their rates."""
        return _Graded(self._rate)

    def _finish(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        """Turn dPhi/ds of a layer, in place, into the target that the layer moves to."""
        if nudge is None or layer < len(states) - 1:
            return self.neuron(force)
        if self.nudge_outside:
            return self.neuron(force).add_(nudge(states[layer]))
        return self.neuron(force.add_(nudge(states[layer])))

    def _move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        if isinstance(dt, Tensor) and dt.dtype != state.dtype:
            dt = dt.to(state.dtype)
        return torch.lerp(state, target, dt, out=out)

    def _distance(self, layer: int, targets: Sequence[Tensor], states: Sequence[Tensor]) -> Tensor:
        """How far a layer is from standing still, whatever its time steps."""
        return targets[layer] - states[layer]

    def _unrest(self, distance: Tensor) -> Tensor:
        """The residual of a layer, () tensor, from its distance, which is overwritten."""
        return max_abs(distance, overwrite=True)

    def _groups(self, layers: int) -> tuple[range, ...]:
        """Layers that move together, topmost first: a max pooling on the way up decides its way down."""
        if self.order == "synchronous":
            return (range(layers)[::-1],)
        return range(0, layers, 2)[::-1], range(1, layers, 2)[::-1]

    def _first_routes(self, sent: Sequence[Tensor], groups: Sequence[range]) -> dict[Link, Route]:
        """Routes of the links into layers that move after the layers below them; the others are found on the way."""
        if len(groups) == 1 and len(groups[0]) == len(sent):
            return {}
        late = [layer for layer in range(len(sent)) if layer not in groups[0]]
        into = [link for link in self.links if link.above - 1 in late]
        return {link: link.connection.up(sent[link.below - 1])[1] for link in into if _pools(link)}

    def _target(
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
        return self._finish(layer, total, states, nudge)


@dataclass(frozen=True)
class EnergyDynamics(Dynamics):
    """Leaky integration of the energy E(s) = 1/2 |s|^2 - Phi(rho(s)) with bounded potentials s.

    s_l <- bound(s_l + dt_l (rho'(s_l) dPhi/drho_l - s_l)); the last layer is linear (rho(s) = s between its bounds) and
    takes the nudge as it is: s_L <- bound(s_L + dt_L (dPhi/ds_L + nudge - s_L)).

    Reference: Scellier & Bengio 2017; Ernoult et al. 2020 (arXiv 2005.04168), the energy-based setting.
    """

    _jumps = False

    def _rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """Firing rates rho(s) of a hidden layer, the last layer as it is."""
        return states[layer] if layer == len(states) - 1 else self.neuron(states[layer].clone())

    def _finish(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        if layer < len(states) - 1:
            return force.mul_(self.neuron.slope(states[layer]))
        return force if nudge is None else force.add_(nudge(states[layer]))

    def _move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        moved = super()._move(state, target, dt, out)
        if self.neuron.bounds is None:
            return moved
        return moved.clamp_(*self.neuron.bounds) if out is not None else moved.clamp(*self.neuron.bounds)

    def _distance(self, layer: int, targets: Sequence[Tensor], states: Sequence[Tensor]) -> Tensor:
        target = targets[layer] if self.neuron.bounds is None else targets[layer].clamp(*self.neuron.bounds)
        return target - states[layer]


class _Graded(NamedTuple):
    """Sends the rates themselves."""

    rate: Callable[[int, Sequence[Tensor]], Tensor]
    spikes: None = None

    def __call__(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        return self.rate(layer, states)


class _TailMean:
    """Mean of the states over the last `length` of `steps` steps; autograd can follow it."""

    def __init__(self, length: int, steps: int) -> None:
        self.length, self.first = min(length, steps), steps - length + 1
        self.sums: list[Tensor] | None = None

    def add(self, step: int, states: Sequence[Tensor]) -> None:
        """Note the states after a step, the first of which is 1."""
        if self.length > 1 and step >= self.first:
            sums = self.sums or [torch.zeros_like(state) for state in states]
            self.sums = [total + state for total, state in zip(sums, states, strict=True)]

    def of(self, states: list[Tensor]) -> list[Tensor]:
        """The mean; after the last step, whose `states` it is where one step is all."""
        return states if self.sums is None else [total / self.length for total in self.sums]


def _pools(link: Link) -> bool:
    return isinstance(link.connection, Convolution) and link.connection.layer.routes


def full_precision(tensor: Tensor) -> torch.autocast:
    """Context without autocast on the device of `tensor`: a contrast of half-precision states is mostly rounding."""
    return torch.autocast(tensor.device.type, enabled=False)


def max_abs(tensor: Tensor, *, overwrite: bool = False) -> Tensor:
    """Largest absolute entry of `tensor`, a () tensor; zero for an empty one."""
    if not tensor.numel():
        return torch.zeros((), device=tensor.device)
    return (tensor.abs_() if overwrite and not tensor.is_complex() else tensor.abs()).max()
