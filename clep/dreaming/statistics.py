"""Statistics of a class: a Gaussian of low rank, whose components follow a mixture instead of a bell curve.

References:
    Tipping & Bishop 1999 (J. R. Stat. Soc. B 61:611): probabilistic principal components; here a residual per feature.
    Ross, Lim, Lin & Yang 2008 (Int. J. Comput. Vis. 77:125): principal components of data that come in parts.
"""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.dreaming.packed import Packed, StoredAs, packed

_SAMPLES_PER_MODE = 10  # at least; a mode of fewer would be close to a stored sample
_ITERATIONS = 30  # of expectation maximisation; more change no accuracy
_LEAST_VARIANCE = 1e-3  # of a mode, as a share of the variance along the first component


@dataclass(frozen=True, eq=False)
class Modes:
    """A mixture of Gaussians over the components, each component in units of its standard deviation.

    Attributes:
        weights: share of each mode, float16, (m,).
        centers: float16, (m, k).
        spreads: standard deviations, float16, (m, k).
    """

    weights: Tensor
    centers: Tensor
    spreads: Tensor

    @classmethod
    def of(cls, along: Tensor, modes: int, seed: int) -> "Modes":
        """Fit a mixture by expectation maximisation.

        Args:
            along: coordinates of samples along the components, (n, k); the first has the largest variance.
            modes: number of Gaussians.
            seed: of the k-means that the fit begins with.
        """
        from sklearn.exceptions import ConvergenceWarning  # scikit-learn takes seconds to import
        from sklearn.mixture import GaussianMixture

        deviations = along.std(0).clamp_min(1e-12)
        mixture = GaussianMixture(
            modes,
            covariance_type="diag",
            max_iter=_ITERATIONS,
            reg_covar=_LEAST_VARIANCE * float(deviations[0].square()),
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(along.numpy())
        fitted = (torch.as_tensor(part) for part in (mixture.weights_, mixture.means_, mixture.covariances_))
        weights, centers, variances = fitted
        parts = (weights, centers / deviations, variances.sqrt() / deviations)
        return cls(*(part.to(torch.float16) for part in parts))

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Coordinates in units of the standard deviations, (n, k), float32.

        Args:
            n: how many.
            generator: source of the draws.
        """
        mode = torch.multinomial(self.weights.float(), n, replacement=True, generator=generator)
        around = torch.randn(n, self.centers.shape[1], generator=generator)
        return self.centers[mode].float() + around * self.spreads[mode].float()

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return self.weights.nbytes + self.centers.nbytes + self.spreads.nbytes


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is kept of a class with inputs of d features.

    Attributes:
        n: number of samples behind it.
        mean: (d,).
        factors: principal components times their standard deviations, (k, d).
        residual: standard deviation of what the components leave, (d,).
        modes: how samples lie along the components; None for a bell curve along each.

    Example:
        >>> import torch
        >>> of_class = Statistics.of(torch.rand(50, 8), components=3)
        >>> of_class.factors.numbers.shape, of_class.draw(4, torch.Generator()).shape
        (torch.Size([3, 8]), torch.Size([4, 8]))
    """

    n: int
    mean: Packed
    factors: Packed
    residual: Packed
    modes: Modes | None = None

    @classmethod
    def of(
        cls,
        x: Tensor,
        components: int,
        known: "Statistics | None" = None,
        *,
        modes: int = 1,
        stored_as: StoredAs = "float16",
        generator: torch.Generator | None = None,
    ) -> "Statistics":
        """The statistics of samples, and of those behind what is known already.

        The mean is exact up to the bits. The components are those of all samples as far as the earlier ones are known,
        as in incremental principal component analysis; a residual adds to the variance of its feature. The modes are
        then those of the new samples and of as many draws as there were earlier ones.

        Args:
            x: samples, (n, d).
            components: number of components to keep.
            known: statistics of earlier samples of the class.
            modes: Gaussians along the components, at most one for ten samples; 1 for a bell curve.
            stored_as: in which form to keep them.
            generator: source of what the fit of the modes draws; torch's global one if None.
        """
        x = x.double()
        n, mean = len(x), x.mean(0)
        rows, apart, earlier = x - mean, torch.zeros_like(mean), x[:0]
        if known is not None:
            old, m = known.mean.numbers.double(), known.n
            between = math.sqrt(n * m / (n + m)) * (old - mean)
            rows = torch.cat([rows, known.factors.numbers.double() * math.sqrt(max(m - 1, 0)), between[None]])
            apart = known.residual.numbers.double().square() * max(m - 1, 0)
            n, mean = n + m, (n * mean + m * old) / (n + m)
            earlier = known.draw(m, generator).double() if modes > 1 else earlier
        _, deviations, directions = torch.linalg.svd(rows, full_matrices=False)
        factors = (deviations[:, None] * directions)[:components] / math.sqrt(max(n - 1, 1))
        variance = (rows.square().sum(0) + apart) / max(n - 1, 1)
        residual = (variance - factors.square().sum(0)).clamp_min(0.0).sqrt()
        found, modes = None, min(modes, n // _SAMPLES_PER_MODE)
        if modes > 1 and len(factors):
            along = (torch.cat([x, earlier]) - mean) @ directions[: len(factors)].T
            found = Modes.of(along, modes, int(torch.randint(2**31, (), generator=generator)))
        kept = [packed(part, stored_as) for part in (mean, factors, residual)]
        return cls(n, kept[0], kept[1], kept[2], found)

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Samples, (n, d), float32.

        Args:
            n: how many.
            generator: source of the draws; torch's global one if None.
        """
        mean, factors, residual = (part.numbers for part in (self.mean, self.factors, self.residual))
        if self.modes is None:
            along = torch.randn(n, len(factors), generator=generator)
        else:
            along = self.modes.draw(n, generator)
        return mean + along @ factors + torch.randn(n, len(mean), generator=generator) * residual

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        along = 0 if self.modes is None else self.modes.nbytes
        return along + sum(part.nbytes for part in (self.mean, self.factors, self.residual))
