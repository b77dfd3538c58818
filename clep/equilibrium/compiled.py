"""Relaxations of dense layers by compiled steps: whole phases are one call.

A step of a small network costs calls, not arithmetic, and this has none. States lie with the samples of a unit side by
side, since products of narrow layers are then twice as fast. Sums are rounded otherwise than torch rounds them: states
differ from those of torch by less than 1e-6.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.layout import Layout, apart, layout_of, ways
from clep.equilibrium.motions import Affine, Motion, Nudge, Prototypical
from clep.specs.neurons import Neuron

_TILE = 2**16
"""Units times samples that go through all steps before the next ones do: so much stays in the cache."""
_SAMPLES = 128
"""Samples of the smallest tile: to read large weights for fewer takes longer."""

Factors = Sequence[Sequence[float]]
"""For each network, the factor of the nudge in each phase."""


class Course(NamedTuple):
    """How a relaxation goes.

    Attributes:
        groups: the layers that move, in groups that move one after another.
        steps: largest number of steps, >= 1.
        looks: whether residuals are measured; otherwise they are NaN.
        tolerance: residual below which it ends early; 0 takes all steps.
        every: steps between two looks at the residual if there is a tolerance.
        more: steps after these, each followed by s <- s + rate (rest - s).
        rate: the share in them.
    """

    groups: tuple[range, ...]
    steps: int
    looks: bool = False
    tolerance: float = 0.0
    every: int = 0
    more: int = 0
    rate: float = 0.0

    def then(self, adaptation: Adaptation | None) -> "Course":
        """The same, followed by the steps of an adaptation if there is any."""
        return self if adaptation is None else self._replace(more=adaptation.steps, rate=adaptation.rate)


class Ended(NamedTuple):
    """Where relaxations of one batch ended.

    Attributes:
        states: of the layers in each phase, (B, n) each, after the steps.
        adapted: likewise, after the further steps; the same without any.
        residual: at the end, () tensor; see `Relaxation`.
        halfway: after half of the steps, () tensor.
        steps: number of steps taken.
    """

    states: list[list[Tensor]]
    adapted: list[list[Tensor]]
    residual: Tensor
    halfway: Tensor
    steps: int


class CompiledSteps:
    """Compiled steps of the layers above the input, of one network or of S stacked ones.

    All tensors of stacked networks have a first dimension S besides those below.

    Args:
        links: the connections above the input; dense ones of one dtype, with weights (n_above, n_below).
        neuron: rho of every layer; a ramp.
        time_steps: dt of each layer above the input, (n,) each, or None where every step is 1.
    """

    def __init__(self, links: Sequence[Any], neuron: Neuron, time_steps: Sequence[Tensor | None]) -> None:
        assert neuron.ramp is not None
        self._links, self._neuron, self._ramp = links, neuron, neuron.ramp
        like = links[0].connection.weight
        self._stacked, self._networks = like.dim() > 2, len(like) if like.dim() > 2 else 1
        units = {link.above: link.connection.weight.shape[-2] for link in links}
        units |= {link.below: link.connection.weight.shape[-1] for link in links}
        self._units = tuple(units[layer] for layer in sorted(units))
        self._joins = tuple((link.below, link.above, apart(link.connection)) for link in links)
        steps = [
            like.new_ones(self._networks, n) if dt is None else self._rows(dt)
            for n, dt in zip(self._units, time_steps, strict=True)
        ]
        self._dt, self._dtype = torch.cat(steps, 1).numpy(), like.dtype
        self._weights, self._weights_at = self._dt, -1
        self._has_biases = any(link.connection.bias is not None for link in links)
        self._ends = list(itertools.accumulate(self._units, initial=0))
        self._layouts: dict[tuple[range, ...], Layout] = {}

    def take(self, motion: Motion, drive: Tensor, nudge: Nudge | None) -> bool:
        """Whether they can relax as `motion` says, from this drive (B, n_1), with this nudge or None."""
        if type(motion) is not Prototypical or motion.neuron is not self._neuron or motion.nudge_outside:
            return False
        if type(drive) is not Tensor or drive.dtype != self._dtype or drive.dim() != 2 + self._stacked:
            return False
        if drive.shape[-2] * self._dt.size > _TILE and torch.get_num_threads() > 1:  # torch has work for all of them
            return False
        return (nudge is None or type(nudge) is Affine) and not torch.compiler.is_compiling()

    def relax(
        self,
        course: Course,
        drive: Tensor,
        start: Sequence[Tensor] | None,
        nudge: Affine | None = None,
        factors: Factors | None = None,
        rest: Sequence[Tensor] = (),
        sizes: Sequence[int] | None = None,
    ) -> Ended:
        """Relax in phases that differ in nothing but the factor of their nudge.

        Args:
            course: how.
            drive: W_1 x + b_1, (B, n_1).
            start: states where all phases start, (B, n) of each layer; kept. None for zero.
            nudge: of the last layer, or None.
            factors: of the nudge, for each network one in each of its phases; None for one phase with a factor of 1.
            rest: what further steps are pulled to, (B, n) of each layer.
            sizes: the first so many samples of each network count in residuals; None for all.
        """
        batch = drive.shape[-2]
        tiles = -(-batch // max(_SAMPLES, _TILE // self._dt.shape[1]))
        if tiles <= 1 or course.tolerance or self._stacked:  # a tolerance is one of the whole batch
            return self._relax(course, drive, start, nudge, factors, rest, sizes)
        size, parts = -(-batch // tiles), []
        for first in range(0, batch, size):
            own = slice(first, first + size)
            part = None if nudge is None else replace(nudge, offset=nudge.offset[own])
            states, ends = [state[own] for state in start or ()], [state[own] for state in rest]
            parts.append(self._relax(course, drive[own], states, part, factors, ends, sizes))
        return _whole(parts)

    def _relax(
        self,
        course: Course,
        drive: Tensor,
        start: Sequence[Tensor] | None,
        nudge: Affine | None,
        factors: Factors | None,
        rest: Sequence[Tensor],
        sizes: Sequence[int] | None,
    ) -> Ended:
        from clep.compiling import OneThread  # with numba, which takes longer to import than most of clep
        from clep.equilibrium import kernel

        dtype, layout, batch, networks = self._dt.dtype, self._layout(course.groups), drive.shape[-2], self._networks
        begin = self._joined(start) if start else np.empty((networks, 0, batch), dtype)
        kick, factor, slope = np.empty((networks, batch, 0), dtype), 1.0, 0.0
        if nudge is not None:
            kick, factor, slope = self._own(nudge.offset.contiguous()), nudge.factor, nudge.slope
        phases = np.array([[factor * one for one in own] for own in factors or [(1.0,)] * networks], dtype)
        states = adapted = drive.new_empty(*phases.shape, self._dt.shape[1], batch).numpy()
        end = begin
        if course.more:
            adapted, end = np.empty_like(states), self._joined(rest)
        seen = np.zeros((2, networks), dtype) if course.looks else np.full((2, networks), np.nan, dtype)
        with OneThread():
            taken = kernel.relax(
                layout.layers,
                layout.links,
                self._row_of_weights(),
                self._row_of_biases(),
                self._dt,
                self._own(drive.mT.contiguous()),
                begin,
                end,
                kick,
                phases,
                np.array([*self._ramp, slope, course.tolerance, course.rate], dtype),
                (course.steps, -1 if not course.looks else course.every if course.tolerance else 0, course.more),
                states,
                adapted,
                seen,
                np.full(networks, batch) if sizes is None else np.asarray(sizes),
            )
        residual, halfway = torch.from_numpy(seen if self._stacked else seen[:, 0]).unbind()
        plain = self._layers(states)
        return Ended(plain, self._layers(adapted) if course.more else plain, residual, halfway, taken)

    def _own(self, tensor: Tensor) -> np.ndarray:
        """Contiguous values of each network, (S, ...)."""
        values: np.ndarray = tensor.detach().numpy()
        return values if self._stacked else values[None]

    def _rows(self, tensor: Tensor) -> Tensor:
        """Values of each network as a row, (S, ...)."""
        return tensor.detach().reshape(self._networks, -1)

    def _joined(self, layers: Sequence[Tensor]) -> np.ndarray:
        """States of the layers, (B, n) each, as (S, N, B)."""
        return self._own(torch.cat([layer.mT for layer in layers], -2))

    def _layers(self, states: np.ndarray) -> list[list[Tensor]]:
        """The states (S, P, N, B) as those of each layer in each phase, (B, n)."""
        phases = [states[:, phase] if self._stacked else states[0, phase] for phase in range(states.shape[1])]
        return [[torch.from_numpy(own[..., a:b, :]).mT for a, b in itertools.pairwise(self._ends)] for own in phases]

    def _row_of_weights(self) -> np.ndarray:
        """All weights, (S, ...), in the order of the layout; scaled feedback has its own."""
        weight = self._links[0].connection.weight
        if len(self._links) > 1 or self._joins[0][2] or not weight.is_contiguous():
            return torch.cat([self._rows(way) for link in self._links for way in ways(link.connection)], 1).numpy()
        if weight.data_ptr() != self._weights_at:
            self._weights, self._weights_at = self._rows(weight).numpy(), weight.data_ptr()
        return self._weights

    def _row_of_biases(self) -> np.ndarray:
        """The biases of all layers above the first, (S, N - n_1); (S, 0) if no connection has any."""
        if not self._has_biases:
            return self._dt[:, :0]
        biases: dict[int, Tensor] = {}
        for link in self._links:
            if link.connection.bias is not None:
                biases[link.above] = biases.get(link.above, 0.0) + self._rows(link.connection.bias)
        zeros = self._links[0].connection.weight.new_zeros
        own = [biases.get(above, zeros(self._networks, n)) for above, n in enumerate(self._units[1:], 2)]
        return torch.cat(own, 1).numpy()

    def _layout(self, groups: tuple[range, ...]) -> Layout:
        if groups not in self._layouts:
            self._layouts[groups] = layout_of(self._units, self._joins, groups)
        return self._layouts[groups]


def _whole(parts: Sequence[Ended]) -> Ended:
    """Parts of a batch as one."""

    def whole(phases: Sequence[list[list[Tensor]]]) -> list[list[Tensor]]:
        """The states of all parts, for each phase and layer."""
        return [[torch.cat(layer) for layer in zip(*phase, strict=True)] for phase in zip(*phases, strict=True)]

    plain = whole([part.states for part in parts])
    adapted = plain if parts[0].adapted is parts[0].states else whole([part.adapted for part in parts])
    residual, halfway = (torch.stack(own).amax() for own in zip(*(part[2:4] for part in parts), strict=True))
    return Ended(plain, adapted, residual, halfway, parts[0].steps)
