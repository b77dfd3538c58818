"""Dreams: train each experience together with samples of what earlier classes looked like, in the statistical sense.

No sample is stored. Of each class there is a mean, a few principal components with their spreads, and what is left: a
Gaussian of low rank. The network learns dreams by its own rule, like any other sample.

References:
    Tipping & Bishop 1999 (J. R. Stat. Soc. B 61:611): probabilistic principal components; here a residual per feature.
    Robins 1995 (Connection Science 7:123): rehearsal of made-up samples instead of stored ones.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy

_STORED = torch.float16


@dataclass(frozen=True)
class DreamsOptions(Spec):
    """The options of dreams.

    Example:
        >>> DreamsOptions(components=5).samples is None
        True
    """

    components: int = option(20, "principal components kept of each class", "[0, inf)")
    samples: int | None = option(
        None,
        "dreams of each earlier class in an experience; null for as many as a new class has samples, which balances "
        "old and new",
        "[1, inf)",
    )


@takes(DreamsOptions)
class Dreams(Strategy):
    """Append samples drawn from the statistics of every earlier class to the data of a new experience.

    Every experience draws new ones, and every epoch of it shows each once. Dreams stay within the range of all inputs
    seen so far. Statistics are kept as 16-bit numbers, 2 (components + 2) bytes per feature and class.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> Dreams(components=5).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    search_space: ClassVar = {"components": {"low": 1, "high": 50, "log": True}}

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(DreamsOptions, options)
        self.state["classes"] = {}
        self.state["range"] = None

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Dream of the earlier classes."""
        labels = torch.as_tensor(list(strategy.adapted_dataset.targets))
        new = torch.unique(labels).tolist()
        earlier = [label for label in self.state["classes"] if label not in new]
        n = self._options.samples or round(len(labels) / len(new))
        self.log("dreams/samples", n * len(earlier))
        if earlier:
            dreams = [self.dream(label, n) for label in earlier]
            self.rehearse(torch.cat(dreams), [label for label in earlier for _ in range(n)])

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the statistics of the classes just trained."""
        x, y, *_ = zip(*strategy.experience.dataset, strict=True)
        inputs, labels = torch.stack(x), torch.as_tensor(y)
        low, high = self.state["range"] or (math.inf, -math.inf)
        self.state["range"] = (min(low, float(inputs.min())), max(high, float(inputs.max())))
        for label in torch.unique(labels).tolist():
            known = self.state["classes"].get(label)
            found = Statistics.of(inputs[labels == label].flatten(1), self._options.components, known)
            self.state["classes"][label] = found
            self.state["shape"] = tuple(inputs.shape[1:])

    def dream(self, label: int, n: int) -> Tensor:
        """Draw inputs of a class, (n, ...).

        Args:
            label: a class that was trained before.
            n: how many.
        """
        flat = self.state["classes"][label].draw(n, self.generator)
        return flat.clamp(*self.state["range"]).view(n, *self.state["shape"])

    def memory(self) -> Memory:
        """The statistics."""
        return Memory(statistics_bytes=sum(statistics.nbytes for statistics in self.state["classes"].values()))


@dataclass(frozen=True)
class Statistics:
    """What is kept of a class with inputs of d features.

    Attributes:
        n: number of samples behind it.
        mean: (d,).
        factors: principal components times their standard deviations, (k, d).
        residual: standard deviation of what the components leave, (d,).

    Example:
        >>> import torch
        >>> of_class = Statistics.of(torch.rand(50, 8), components=3)
        >>> of_class.factors.shape, of_class.draw(4, torch.Generator()).shape
        (torch.Size([3, 8]), torch.Size([4, 8]))
    """

    n: int
    mean: Tensor
    factors: Tensor
    residual: Tensor

    @classmethod
    def of(cls, x: Tensor, components: int, known: "Statistics | None" = None) -> "Statistics":
        """The statistics of samples, and of those behind what is known already.

        The mean is exact. The components are those of all samples as far as the earlier ones are known, as in
        incremental principal component analysis (Ross et al. 2008); a residual adds to the variance of its feature.

        Args:
            x: samples, (n, d).
            components: number of components to keep.
            known: statistics of earlier samples of the class.
        """
        x = x.double()
        n, mean = len(x), x.mean(0)
        rows, apart = x - mean, torch.zeros_like(mean)
        if known is not None:
            old, m = known.mean.double(), known.n
            between = math.sqrt(n * m / (n + m)) * (old - mean)
            rows = torch.cat([rows, known.factors.double() * math.sqrt(max(m - 1, 0)), between[None]])
            apart = known.residual.double().square() * max(m - 1, 0)
            n, mean = n + m, (n * mean + m * old) / (n + m)
        _, deviations, directions = torch.linalg.svd(rows, full_matrices=False)
        factors = (deviations[:, None] * directions)[:components] / math.sqrt(max(n - 1, 1))
        variance = (rows.square().sum(0) + apart) / max(n - 1, 1)
        residual = (variance - factors.square().sum(0)).clamp_min(0.0).sqrt()
        return cls(n, *(part.to(_STORED) for part in (mean, factors, residual)))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Samples of the Gaussian, (n, d), float32.

        Args:
            n: how many.
            generator: source of the draws.
        """
        mean, factors, residual = (part.float() for part in (self.mean, self.factors, self.residual))
        along = torch.randn(n, len(factors), generator=generator) @ factors
        return mean + along + torch.randn(n, len(mean), generator=generator) * residual

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return sum(part.numel() * part.element_size() for part in (self.mean, self.factors, self.residual))
