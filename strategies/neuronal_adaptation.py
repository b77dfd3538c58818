"""Neuronal adaptation: nudged or clamped states are pulled back towards the free equilibrium before the weights change.

Reference: Kubo, Chalmers & Luczak 2022 (arXiv 2204.14008), Eq. 8.
"""

from typing import Any, ClassVar

from clep import metric_names
from clep.equilibrium import Adaptation, Clamping, ContinualNudging, Network
from clep.equilibrium.phases import Nudging
from clep.errors import ConfigError
from clep.strategy import Strategy


class NeuronalAdaptation(Strategy):
    """Take extra steps  s <- (1 - rate) F_beta(s) + rate s*  after each nudged phase, or the clamped one of CHL.

    The steps are those of `clep.equilibrium.Adaptation`. Logs the mean norm of the update before and after adaptation.

    Args:
        steps: number of adaptation steps, >= 0.
        rate: share of the free equilibrium in each step, in [0, 1].
        rescale: whether the update keeps the norm it had before adaptation; without, adaptation is a smaller learning
            rate as well, and under centered nudging little else.
    """

    touches_loss = False
    search_space: ClassVar = {"steps": {"low": 1, "high": 20}, "rate": {"low": 0.01, "high": 0.5, "log": True}}

    def __init__(self, *, steps: int = 5, rate: float = 0.1, rescale: bool = True) -> None:
        super().__init__()
        self.adaptation = Adaptation(steps, rate, rescale)
        self._norms = [0.0, 0.0]
        self._updates = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Switch adaptation on for this experience."""
        if not isinstance(strategy.model, Network):
            raise ConfigError(
                "strategies: neuronal_adaptation acts on the second phase of an equilibrium `Network`; "
                f"{type(strategy.model).__name__} has none."
            )
        if strategy.model.firing == "bernoulli":
            raise ConfigError(
                "strategies: neuronal_adaptation moves the states by single steps, which between spikes are noise that "
                "nobody averages; use network.firing=rate."
            )
        learner = getattr(strategy, "learner", None)  # a plain Avalanche strategy has none
        gradient = getattr(learner, "own_cost", None) or strategy.model.nudging
        if not isinstance(gradient, Nudging | Clamping) or isinstance(gradient, ContinualNudging):
            raise ConfigError(
                "strategies: neuronal_adaptation acts between a nudged or clamped phase and the contrast at its end, "
                f"which {type(gradient).__name__} has not; use learner.nudging=linear, cost or clamped."
            )
        strategy.model.adaptation = self.adaptation
        self._norms, self._updates = [0.0, 0.0], 0

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Collect the norms of the update."""
        if strategy.model.contrast_norms is not None:
            self._norms = [
                total + float(norm) for total, norm in zip(self._norms, strategy.model.contrast_norms, strict=True)
            ]
            self._updates += 1

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Log the norms; switch adaptation off so that what follows sees the plain network."""
        strategy.model.adaptation = None
        for name, total in zip(("before", "after"), self._norms, strict=True):
            self.log(metric_names.ADAPTATION_UPDATE_NORM.format(when=name), total / max(1, self._updates))
