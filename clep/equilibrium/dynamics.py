"""Relaxation of the layers to an equilibrium: explicit, in place, without autograd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.connections import Dense

Nudge = Callable[[Tensor], Tensor]
"""Output state (B, K) -> the term added to its dynamics, (B, K)."""

Order = Literal["synchronous", "asynchronous"]
ORDERS: tuple[Order, ...] = ("synchronous", "asynchronous")

_LOOK_EVERY = 5  # steps between two looks at the residual, each of which waits for the device


class Relaxation(NamedTuple):
    """Where a relaxation ended.

    Attributes:
        states: states of the layers above the input, (B, n_l) each.
        residual: max |rho(dPhi/ds) - s| over all units at the last step, () tensor; zero at a fixed point whatever the
            time steps.
        steps: number of steps taken.
    """

    states: list[Tensor]
    residual: Tensor
    steps: int


@dataclass(frozen=True)
class Dynamics:
    """A step moves each layer by  s_l <- s_l + dt_l (rho(dPhi/ds_l + nudge) - s_l).

    Synchronous: all layers at once, from the old states. Asynchronous: one sweep updates the odd layers, then the even
    ones from the new states of the odd; it has the same fixed points and needs about half the steps, but its path is
    another one.

    Args:
        connections: from the input upwards; connection l joins layers l - 1 and l.
        activation: rho, in place.
        time_steps: dt of each layer above the input, (n_l,), or None where every step is 1.
        nudge_outside: add the nudge after rho instead of before (Ernoult et al. 2019).
        order: `synchronous` or `asynchronous`.
    """

    connections: Sequence[Dense]
    activation: Callable[[Tensor], Tensor]
    time_steps: Sequence[Tensor | None]
    nudge_outside: bool = False
    order: Order = "synchronous"

    @torch.no_grad()
    def relax(
        self, drive: Tensor, states: list[Tensor], steps: int, nudge: Nudge | None = None, tolerance: float = 0.0
    ) -> Relaxation:
        """Take `steps` steps (asynchronous: sweeps) from `states`, or fewer if the residual falls below `tolerance`.

        Args:
            drive: W_1 x + b_1, (B, n_1), the same at every step and so computed once per batch.
            states: states of the layers above the input, (B, n_l) each; **overwritten**.
            steps: largest number of steps, >= 1.
            nudge: acts on the output layer at every step; None in the free phase.
            tolerance: residual at which to stop; it is looked at every few steps. 0 takes all steps.
        """
        layers = range(len(states))
        groups = (layers,) if self.order == "synchronous" else (layers[::2], layers[1::2])
        targets = [torch.empty_like(state) for state in states]
        residual = drive.new_zeros(())
        for step in range(1, steps + 1):
            look = step == steps or (tolerance > 0.0 and step % _LOOK_EVERY == 0)
            changes = []
            for group in groups:
                for layer in group:
                    self._evaluate(layer, drive, states, nudge, targets[layer])
                if look:
                    changes += [max_abs(targets[layer] - states[layer]) for layer in group]
                for layer in group:
                    dt = self.time_steps[layer]
                    if dt is None:
                        states[layer], targets[layer] = targets[layer], states[layer]
                    else:
                        states[layer].lerp_(targets[layer], dt)
            if look:
                residual = torch.stack(changes).max()
                if residual < tolerance:
                    return Relaxation(states, residual, step)
        return Relaxation(states, residual, steps)

    def _evaluate(self, layer: int, drive: Tensor, states: list[Tensor], nudge: Nudge | None, target: Tensor) -> None:
        """Write rho(dPhi/ds_l + nudge) of one layer to `target`."""
        top = len(states) - 1
        base = drive if layer == 0 else self.connections[layer].up(states[layer - 1], out=target)
        if layer < top:
            self.connections[layer + 1].add_down(base, states[layer + 1], out=target)
        elif base is not target:
            target.copy_(base)
        if layer < top or nudge is None:
            self.activation(target)
        elif self.nudge_outside:
            self.activation(target).add_(nudge(states[top]))
        else:
            self.activation(target.add_(nudge(states[top])))


def full_precision(tensor: Tensor) -> torch.autocast:
    """Context without autocast on the device of `tensor`: a contrast of half-precision states is mostly rounding."""
    return torch.autocast(tensor.device.type, enabled=False)


def max_abs(tensor: Tensor) -> Tensor:
    """Largest absolute entry of `tensor`, a () tensor; zero for an empty one."""
    return tensor.abs().max() if tensor.numel() else tensor.new_zeros(())
