"""Relaxation of the layers to an equilibrium: explicit, synchronous, in place, without autograd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.equilibrium.connections import Dense

Nudge = Callable[[Tensor], Tensor]
"""Output state (B, K) -> the term added to its dynamics, (B, K)."""


@dataclass(frozen=True)
class Dynamics:
    """One synchronous step is  s_l <- s_l + dt_l (rho(dPhi/ds_l + nudge) - s_l)  for all layers from the old states.

    Args:
        connections: from the input upwards; connection l joins layers l - 1 and l.
        activation: rho, in place.
        time_steps: dt of each layer above the input, (n_l,), or None where every step is 1.
        nudge_outside: add the nudge after rho instead of before (Ernoult et al. 2019).
    """

    connections: Sequence[Dense]
    activation: Callable[[Tensor], Tensor]
    time_steps: Sequence[Tensor | None]
    nudge_outside: bool = False

    @torch.no_grad()
    def relax(
        self, drive: Tensor, states: list[Tensor], steps: int, nudge: Nudge | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Take `steps` steps from `states`.

        Args:
            drive: W_1 x + b_1, (B, n_1), the same at every step and so computed once per batch.
            states: states of the layers above the input, (B, n_l) each; **overwritten**.
            steps: number of steps, >= 1.
            nudge: acts on the output layer at every step; None in the free phase.

        Returns:
            The new states, and the residual max |rho(dPhi/ds) - s| over all units before the last step, () tensor:
            zero at a fixed point whatever the time steps.
        """
        targets = [torch.empty_like(state) for state in states]
        residual = drive.new_zeros(())
        for step in range(steps):
            self._evaluate(drive, states, nudge, targets)
            if step == steps - 1:
                residual = torch.stack([max_abs(t - s) for t, s in zip(targets, states, strict=True)]).max()
            for layer, dt in enumerate(self.time_steps):
                if dt is None:
                    states[layer], targets[layer] = targets[layer], states[layer]
                else:
                    states[layer].lerp_(targets[layer], dt)
        return states, residual

    def _evaluate(self, drive: Tensor, states: list[Tensor], nudge: Nudge | None, targets: list[Tensor]) -> None:
        """Write rho(dPhi/ds_l + nudge) of every layer to `targets`."""
        top = len(states) - 1
        for layer, target in enumerate(targets):
            base = drive if layer == 0 else self.connections[layer].up(states[layer - 1], out=target)
            if layer < top:
                self.connections[layer + 1].add_down(base, states[layer + 1], out=target)
            elif base is not target:
                target.copy_(base)
        output = targets[top]
        if nudge is not None and not self.nudge_outside:
            output.add_(nudge(states[top]))
        for target in targets:
            self.activation(target)
        if nudge is not None and self.nudge_outside:
            output.add_(nudge(states[top]))


def full_precision(tensor: Tensor) -> torch.autocast:
    """Context without autocast on the device of `tensor`: a contrast of half-precision states is mostly rounding."""
    return torch.autocast(tensor.device.type, enabled=False)


def max_abs(tensor: Tensor) -> Tensor:
    """Largest absolute entry of `tensor`, a () tensor; zero for an empty one."""
    return tensor.abs().max() if tensor.numel() else tensor.new_zeros(())
