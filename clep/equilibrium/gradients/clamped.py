"""Contrastive Hebbian learning (CHL): the second phase clamps the output to the target."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.body import Relaxing
from clep.equilibrium.contrast import adapted_contrast
from clep.equilibrium.costs import Cost
from clep.equilibrium.gradients.base import Criterion, Gradient, Prediction, delivered, phase_of, relaxed
from clep.equilibrium.phases import Term, second_phase
from clep.specs.capabilities import Capability
from clep.specs.gradients import ClampingOptions


@dataclass(frozen=True)
class Clamping(Gradient, ClampingOptions):
    """Contrastive Hebbian learning (CHL): the output is clamped to the target in the second phase.

    The update is dPhi/dtheta(clamped) - dPhi/dtheta(free). As feedback gets weaker, it approaches backpropagation of a
    loss whose gradient before rho is s - y: the squared error where rho' = 1, a quarter of the cross-entropy for
    shifted sigmoids. `adaptation` follows the clamped steps. The clamped output has no dynamics of its own, so it then
    moves from the target back towards the free equilibrium (Kubo et al. 2022).

    References:
        Movellan 1991; Xie & Seung 2003 (weak feedback, `feedback_scale`, with updates scaled accordingly).

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network, SquaredError
        >>> network, gradient = Network([4, 3, 2]), Clamping()
        >>> gradient.loss(gradient.predict(network, torch.rand(5, 4)), torch.arange(5) % 2, SquaredError()).backward()
        >>> network.connections[0].weight.grad.shape
        torch.Size([3, 4])
    """

    _: KW_ONLY
    adaptation: Adaptation | None = None

    supports: ClassVar[frozenset[Capability]] = frozenset({"adds_penalty", "uses_gradients"})

    def predict(self, network: Relaxing, x: Tensor) -> Prediction:
        return relaxed(network, x)

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        """Mean loss at the free equilibrium; its `backward()` runs the clamped phase."""
        free = phase_of(prediction)

        def gradients() -> list[Tensor]:
            start = [torch.zeros_like(s) if self.restart else s.clone() for s in free.states]
            start[-1] = Cost.target(free.output, y)
            start = [s.to(free.body.dtype) for s in start]
            phase = second_phase(free, free.body.dynamics, start, clamped=True, adaptation=self.adaptation)
            plain, adapted = (Term(1.0, states, free.states) for states in phase)
            return adapted_contrast(free, [plain], [adapted], self.rule, self.adaptation)[0]

        return criterion(prediction.output, y) + delivered(free, gradients)
