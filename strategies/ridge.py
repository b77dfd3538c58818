"""Random features with ridge regression: a control in closed form, from sums over samples, without a trained network.

References:
    Zhuang et al. 2022 (NeurIPS, arXiv 2205.14922): class-incremental ridge regression is that of all data at once.
    Huang et al. 2006 (Neurocomputing 70:489): random hidden units with a least-squares read-out.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clep.class_sums import only, samples_of
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Strategy

_BATCH = 1000  # samples whose features are in memory at a time


@dataclass(frozen=True)
class RidgeOptions(Spec):
    """The options of ridge regression on random features.

    Example:
        >>> RidgeOptions(features=200).penalty
        1.0
    """

    features: int = option(1000, "random ReLU units; the memory grows with their square", "[1, inf)")
    penalty: float = option(1.0, "of the squared weights, against the sum of squared errors", "(0, inf)")
    seed: int | None = option(None, "of the random units; null for one that follows from that of the run", "[0, inf)")


@takes(RidgeOptions)
class Ridge(Strategy):
    """Predict by least squares on random ReLU features of the inputs, from summed normal equations.

    The sums are those of all samples so far in whatever order they came, so nothing is forgotten: the weights are those
    of ridge regression on all of them at once. The random units are made from their seed whenever they are needed, and
    are no memory. No network is trained.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> Ridge(features=100).trains
        False
    """

    trains = False
    adds_penalty = False
    search_space: ClassVar = {"penalty": {"low": 0.01, "high": 1000.0, "log": True}}

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(RidgeOptions, options)
        self.state.update(gram=None, moments=None, counts=None, weights=None)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Add the samples of the experience."""
        samples = samples_of(strategy)
        self.add(samples.x.flatten(1), samples.y)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add samples.

        Args:
            x: inputs, (n, d).
            y: class indices, (n,).
        """
        units = self._options.features + 1
        gram = x.new_zeros(units, units, dtype=torch.float64)
        moments = x.new_zeros(int(y.max()) + 1, units, dtype=torch.float64)
        for part, labels in zip(x.split(_BATCH), y.split(_BATCH), strict=True):
            found = self.featured(part)
            gram += found.T @ found
            moments.index_add_(0, labels, found.double())
        counts = torch.bincount(y, minlength=len(moments))
        if self.state["gram"] is not None:
            gram += self.state["gram"]
            moments, counts = _sum(moments, self.state["moments"]), _sum(counts, self.state["counts"])
        self.state.update(gram=gram.float(), moments=moments.float(), counts=counts)
        penalised = gram + self._options.penalty * torch.eye(len(gram), dtype=torch.float64)
        self.state["weights"] = torch.linalg.solve(penalised, moments.T).T.float().contiguous()

    def featured(self, x: Tensor) -> Tensor:
        """Random features of inputs, and a constant one, (n, features + 1).

        Args:
            x: inputs, (n, d).
        """
        seed = self.generator.initial_seed() if self._options.seed is None else self._options.seed
        units = _units(seed, x.shape[1], self._options.features).to(x.device)
        return torch.cat([torch.relu(x @ units[:-1] + units[-1]), x.new_ones(len(x), 1)], dim=1)

    def read_out(self, network: nn.Module, x: Tensor) -> Tensor:
        """The regression on the classes, (B, K)."""
        if self.state["weights"] is None:
            return x.new_zeros(len(x), 1)
        scores = self.featured(x.flatten(1)) @ self.state["weights"].to(x.device).T
        return only(self.state["counts"].nonzero().flatten(), scores)


@lru_cache(maxsize=2)
def _units(seed: int, inputs: int, features: int) -> Tensor:
    """Weights and biases of random units, (inputs + 1, features)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(inputs + 1, features, generator=generator) / math.sqrt(inputs)


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """The sum of two tensors of which one may have fewer rows."""
    longer = one.new_zeros(max(len(one), len(other)), *one.shape[1:])
    longer[: len(one)] += one
    longer[: len(other)] += other
    return longer
