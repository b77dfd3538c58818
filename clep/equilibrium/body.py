"""What relaxes in one update, and where its free phase ended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from clep.equilibrium.connections import Dense
from clep.equilibrium.dynamics import Dynamics, Link, Stop, full_precision

_SETTLED = 0.01  # residual, in units of the activation's range, that counts as settled
_SHRINKS = 0.95  # a residual that falls by less over half a phase is not falling


@dataclass(frozen=True)
class Body:
    """The parts of a network that the phases of one update work with; every update makes a new one.

    Attributes:
        links: all connections, including those of the input, in the order of their parameters.
        gains: factor on the gradient of each link; it undoes scaled feedback.
        dynamics: the relaxation, over links prepared for the steps between two updates.
        dtype: of states and weights during relaxation.
        readout: a linear read-out outside the dynamics, or None.
        free: when the free phase ends.
        nudged_steps: steps of each nudged or clamped phase.
        mean_time_step: mean of the neurons' time steps, in (0, 1].
        signs: source of the random signs of the nudge.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> Network([4, 3, 2]).body().drive(torch.rand(5, 4)).shape
        torch.Size([5, 3])
    """

    links: Sequence[Link]
    gains: Sequence[float]
    dynamics: Dynamics
    dtype: torch.dtype
    readout: nn.Linear | None
    free: Stop
    nudged_steps: int
    mean_time_step: float
    signs: np.random.Generator

    @property
    def own_dynamics(self) -> Dynamics:
        """The relaxation over the connections themselves: in full precision, and it follows weights as they move."""
        return replace(self.dynamics, links=self.links[1:])

    def parameters(self) -> list[nn.Parameter]:
        """The parameters of the connections; the phases estimate their gradient."""
        return [parameter for link in self.links for parameter in link.connection.parameters()]

    def drive(self, x: Tensor) -> Tensor:
        """W_1 x + b_1, (B, ...), shaped as layer 1, for `x` (B, ...), shaped as layer 0."""
        connection = self.links[0].connection
        if self.dynamics.compiled is not None and type(connection) is Dense:
            return connection.up_by_units(x)
        return connection.up(x)[0]

    def read_out(self, state: Tensor) -> Tensor:
        """Output (B, K) for `state` (B, ...), that of the last layer."""
        if self.readout is None:
            return state.contiguous()
        with full_precision(state):
            output: Tensor = self.readout(state.flatten(1).to(self.readout.weight.dtype))
        return output

    def draw_sign(self) -> float:
        """+1 or -1 with equal probability."""
        return float(self.signs.choice((-1.0, 1.0)))


@dataclass(frozen=True)
class FreePhase:
    """Where a free phase ended; the nudged phases start from here.

    Attributes:
        x: input (B, ...), shaped as layer 0.
        drive: W_1 x + b_1, (B, ...), shaped as layer 1.
        states: equilibrium of the layers above the input, (B, ...) each.
        body: what relaxed.
        residual: distance from the fixed point at the end, () tensor; see `Relaxation`.
        halfway: the same after half of the steps, () tensor.
        steps: number of steps taken.
        spikes: number of spikes that each spiking layer sent per sample, (layers,), lowest first; None if signals are
            graded.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> free = Network([4, 3, 2]).free_phase(torch.rand(5, 4))
        >>> free.output.shape, free.steps
        (torch.Size([5, 2]), 20)
    """

    x: Tensor
    drive: Tensor
    states: tuple[Tensor, ...]
    body: Body
    residual: Tensor
    halfway: Tensor
    steps: int
    spikes: Tensor | None = None

    @property
    def output(self) -> Tensor:
        """State of the last layer, (B, ...)."""
        return self.states[-1]

    def trouble(self) -> str | None:
        """Return `oscillates` or `diverges` if the free phase does so; None if it settles.

        While a network settles, its residual keeps falling. If the residual is still more than a hundredth of a unit's
        range and hardly smaller than halfway, at least one sample of the batch never settles. If the steps are so small
        that the states cannot have moved far, they get more time. Where neurons spike, only what noise cannot explain
        counts: swings of whole layers, see `Bernoulli`.
        """
        residual, halfway = float(self.residual), float(self.halfway)
        if not math.isfinite(residual):
            return "diverges"
        shrinks = max(_SHRINKS, (1.0 - 0.5 * self.body.mean_time_step) ** (self.steps - self.steps // 2))
        settled = residual <= max(_SETTLED, self.body.free.tolerance)
        if settled or self.body.free.steps < 2 or residual < shrinks * halfway:
            return None
        return "diverges" if residual > 2.0 * halfway else "oscillates"


class Relaxing(Protocol):
    """What a gradient estimate needs of a network."""

    def body(self) -> Body:
        """What relaxes in one update."""

    def shaped(self, x: Tensor) -> Tensor:
        """The input (B, ...) as layer 0."""

    def zero_states(self, drive: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """Zero states of all layers, (B, ...) each."""

    def free_phase(self, x: Tensor) -> FreePhase:
        """Relax from zero states without a nudge; not differentiable."""
