"""Nearest class mean: a control that keeps one mean per class, and needs neither gradients nor samples.

References:
    Rebuffi et al. 2017 (arXiv 1611.07725): the nearest mean of exemplars, in features that a network learns.
    Mensink et al. 2013 (IEEE TPAMI 35:2624): the nearest class mean, where adding a class is free.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from clep.class_sums import ClassSums, nearest_mean, samples_of
from clep.diagnostics.hidden import has_hidden_states, hidden_states
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Strategy


@dataclass(frozen=True)
class ClassMeansOptions(Spec):
    """The options of class means.

    Example:
        >>> ClassMeansOptions().features
        'inputs'
    """

    features: Literal["inputs", "states"] = option(
        "inputs",
        "`inputs`, so that no network is trained, or `states`: those of the network's highest hidden layer, at the "
        "free equilibrium, when the class was learned",
    )


@takes(ClassMeansOptions)
class ClassMeans(Strategy):
    """Predict the class whose mean is nearest, and keep a mean and a number of samples for each class.

    On inputs it is what can be had without a network. On states the network is trained as usual, by whatever it is
    combined with, and only its output is replaced. The means of earlier classes are not computed anew as the network
    changes, since their samples are gone.

    Raises:
        ConfigError: for an unknown option.

    Example:
        >>> ClassMeans().trains, ClassMeans(features="states").trains
        (False, True)
    """

    adds_penalty = False

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(ClassMeansOptions, options)
        self.trains = self._on_states
        self.state.update(earlier=None, present=None)

    @property
    def _on_states(self) -> bool:
        return self._options.features == "states"

    def refuses(self, learner: Any, **kwargs: Any) -> Iterable[str]:
        """States need a network that has hidden ones."""
        if self._on_states and not has_hidden_states(learner.network):
            yield (
                "strategy.class_means.features: `states` needs a network with a hidden layer that clep knows, an "
                f"equilibrium or a feed-forward one, got {type(learner.network).__name__}; use features=inputs."
            )

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """The present classes become earlier ones; the means of inputs are known at once."""
        self.state["earlier"], self.state["present"] = self._sums, None
        if not self._on_states:
            self._take(strategy)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Take the means of states once before consolidation, after which accuracies are measured too."""
        if self._on_states and strategy.clock.train_exp_epochs + 1 >= strategy.train_epochs:
            self._take(strategy)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the means of states again, if the strategies before this one have changed the network."""
        others = (plugin for plugin in strategy.plugins if getattr(plugin, "consolidates", False))
        if self._on_states and (self.state["present"] is None or any(others)):
            self._take(strategy)
        self.state["earlier"] = None

    def read_out(self, network: nn.Module, x: Tensor) -> Tensor:
        """Half the negative square of the distance to each mean, up to a constant, (B, K)."""
        if (sums := self._sums) is None:
            return x.new_zeros(len(x), 1)
        return nearest_mean(self._features(network, x), sums)

    @property
    def _sums(self) -> ClassSums | None:
        """Those of all samples so far; the present ones may replace those of the same experience before sleep."""
        return self.state["earlier"] if self.state["present"] is None else self.state["present"]

    def _take(self, strategy: Any) -> None:
        samples = samples_of(strategy)
        features = self._features(strategy.model, samples.x.to(strategy.device)).cpu()
        earlier = self.state["earlier"] or ClassSums.none(features.shape[1])
        self.state["present"] = earlier.plus(features, samples.y)

    def _features(self, network: nn.Module, x: Tensor) -> Tensor:
        return hidden_states(network, x) if self._on_states else x.flatten(1)
