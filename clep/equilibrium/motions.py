"""How the neurons of a layer move towards an equilibrium, and what they send to their neighbours."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from clep.specs.neurons import Neuron

Nudge = Callable[[Tensor], Tensor]
"""State of the last layer (B, ...) -> the term added to its dynamics, in the same shape."""


@dataclass(frozen=True)
class Affine:
    """The nudge factor (offset + slope s); its parts are known, so compiled steps can take it.

    Args:
        offset: (B, ...), shaped as the state s of the last layer.
        slope: factor on the state.
        factor: on all, such as beta.

    Example:
        >>> import torch
        >>> from clep.equilibrium.motions import Affine
        >>> Affine(torch.ones(2), slope=-1.0, factor=0.5)(torch.tensor([0.0, 3.0]))
        tensor([ 0.5000, -1.0000])
    """

    offset: Tensor
    slope: float = 0.0
    factor: float = 1.0

    def __call__(self, state: Tensor) -> Tensor:
        force = torch.add(self.offset, state, alpha=self.slope) if self.slope else self.offset
        return force if self.factor == 1.0 else self.factor * force


class Sender(Protocol):
    """What the layers send during one relaxation."""

    @property
    def spikes(self) -> Tensor | None:
        """Number of spikes that each spiking layer has sent, lowest first; None if all signals are graded."""

    def __call__(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """The signal of a layer in the next step, (B, ...), the same for the layers above and below."""


class Motion(ABC):
    """One step of a layer: the state moves by the time step dt towards a target.

    Attributes:
        jumps: whether a step with dt = 1 replaces the state by its target.
    """

    jumps: bool

    @abstractmethod
    def rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """The rates of a layer, (B, ...): what contrasts compare, and the expectation of what it sends."""

    @abstractmethod
    def sender(self, device: torch.device) -> Sender:
        """What the layers send during one relaxation."""

    @abstractmethod
    def target(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        """Turn dPhi/ds of a layer, in place, into the target that the layer moves to."""

    @abstractmethod
    def move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        """The state after a step, written to `out` if it is given."""

    @abstractmethod
    def distance(self, state: Tensor, target: Tensor) -> Tensor:
        """How far a layer is from its fixed point, whatever its time steps; a new tensor."""

    @abstractmethod
    def residual(self, distance: Tensor) -> Tensor:
        """The residual of a layer, () tensor, from its `distance`, **overwritten**."""


@dataclass(frozen=True)
class Prototypical(Motion):
    """s_l <- s_l + dt_l (rho(dPhi/ds_l + nudge) - s_l), the discrete map of Ernoult et al. 2019 at dt = 1.

    Args:
        neuron: rho of every layer.
        nudge_outside: add the nudge after rho instead of before (Ernoult et al. 2019).
    """

    neuron: Callable[[Tensor], Tensor]
    nudge_outside: bool = False

    jumps = True

    def rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        return states[layer]

    def sender(self, device: torch.device) -> Sender:
        return Graded(self.rate)

    def target(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        if nudge is None or layer < len(states) - 1:
            return self.neuron(force)
        if self.nudge_outside:
            return self.neuron(force).add_(nudge(states[layer]))
        return self.neuron(force.add_(nudge(states[layer])))

    def move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        return towards(state, target, dt, out)

    def distance(self, state: Tensor, target: Tensor) -> Tensor:
        return target - state

    def residual(self, distance: Tensor) -> Tensor:
        return max_abs(distance, overwrite=True)


@dataclass(frozen=True)
class EnergyBased(Motion):
    """Leaky integration of the energy E(s) = 1/2 |s|^2 - Phi(rho(s)) with bounded potentials s.

    s_l <- bound(s_l + dt_l (rho'(s_l) dPhi/drho_l - s_l)); the last layer is linear (rho(s) = s between its bounds) and
    adds the nudge unchanged: s_L <- bound(s_L + dt_L (dPhi/ds_L + nudge - s_L)).

    Reference: Scellier & Bengio 2017; Ernoult et al. 2020 (arXiv 2005.04168), the energy-based setting.
    """

    neuron: Neuron

    jumps = False

    def rate(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """Firing rates rho(s) of a hidden layer; the last layer as it is."""
        return states[layer] if layer == len(states) - 1 else self.neuron(states[layer].clone())

    def sender(self, device: torch.device) -> Sender:
        return Graded(self.rate)

    def target(self, layer: int, force: Tensor, states: Sequence[Tensor], nudge: Nudge | None) -> Tensor:
        if layer < len(states) - 1:
            return force.mul_(self.neuron.slope(states[layer]))
        return force if nudge is None else force.add_(nudge(states[layer]))

    def move(self, state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
        moved, bounds = towards(state, target, dt, out), self.neuron.bounds
        if bounds is None:
            return moved
        return moved.clamp_(*bounds) if out is not None else moved.clamp(*bounds)

    def distance(self, state: Tensor, target: Tensor) -> Tensor:
        bounds = self.neuron.bounds
        return (target if bounds is None else target.clamp(*bounds)) - state

    def residual(self, distance: Tensor) -> Tensor:
        return max_abs(distance, overwrite=True)


class Graded(NamedTuple):
    """Sends the rates themselves."""

    rate: Callable[[int, Sequence[Tensor]], Tensor]
    spikes: None = None

    def __call__(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        return self.rate(layer, states)


def towards(state: Tensor, target: Tensor, dt: Tensor | float, out: Tensor | None = None) -> Tensor:
    """state + dt (target - state)."""
    if isinstance(dt, Tensor) and dt.dtype != state.dtype:
        dt = dt.to(state.dtype)
    return torch.lerp(state, target, dt, out=out)


def max_abs(tensor: Tensor, *, overwrite: bool = False) -> Tensor:
    """Largest absolute entry of `tensor`, a () tensor; zero for an empty one."""
    if not tensor.numel():
        return torch.zeros((), device=tensor.device)
    return (tensor.abs_() if overwrite and not tensor.is_complex() else tensor.abs()).max()
