"""Streaming linear discriminant analysis: a control of class means and one covariance, without network or samples.

References:
    Hayes & Kanan 2020 (CVPR workshops, arXiv 1909.01520): streaming LDA; there on features of a trained network.
    Chan et al. 1979 (Stanford CS-79-773): adding the scatter of two sets.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clep.class_sums import ClassSums, only, samples_of
from clep.errors import ConfigError
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Strategy

MOST_INPUTS = 20_000
"""Inputs whose covariance is still kept: 1.6 GB of 32-bit numbers."""


@dataclass(frozen=True)
class SLDAOptions(Spec):
    """The options of streaming LDA.

    Example:
        >>> SLDAOptions(shrinkage=0.1).shrinkage
        0.1
    """

    shrinkage: float = option(
        0.01, "weight of a multiple of the identity, with the same trace, in the covariance", "(0, 1]"
    )


@takes(SLDAOptions)
class SLDA(Strategy):
    """Predict by linear discriminants of the inputs, from class means and the covariance within classes.

    Both are exact over all samples so far, however they are divided into experiences. The shrinkage is relative to the
    mean variance, as in scikit-learn; classes have equal priors. No network is trained.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> SLDA().trains
        False
    """

    trains = False
    adds_penalty = False
    search_space: ClassVar = {"shrinkage": {"low": 1e-4, "high": 0.5, "log": True}}

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(SLDAOptions, options)
        self.state.update(sums=None, scatter=None, weights=None)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Add the samples of the experience."""
        samples = samples_of(strategy)
        self.add(samples.x.flatten(1), samples.y)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add samples.

        Args:
            x: inputs, (n, d).
            y: class indices, (n,).

        Raises:
            ConfigError: for more than `MOST_INPUTS` inputs.
        """
        if x.shape[1] > MOST_INPUTS:
            raise ConfigError(
                f"strategies: `slda` keeps a covariance of its inputs, and {x.shape[1]} of them are more than the "
                f"{MOST_INPUTS} that fit; leave it out, in a comparison by controls=[naive,joint,class_means,ridge]"
            )
        known = self.state["sums"] or ClassSums.none(x.shape[1])
        scatter = x.new_zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        if self.state["scatter"] is not None:
            scatter += self.state["scatter"]
        for label in y.unique().tolist():
            rows = x[y == label].double()
            n, mean = len(rows), rows.mean(0)
            scatter += (rows - mean).T @ (rows - mean)
            if label < len(known.counts) and (m := int(known.counts[label])):
                apart = mean - known.sums[label].double() / m
                scatter += n * m / (n + m) * torch.outer(apart, apart)
        self.state["sums"], self.state["scatter"] = known.plus(x, y), scatter.float()
        self.state["weights"] = self._discriminants()

    def read_out(self, network: nn.Module, x: Tensor) -> Tensor:
        """The discriminants, (B, K)."""
        if (sums := self.state["sums"]) is None:
            return x.new_zeros(len(x), 1)
        weights = self.state["weights"].to(x.device)
        offsets = (weights * sums.means.to(x.device)).sum(1) / 2
        return only(sums.known, x.flatten(1) @ weights.T - offsets)

    def _discriminants(self) -> Tensor:
        """The precision times the mean of each class, (K, d)."""
        sums, s = self.state["sums"], self._options.shrinkage
        covariance = self.state["scatter"].double() / int(sums.counts.sum())
        variance = covariance.diagonal().mean().clamp_min(1e-12)  # inputs that are all the same have none
        shrunk = (1.0 - s) * covariance + s * variance * torch.eye(len(covariance), dtype=torch.float64)
        return torch.linalg.solve(shrunk, sums.means.double().T).T.float().contiguous()
