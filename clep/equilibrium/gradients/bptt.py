"""Backpropagation through time: the twin that differentiates the free phase itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clep.equilibrium.body import Relaxing
from clep.equilibrium.dynamics import Stop, full_precision
from clep.equilibrium.gradients.base import Criterion, Gradient, Prediction, relaxed
from clep.specs.gradients import BackpropagationOptions


@dataclass(frozen=True)
class Backpropagation(Gradient, BackpropagationOptions):
    """The BPTT twin: differentiate the free phase itself; the same weights and steps, no nudged phase.

    Raises:
        ConfigError: for fewer than one step.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> network = Network([4, 3, 2], gradient=Backpropagation(bptt_steps=6))
        >>> network(torch.rand(5, 4)).sum().backward()
        >>> network.connections[0].weight.grad.shape
        torch.Size([3, 4])
    """

    def predict(self, network: Relaxing, x: Tensor) -> Prediction:
        if not torch.is_grad_enabled():
            return relaxed(network, x)
        x = network.shaped(x)
        with full_precision(x):
            body = network.body()
            followed = min(self.bptt_steps or body.free.steps, body.free.steps)
            drive = body.drive(x)
            states = network.zero_states(drive, drive.dtype)
            if followed < body.free.steps:
                states = body.dynamics.relax(drive.detach(), states, Stop(body.free.steps - followed)).states
            last = body.dynamics.unroll(drive, states, followed)[-1]
        return Prediction(body.read_out(last))

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        return criterion(prediction.output, y)
