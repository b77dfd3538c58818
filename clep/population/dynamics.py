"""How stacked networks relax: a residual for each, and steps of all layers at once where these can be taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clep.equilibrium.dynamics import Dynamics
from clep.equilibrium.flat import BY_ENTRY, FEWEST_STEPS
from clep.equilibrium.motions import Motion, Nudge, Prototypical, Sender
from clep.population.steps import StackedSteps


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


@dataclass(frozen=True)
class StackedDynamics(Dynamics):
    """Dynamics whose steps are those of stacked layers where these can take them.

    Args:
        units: number in each layer above the input.
        kept: steps to take, whose drive and states are set; None for new ones.
    """

    units: Sequence[int] = ()
    kept: StackedSteps | None = None

    @property
    def quick(self) -> bool:
        """Whether `StackedSteps` can take the steps."""
        motion = self.motion.motion if isinstance(self.motion, Apart) else self.motion
        alike = len({step is None for step in self.time_steps}) == 1
        return type(motion) is Prototypical and motion.neuron in BY_ENTRY and alike

    def steps(self, like: Tensor, *, nudged: bool = False) -> StackedSteps:
        """Buffers for relaxations of all layers.

        Args:
            like: any tensor of S networks and B samples, (S, B, ...).
            nudged: whether a constant nudge acts on the last layer.
        """
        motion = self.motion.motion if isinstance(self.motion, Apart) else self.motion
        assert isinstance(motion, Prototypical)
        groups = self.groups(len(self.units))
        return StackedSteps(self.links, motion, self.time_steps, groups, self.units, like, nudged=nudged)

    def _stepping(self, drive: Tensor, states: list[Tensor], steps: int, nudge: Nudge | None, clamped: bool) -> Any:
        if self.kept is not None:
            return self.kept
        if clamped or steps < FEWEST_STEPS or not self.quick:
            return super()._stepping(drive, states, steps, nudge, clamped)
        stepping = self.steps(drive)
        stepping.nudge = nudge
        stepping.counts = self.motion.counts if isinstance(self.motion, Apart) else None
        stepping.drive.copy_(drive.transpose(1, 2))
        stepping.begin([state.transpose(1, 2) for state in states])
        return stepping
