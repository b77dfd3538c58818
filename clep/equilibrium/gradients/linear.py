"""Linear nudging: the vector-Jacobian product of the free equilibrium, for any loss."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.body import FreePhase, Relaxing
from clep.equilibrium.dynamics import full_precision
from clep.equilibrium.gradients.base import Criterion, Gradient, Prediction
from clep.equilibrium.gradients.nudging import nudged_gradient
from clep.equilibrium.motions import Affine, max_abs
from clep.specs.gradients import Nudging


@dataclass(frozen=True)
class LinearNudging(Gradient, Nudging):
    """The vector-Jacobian product of the free equilibrium: nudge with the constant -dL/ds* (the default).

    The nudge is divided by its largest absolute entry, and the contrast is multiplied by it. So the nudge has size beta
    whatever the scale of the loss, and the estimate is homogeneous: loss times k gives gradient times k.

    Args:
        adaptation: extra steps after the nudged ones.
        over_parts: where a batch is shared by several processes, largest entry of this part -> that of the whole batch,
            in units of this part; None for a batch in one piece.

    Raises:
        ConfigError: for beta = 0, an unknown name, or options that make no sense together.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> network = Network([4, 3, 2], gradient=LinearNudging(beta=0.1))
        >>> network(torch.rand(5, 4)).sum().backward()
        >>> network.connections[0].weight.grad.shape
        torch.Size([3, 4])
    """

    _: KW_ONLY
    adaptation: Adaptation | None = None
    over_parts: Callable[[Tensor], Tensor] | None = None

    def predict(self, network: Relaxing, x: Tensor) -> Prediction:
        x = network.shaped(x)
        free = network.free_phase(x)
        output = _Equilibrium.apply(self, free, x, *free.body.parameters())
        return Prediction(free.body.read_out(output), free)

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        return criterion(prediction.output, y)


class _Equilibrium(torch.autograd.Function):
    """x, parameters -> last state of the free equilibrium; backward runs the nudged phases."""

    @staticmethod
    def forward(ctx: Any, gradient: LinearNudging, free: FreePhase, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.gradient, ctx.layers = gradient, len(free.states)
        ctx.ended = (free.body, free.residual, free.halfway, free.steps, free.spikes)
        ctx.save_for_backward(free.x, free.drive, *free.states, *parameters)
        return free.output.clone(memory_format=torch.contiguous_format)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        x, drive, *tensors = ctx.saved_tensors  # raises if a parameter was changed in place since the forward
        states = tuple(tensors[: ctx.layers])
        scale = max_abs(incoming)
        if ctx.gradient.over_parts is not None:
            scale = ctx.gradient.over_parts(scale)
        gradient: LinearNudging = ctx.gradient
        # Without a gradient, the phases have no nudge and all is multiplied by 0: to skip them, one would have to wait
        # for the device.
        force = -incoming / scale.clamp_min(torch.finfo(scale.dtype).tiny)
        with full_precision(x):
            on_input, on_parameters = nudged_gradient(
                FreePhase(x, drive, states, *ctx.ended),
                Affine(force),
                gradient,
                twice=lambda: Affine(torch.cat([force, force])),
                adaptation=gradient.adaptation,
                wants_input=ctx.needs_input_grad[2],
            )
        on_input = None if on_input is None else on_input * scale
        return None, None, on_input, *(g.mul_(scale) for g in on_parameters)
