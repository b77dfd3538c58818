"""The update of S networks at once: one free phase, their losses, and the nudged phases of all.

Batches of different sizes are padded; what stands in a padded row counts nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from clep.equilibrium import CostNudging, FreePhase, Gradient
from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.contrast import contrast
from clep.equilibrium.costs import Cost
from clep.equilibrium.motions import Nudge
from clep.equilibrium.phases import Term, nudged_terms
from clep.population.stack import Apart, Stack


@dataclass(frozen=True)
class Batches:
    """One batch for each of S networks.

    Attributes:
        x: inputs, (S, B, ...).
        sizes: samples of each, at most B.
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all batches are of one size.

    Example:
        >>> import torch
        >>> batches = Batches.of([torch.rand(5, 64), torch.rand(3, 64)])
        >>> batches.x.shape, batches.counts.sum().item()
        (torch.Size([2, 5, 64]), 8.0)
    """

    x: Tensor
    sizes: tuple[int, ...]
    counts: Tensor | None

    @classmethod
    def of(cls, inputs: Sequence[Tensor]) -> "Batches":
        """Stack inputs (B, ...), padded to the largest batch."""
        sizes = tuple(len(x) for x in inputs)
        x, largest = padded(inputs), max(sizes)
        if min(sizes) == largest:
            return cls(x, sizes, None)
        rows, ends = torch.arange(largest, device=x.device), torch.tensor(sizes, device=x.device)
        return cls(x, sizes, (rows < ends.unsqueeze(1)).to(x.dtype).unsqueeze(2))


def padded(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors (B, ...) as one, (S, largest B, ...), with zeros behind the shorter ones.

    Args:
        tensors: alike but for their lengths.

    Example:
        >>> import torch
        >>> padded([torch.ones(2), torch.ones(1)]).tolist()
        [[1.0, 1.0], [1.0, 0.0]]
    """
    lengths = [len(tensor) for tensor in tensors]
    if min(lengths) == max(lengths):
        return torch.stack(list(tensors))
    whole = tensors[0].new_zeros(len(tensors), max(lengths), *tensors[0].shape[1:])
    for row, tensor in zip(whole, tensors, strict=True):
        row[: len(tensor)] = tensor
    return whole


@dataclass(frozen=True)
class _Arrangement:
    """The nudged phases of `clep.equilibrium.phases`, with a beta for each network, (S, 1, 1)."""

    beta: Tensor
    phases: str
    start: str


class Phases:
    """The phases of one update of all networks of a stack.

    Args:
        stack: of the networks; their present weights are taken over.
        gradients: the estimate of each network, alike but for beta.
        batches: one for each network.

    Attributes:
        free: the free phase of all, (S, B, n) states; its residual is (S,).
    """

    @torch.no_grad()
    def __init__(self, stack: Stack, gradients: Sequence[Gradient], batches: Batches) -> None:
        stack.load()
        self._stack, self._gradients, self._batches = stack, gradients, batches
        body, x = stack.body, batches.x
        drive = body.drive(x)
        states = [_zeros(drive, units) for units in stack.units]
        apart = replace(body.dynamics, motion=Apart(body.dynamics.motion, batches.counts))
        relaxed = apart.relax(drive, states, body.free)
        self.free = FreePhase(
            x, drive, tuple(relaxed.states), body, relaxed.residual, relaxed.halfway, relaxed.steps, None
        )

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
        y, readouts = padded(labels), [body.readout for body in self._stack.bodies]
        leaves = [self.free.output.detach().requires_grad_()]
        with torch.enable_grad():
            output = leaves[0]
            if readouts[0] is not None:
                weights = torch.stack([readout.weight.detach() for readout in readouts if readout is not None])
                leaves.append(weights.requires_grad_())
                biases = [readout.bias for readout in readouts if readout is not None and readout.bias is not None]
                if biases:
                    leaves.append(torch.stack([bias.detach() for bias in biases]).unsqueeze(1).requires_grad_())
                output = output.flatten(2) @ leaves[1].transpose(1, 2)
                output = output + leaves[2] if biases else output
            each = criterion.each(output.flatten(0, 1), y.flatten()).view(y.shape)
            loss = self._mean(each)
            incoming, *on_readout = torch.autograd.grad(loss.sum(), leaves)
        if len(on_readout) > 1:
            on_readout[1] = on_readout[1].squeeze(1)
        return Losses(loss.detach(), torch.isfinite(loss).tolist(), output.detach(), incoming, on_readout, y)

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
        if isinstance(known, CostNudging):
            assert losses is not None
            assert criterion is not None
            force: Nudge = self._force(losses, criterion)
            scale = 1.0 / incoming.new_tensor(self._batches.sizes)
            outside = known.nudge == "outside"
        else:
            size = incoming.abs().amax((1, 2))
            nudge = torch.empty_like(self.free.output)  # in the layout of the states
            torch.div(incoming, -torch.where(size == 0.0, 1.0, size).view(-1, 1, 1), out=nudge)
            force, scale, outside = (lambda state: nudge), size, False
        adaptation: Adaptation | None = known.adaptation  # type: ignore[attr-defined]
        arranged = self._arrangement(incoming)
        plain, adapted = nudged_terms(self.free, force, arranged, outside=outside, adaptation=adaptation)
        estimates = self._contrast(adapted)
        if adaptation is not None:
            before, after = _norms(self._contrast(plain)), _norms(estimates)
            for gradient, *norms in zip(self._gradients, before, after, strict=True):
                watch = gradient.adaptation.watch  # type: ignore[attr-defined]
                if watch is not None:
                    watch(*norms)
            if adaptation.rescale:
                scale = scale * torch.where(after == 0.0, 1.0, before / torch.where(after == 0.0, 1.0, after))
        return [estimate.mul_(scale.view(-1, *[1] * (estimate.dim() - 1))) for estimate in estimates]

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

    def _arrangement(self, like: Tensor) -> Any:
        first: Any = self._gradients[0]
        betas = [gradient.beta for gradient in self._gradients]  # type: ignore[attr-defined]
        phases = first.phases
        if phases == "random_sign":
            betas, phases = [b * sign for b, sign in zip(betas, self._stack.signs(), strict=True)], "one_sided"
        return _Arrangement(like.new_tensor(betas).view(-1, 1, 1), phases, first.start)

    def _force(self, losses: "Losses", criterion: Cost) -> Nudge:
        """-dC/ds of each sample of each network."""
        towards = criterion.nudge(losses.output.flatten(0, 1), losses.y.flatten())
        readouts = [body.readout for body in self._stack.bodies if body.readout is not None]
        if not readouts:
            return lambda state: towards(state.flatten(0, 1)).view(state.shape)
        weight = torch.stack([readout.weight.detach() for readout in readouts])
        biases = [readout.bias.detach() for readout in readouts if readout.bias is not None]
        bias = torch.stack(biases).unsqueeze(1) if biases else 0.0

        def through_readout(state: Tensor) -> Tensor:
            output = state @ weight.transpose(1, 2) + bias
            return towards(output.flatten(0, 1)).view(output.shape) @ weight

        return through_readout


@dataclass(frozen=True)
class Losses:
    """What each network loses on its batch.

    Attributes:
        loss: mean over the samples, (S,).
        finite: whether it is finite, for each.
        output: of the networks, (S, B, K).
        incoming: gradient of the losses for the last states, (S, B, n).
        on_readout: gradients for the weights (S, K, n) and biases (S, K) of a linear read-out; [] without one.
        y: class indices, (S, B).
    """

    loss: Tensor
    finite: list[bool]
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
