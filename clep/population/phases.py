"""The update of S networks at once: one free phase, their losses, and the nudged phases of all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clep.equilibrium import CostNudging, FreePhase, Gradient, SquaredError
from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.compiled import Course
from clep.equilibrium.contrast import contrast
from clep.equilibrium.costs import Cost
from clep.equilibrium.dynamics import Relaxation
from clep.equilibrium.motions import Affine, Nudge
from clep.equilibrium.phases import Term, nudged_terms
from clep.population.batches import Batches, padded
from clep.population.centered import Centered, contrasted
from clep.population.dynamics import Apart
from clep.population.stack import Stack


@dataclass(frozen=True)
class _Arrangement:
    """The nudged phases of `clep.equilibrium.phases`, with a beta for each network, (S, 1, 1)."""

    beta: Tensor
    phases: str
    start: str


class Phases:
    """The phases of one update of all networks of a stack.

    Args:
        stack: of the networks.
        gradients: the estimate of each network, alike but for beta.
        batches: one for each network.

    Attributes:
        free: the free phase of all, (S, B, n) states; its residual is (S,). The next update overwrites its memory.
    """

    @torch.no_grad()
    def __init__(self, stack: Stack, gradients: Sequence[Gradient], batches: Batches) -> None:
        self._stack, self._gradients, self._batches = stack, gradients, batches
        body, x = stack.body, batches.x
        dynamics = replace(body.dynamics, motion=Apart(body.dynamics.motion, batches.counts))
        steps, self._compiled = None, stack.compiled
        if self._compiled is not None:
            drive = stack.drive(x)
            course = Course(dynamics.groups(len(dynamics.time_steps)), body.free.steps, looks=True)
            relaxed = Relaxation.by_compiled(self._compiled.relax(course, drive, None, sizes=batches.sizes))
        elif dynamics.quick:  # type: ignore[attr-defined]
            steps = stack.steps(x.shape[1])
            steps.counts = batches.counts
            drive = stack.drive(x, out=steps.drive)
            steps.begin()
            relaxed = replace(dynamics, kept=steps).relax(drive, [], body.free)  # type: ignore[call-arg]
        else:
            drive = body.drive(x)
            relaxed = dynamics.relax(drive, [_zeros(drive, units) for units in dynamics.units], body.free)  # type: ignore[attr-defined]
        self._steps = steps
        self.free = FreePhase(x, drive, tuple(relaxed.states), body, relaxed.residual, relaxed.halfway, relaxed.steps)

    def settled(self, index: int) -> FreePhase:
        """The free phase with the residuals of one network."""
        free = self.free
        return FreePhase(
            free.x, free.drive, free.states, free.body, free.residual[index], free.halfway[index], free.steps
        )

    def output(self, index: int) -> Tensor:
        """The last state of one network, (B, ...)."""
        return self.free.output[index, : self._batches.sizes[index]]

    def losses(self, labels: Sequence[Tensor], criterion: Cost) -> "Losses":
        """The mean loss of each network, and what its gradients need.

        Args:
            labels: class indices (B,) of each network.
            criterion: of all.
        """
        y, readout = padded(labels), self._stack.readout
        if type(criterion) is SquaredError and not readout and y.device.type == "cpu":
            return self._squared_error(y, criterion)
        leaves = [self.free.output.detach().clone().requires_grad_()]
        with torch.enable_grad():
            output = leaves[0]
            if readout:
                leaves += [tensor.detach().requires_grad_() for tensor in readout]
                output = output.flatten(2) @ leaves[1].transpose(1, 2)
                output = output + leaves[2].unsqueeze(1) if len(readout) > 1 else output
            each = criterion.each(output.flatten(0, 1), y.flatten()).view(y.shape)
            loss = self._mean(each)
            incoming, *on_readout = torch.autograd.grad(loss.sum(), leaves)
        hits = self._mean((output.argmax(2) == y).to(loss.dtype))
        return Losses(loss.tolist(), hits.tolist(), output.detach(), incoming, on_readout, y)

    def _squared_error(self, y: Tensor, criterion: Cost) -> "Losses":
        """The same in one compiled call: those of autograd take longer than a small network."""
        from clep.population import kernel  # with numba, which takes longer to import than most of clep

        output = self.free.output.clone(memory_format=torch.contiguous_format)
        incoming, found = torch.empty_like(output), output.new_empty(2, len(output))
        sizes = np.asarray(self._batches.sizes)
        if not kernel.squared_error(output.numpy(), y.numpy(), sizes, incoming.numpy(), found.numpy()):
            criterion.target(output.flatten(0, 1), y.flatten())  # says what is wrong
        loss, hits = found.tolist()
        return Losses(loss, hits, output, incoming, [], y)

    @torch.no_grad()
    def gradients(
        self, incoming: Tensor, losses: "Losses | None" = None, criterion: Cost | None = None
    ) -> list[Tensor]:
        """The estimate for each parameter of the connections, (S, ...) each, in their order.

        Args:
            incoming: gradient of the losses for the last states, (S, B, ...).
            losses: where the estimate is nudged by its own cost: what `losses` returned, and
            criterion: the cost.
        """
        known = self._gradients[0]
        by_cost = isinstance(known, CostNudging)
        adaptation: Adaptation | None = known.adaptation  # type: ignore[attr-defined]
        outside = isinstance(known, CostNudging) and known.nudge == "outside"
        arranged = self._arrangement(incoming)
        if by_cost:
            scale = 1.0 / incoming.new_tensor(self._batches.sizes)
        else:
            scale = incoming.abs().amax((1, 2))
            incoming = incoming / -torch.where(scale == 0.0, 1.0, scale).view(-1, 1, 1)

        def force(copies: int) -> Nudge:
            if by_cost:
                assert losses is not None
                assert criterion is not None
                output, y = losses.output, losses.y
                if copies > 1:
                    output, y = output.repeat(1, copies, 1), y.repeat(1, copies)
                return self._force(output, y, criterion)
            return Affine(incoming if copies == 1 else incoming.repeat(1, copies, 1))

        plain_rule = known.rule == "contrast" and not outside and arranged.start == "free"  # type: ignore[attr-defined]
        nudge = force(1) if plain_rule and self._compiled is not None else None
        if isinstance(nudge, Affine) and arranged.phases in ("centered", "one_sided"):
            ends = self._compiled_phases(nudge, arranged, adaptation)
            if adaptation is None:
                return self._compiled_contrast(ends[0], arranged, scale)
            plain, estimates = (self._compiled_contrast(end, arranged, torch.ones_like(scale)) for end in ends)
        elif plain_rule and self._steps is not None and arranged.phases == "centered":
            assert self._steps is not None
            centered = Centered(self._stack, self._steps, self.free.x, arranged.beta, self._batches.counts)
            both = centered.relax(None if by_cost else incoming, force(2) if by_cost else None, adaptation)
            if adaptation is None:
                return centered.contrast(both[0], scale)
            plain, estimates = (centered.contrast(end, torch.ones_like(scale)) for end in both)
        else:
            given: Any = arranged
            terms = nudged_terms(self.free, force(1), given, outside=outside, adaptation=adaptation)
            plain, estimates = self._contrast(terms[0]) if adaptation is not None else [], self._contrast(terms[1])
        if adaptation is not None:
            scale = scale * self._adapted(plain, estimates, adaptation)
        return [estimate.mul_(scale.view(-1, *[1] * (estimate.dim() - 1))) for estimate in estimates]

    def _compiled_phases(
        self, nudge: Affine, arranged: _Arrangement, adaptation: Adaptation | None
    ) -> list[list[list[Tensor]]]:
        """The states in each phase, (S, B, n) of each layer, and with adaptation those after its steps too."""
        body, betas = self.free.body, arranged.beta.flatten().tolist()
        factors = [(beta, -beta) if arranged.phases == "centered" else (beta,) for beta in betas]
        course = Course(body.dynamics.groups(len(self.free.states)), body.nudged_steps).then(adaptation)
        assert self._compiled is not None
        ended = self._compiled.relax(course, self.free.drive, self.free.states, nudge, factors, self.free.states)
        return [ended.states, ended.adapted]

    def _compiled_contrast(
        self, ends: Sequence[Sequence[Tensor]], arranged: _Arrangement, scale: Tensor
    ) -> list[Tensor]:
        """The negative contrast of each network, (S, ...) for each parameter; the second phase may be the free one."""
        first, second = ([state.mT for state in end] for end in (*ends, self.free.states)[:2])
        factor = scale.view(-1, 1, 1) / (-len(ends) * arranged.beta)
        return contrasted(self._stack, self.free.x, first, second, factor, self._batches.counts)

    def _adapted(self, plain: Sequence[Tensor], estimates: Sequence[Tensor], adaptation: Adaptation) -> Tensor | float:
        """The factors that restore the norms before adaptation, (S,); each network's own watch gets its norms."""
        before, after = _norms(plain), _norms(estimates)
        for gradient, *norms in zip(self._gradients, before, after, strict=True):
            watch = gradient.adaptation.watch  # type: ignore[attr-defined]
            if watch is not None:
                watch(*norms)
        if not adaptation.rescale:
            return 1.0
        return torch.where(after == 0.0, 1.0, before / torch.where(after == 0.0, 1.0, after))

    def _contrast(self, terms: Sequence[Term]) -> list[Tensor]:
        """The negative contrast of each network, (S, ...) for each parameter, without what stands in padded rows."""
        counts = self._batches.counts
        if counts is not None:
            terms = [Term(term.coefficient * counts, term.first, term.second) for term in terms]  # type: ignore[arg-type]
        return contrast(self.free, terms, -1.0, self._gradients[0].rule)  # type: ignore[attr-defined]

    def _mean(self, each: Tensor) -> Tensor:
        if self._batches.counts is None:
            return each.mean(1)
        return (each * self._batches.counts[..., 0]).sum(1) / each.new_tensor(self._batches.sizes)

    def _arrangement(self, like: Tensor) -> _Arrangement:
        first: Any = self._gradients[0]
        betas = [gradient.beta for gradient in self._gradients]  # type: ignore[attr-defined]
        phases = first.phases
        if phases == "random_sign":
            betas, phases = [b * sign for b, sign in zip(betas, self._stack.signs(), strict=True)], "one_sided"
        return _Arrangement(like.new_tensor(betas).view(-1, 1, 1), phases, first.start)

    def _force(self, output: Tensor, y: Tensor, criterion: Cost) -> Nudge:
        """-dC/ds of each sample of each network."""
        towards = criterion.nudge(output.flatten(0, 1), y.flatten())
        if not self._stack.readout and isinstance(towards, Affine):
            return replace(towards, offset=towards.offset.view(output.shape))
        if not self._stack.readout:
            return lambda state: towards(state.flatten(0, 1)).view(state.shape)
        weight, *biases = self._stack.readout
        bias = biases[0].unsqueeze(1) if biases else 0.0

        def through_readout(state: Tensor) -> Tensor:
            output = state @ weight.transpose(1, 2) + bias
            return towards(output.flatten(0, 1)).view(output.shape) @ weight

        return through_readout


@dataclass(frozen=True)
class Losses:
    """What each network loses on its batch.

    Attributes:
        loss: mean over the samples, of each network.
        hits: share of the samples that is classified correctly, of each.
        output: of the networks, (S, B, K).
        incoming: gradient of the losses for the last states, (S, B, n).
        on_readout: gradients for the weights (S, K, n) and biases (S, K) of a linear read-out; [] without one.
        y: class indices, (S, B).
    """

    loss: list[float]
    hits: list[float]
    output: Tensor
    incoming: Tensor
    on_readout: list[Tensor]
    y: Tensor


def _norms(estimates: Sequence[Tensor]) -> Tensor:
    """Norm over all parameters of each network, (S,)."""
    return torch.stack([estimate.flatten(1).square().sum(1) for estimate in estimates]).sum(0).sqrt()


def _zeros(like: Tensor, units: int) -> Tensor:
    """Zero states (S, B, units). Products of a narrow layer are twice as fast where its samples lie side by side."""
    networks, samples, _ = like.shape
    if units >= samples:
        return like.new_zeros(networks, samples, units)
    return like.new_zeros(networks, units, samples).transpose(1, 2)
