"""Cost nudging, as in the papers: a cost nudges along the whole phase."""

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.body import Relaxing
from clep.equilibrium.costs import Cost
from clep.equilibrium.gradients.base import Criterion, Gradient, Needs, Prediction, delivered, phase_of, relaxed
from clep.equilibrium.gradients.nudging import nudged_gradient
from clep.equilibrium.motions import Nudge
from clep.errors import ConfigError
from clep.specs.capabilities import Capability
from clep.specs.gradients import CostOptions


@dataclass(frozen=True)
class CostNudging(Gradient, CostOptions):
    """Nudge with -beta dC/ds, evaluated along the nudged phase, as in the papers.

    Suits plain training and strategies that leave the loss alone, add a penalty on weights (its gradient is added to
    the contrast) or use the gradients. A strategy that differentiates outputs needs `LinearNudging`. With a read-out,
    the cost applies to its output, and its weights get the gradient at the free equilibrium (Laborieux et al. 2021 take
    the mean of both nudged states, equal to first order).

    Args:
        adaptation: extra steps after the nudged ones.

    Raises:
        ConfigError: for beta = 0, an unknown name, or a cost that is not a mean over the batch.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network, SquaredError
        >>> network, gradient = Network([4, 3, 2]), CostNudging(beta=0.5)
        >>> gradient.loss(gradient.predict(network, torch.rand(5, 4)), torch.arange(5) % 2, SquaredError()).backward()
        >>> network.connections[0].weight.grad.shape
        torch.Size([3, 4])
    """

    _: KW_ONLY
    adaptation: Adaptation | None = None

    needs = Needs(cost=True)
    supports: ClassVar[frozenset[Capability]] = frozenset({"adds_penalty", "uses_gradients"})

    def predict(self, network: Relaxing, x: Tensor) -> Prediction:
        return relaxed(network, x)

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        """Mean cost at the free equilibrium; its `backward()` runs the nudged phases.

        The network's parameters get a gradient; its input does not, unlike with `LinearNudging`.
        """
        free, force = phase_of(prediction), self.force(prediction, y, criterion)

        def twice() -> Nudge:
            output = prediction.output.detach()
            return self.force(replace(prediction, output=torch.cat([output, output])), torch.cat([y, y]), criterion)

        def gradients() -> list[Tensor]:
            outside = self.nudge == "outside"
            return nudged_gradient(free, force, self, twice=twice, outside=outside, adaptation=self.adaptation)[1]

        return criterion(prediction.output, y) + delivered(free, gradients)

    def force(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Nudge:
        """-dC/ds of each sample as a function of the last state, (B, ...) -> (B, ...).

        Args:
            prediction: of a batch, from `predict`.
            y: class indices, (B,).
            criterion: the `Cost` C.
        """
        cost, readout = nudging_cost(criterion), phase_of(prediction).body.readout
        towards_target = cost.nudge(prediction.output.detach(), y)
        if readout is None:
            return towards_target
        weight = readout.weight.detach()
        bias = None if readout.bias is None else readout.bias.detach()

        def through_read_out(state: Tensor) -> Tensor:
            dtype = torch.promote_types(state.dtype, weight.dtype)  # complex, or the read-out's
            output = state.flatten(1).to(dtype) @ weight.T.to(dtype)
            force = towards_target(output if bias is None else output + bias) @ weight.to(dtype)
            return force.view(state.shape)

        return through_read_out


def nudging_cost(criterion: Criterion) -> Cost:
    """The criterion, if it can nudge.

    Raises:
        ConfigError: if it cannot, or is not a mean over the batch.
    """
    if not isinstance(criterion, Cost):
        raise ConfigError(
            f"loss: expected a `clep.equilibrium.Cost`, which says how it nudges, got {type(criterion).__name__}"
        )
    if criterion.reduction != "mean":
        raise ConfigError(
            "loss: expected reduction `mean` (the gradient of cost nudging is that of the mean over the batch), got "
            f"`{criterion.reduction}`; multiply the loss instead"
        )
    return criterion
