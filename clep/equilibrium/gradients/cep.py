"""C-EP, equilibrium propagation with continual weight updates: the weights move at every nudged step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clep.equilibrium.contrast import contrast
from clep.equilibrium.dynamics import Stop, full_precision
from clep.equilibrium.gradients.base import Criterion, Needs, Prediction, phase_of
from clep.equilibrium.gradients.cost import CostNudging
from clep.equilibrium.phases import Term, nudge_by, nudged, signed_beta
from clep.errors import ConfigError
from clep.specs.capabilities import Capability
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSpec
from clep.specs.refusals import Setup, cep_has_real_phases, cep_starts_at_the_free_equilibrium


@dataclass(frozen=True)
class CEP(CostNudging):
    """C-EP: the weights move at every nudged step, by the change of dPhi/dtheta in that step.

    As the learning rate goes to 0, the updates of one phase add up to that of `CostNudging`. With `centered`, both
    nudged phases advance side by side under the same weights (ours; the paper draws the sign of beta).

    Reference: Ernoult et al. 2020 (arXiv 2005.04168).

    Raises:
        ConfigError: as in `CostNudging`, and for phases that do not start at the free equilibrium.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network, SquaredError
        >>> network, gradient = Network([4, 3, 2], nudged_steps=6), CEP(beta=0.5)
        >>> prediction = gradient.predict(network, torch.rand(5, 4))
        >>> len(list(gradient.updates(prediction, torch.arange(5) % 2, SquaredError())))
        6
    """

    needs = Needs(own_updates=True, cost=True)
    supports: ClassVar[frozenset[Capability]] = frozenset()  # the weights move before there is one gradient

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adaptation is not None:
            raise ConfigError("adaptation: C-EP moves the weights during its phase; no contrast is left to adapt")
        setup = Setup(NetworkSpec(), learner=LearnerSpec(gradient="cep", phases=self.phases, start=self.start))
        for key, row in (("phases", cep_has_real_phases), ("start", cep_starts_at_the_free_equilibrium)):
            if (reason := row(setup)) is not None:
                raise ConfigError(f"{key}: {reason}")

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        """Mean cost at the free equilibrium; it has no gradient, see `updates`."""
        return criterion(prediction.output, y)

    @torch.no_grad()
    def updates(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Iterator[list[Tensor]]:
        """Yield the gradient of each nudged step, for every parameter; **the caller moves the weights in between**."""
        free, force = phase_of(prediction), self.force(prediction, y, criterion)
        if any(not parameter.is_leaf for parameter in free.body.parameters()):
            raise ConfigError(
                "gradient: C-EP moves the weights themselves at every step, and these are computed from other "
                "parameters (parametrized, pruned); use gradient=cost, or remove the parametrizations"
            )
        dynamics, beta = nudged(free.body.own_dynamics, self.nudge == "outside"), signed_beta(free, self)
        betas = (beta, -beta) if self.phases == "centered" else (beta,)
        phases = [[state.clone() for state in free.states] for _ in betas]
        for _ in range(free.body.nudged_steps):
            with full_precision(free.x):
                drive = free.body.drive(free.x)
                terms = []
                for i, beta in enumerate(betas):
                    before = [state.clone() for state in phases[i]]
                    phases[i] = dynamics.relax(drive, phases[i], Stop(1), nudge_by(beta, force)).states
                    terms.append(Term(1.0 / (beta * len(betas)), phases[i], before))
                gradients = contrast(free, terms, -1.0 / len(y), self.rule)
            yield gradients
