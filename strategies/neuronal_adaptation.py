"""Neuronal adaptation: pull nudged or clamped states back towards the free equilibrium before the weights change.

Reference: Kubo, Chalmers & Luczak 2022 (arXiv 2204.14008), Eq. 8.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from clep import metric_names
from clep.equilibrium import Adaptation, Network
from clep.specs.options import from_keywords, takes
from clep.strategy import Memory, Strategy


@takes(Adaptation)
class NeuronalAdaptation(Strategy):
    """Take extra steps  s <- (1 - rate) F_beta(s) + rate s*  after each nudged phase, or the clamped one of CHL.

    The steps are those of `clep.equilibrium.Adaptation`. Without `rescale`, adaptation also lowers the learning rate;
    under centered nudging it does little else. Logs the mean norm of the update before and after adaptation.

    Raises:
        ConfigError: for an unknown option, a wrong type or a value out of range, naming the option.

    Example:
        >>> NeuronalAdaptation(steps=3).adaptation.steps
        3
    """

    replicates: ClassVar = True  # it rescales by norms over the whole batch
    search_space: ClassVar = {"steps": {"low": 1, "high": 20}, "rate": {"low": 0.01, "high": 0.5, "log": True}}

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.adaptation = from_keywords(Adaptation, options, watch=self._add_norms, over_parts=None)
        self._plain: Network | None = None
        self._norms = [0.0, 0.0]
        self._updates = 0

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse models without a nudged or clamped phase, and phases of spikes."""
        model = learner.network
        if not isinstance(model, Network):
            yield (
                "strategies: neuronal_adaptation acts on the second phase of an equilibrium `Network`; "
                f"{type(model).__name__} has none; use an equilibrium network, or leave it out."
            )
        elif model.spec.dynamics == "bernoulli":
            yield (
                "network.dynamics: neuronal_adaptation moves the states step by step, and with spikes a single step is "
                "noise; use network.dynamics=prototypical."
            )
        elif model.gradient.needs.own_updates or not hasattr(model.gradient, "adaptation"):
            yield (
                "learner.gradient: neuronal_adaptation needs a nudged or clamped phase; "
                f"{type(model.gradient).__name__} has none; use learner.gradient=linear, cost or clamped."
            )

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Switch adaptation on for this experience, in a view: the network itself stays as it is, whatever happens."""
        self._plain = strategy.model
        strategy.model = strategy.model.with_gradient(replace(strategy.model.gradient, adaptation=self.adaptation))
        self._norms, self._updates = [0.0, 0.0], 0

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Log the norms; switch adaptation off so that later hooks see the plain network."""
        strategy.model, self._plain = self._plain, None
        for name, total in zip(("before", "after"), self._norms, strict=True):
            self.log(metric_names.ADAPTATION_UPDATE_NORM.format(when=name), total / max(1, self._updates))

    def memory(self) -> Memory:
        """Nothing: the norms of an experience are what it logs."""
        return Memory()

    def _add_norms(self, before: Tensor, after: Tensor) -> None:
        """Collect the norms of an update."""
        self._norms = [total + float(norm) for total, norm in zip(self._norms, (before, after), strict=True)]
        self._updates += 1
