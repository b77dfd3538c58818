"""Statistics over seeds: means with intervals, differences paired by seed, and whether they are shown.

Seeds are the unit: two cells with the same seed share its class order, its data and its first weights where they can,
so differences are taken within a seed. Intervals and tests are for one comparison at a time; nothing is adjusted for
how many are made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval."""
FEWEST_FOR_A_TEST = 6
"""Seeds from which the sign-flip test can fall below 0.05: with 5, its lowest p is 2 / 2^5 = 0.0625."""
_ALL_FLIPS = 2**17  # sign patterns that are enumerated; beyond that, as many are drawn
_TOO_SMALL = 1e-12  # a spread below this is rounding


@dataclass(frozen=True)
class Summary:
    """A number over seeds.

    Attributes:
        by_seed: seed -> value.
        mean: None without values.
        sd: standard deviation (ddof 1); None for fewer than two values.
        low, high: the 95 % t interval of the mean; None for fewer than two values.
    """

    by_seed: Mapping[int, float]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.by_seed)


@dataclass(frozen=True)
class Paired(Summary):
    """Differences between two cells over the seeds they share, first - second; `by_seed` holds one for each.

    Attributes:
        p: of the exact two-sided sign-flip test of no difference; None below `FEWEST_FOR_A_TEST` seeds.
        only_first, only_second: seeds that only one of the cells has.
    """

    p: float | None
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]

    @property
    def effect(self) -> float | None:
        """Mean difference over the standard deviation of the differences, Cohen's d_z; None if that is zero or
        undefined."""
        return self.mean / self.sd if self.mean is not None and self.sd is not None and self.sd > _TOO_SMALL else None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero and, where there is a test, p is below 0.05."""
        if self.low is None or self.high is None or self.low <= 0.0 <= self.high:
            return False
        return self.p is None or self.p < 1.0 - CONFIDENCE

    @property
    def identical(self) -> bool:
        """Whether no seed differs."""
        return self.n > 0 and all(abs(value) < _TOO_SMALL for value in self.by_seed.values())

    def agreeing(self, better: Literal["lower", "higher"]) -> int:
        """Number of seeds in which the first cell is better."""
        sign = 1.0 if better == "higher" else -1.0
        return sum(sign * value > _TOO_SMALL for value in self.by_seed.values())

    @property
    def verdict(self) -> str:
        """Whether the difference is real, in words.

        Example:
            >>> from clep.statistics import paired
            >>> paired({0: 0.5, 1: 0.6}, {0: 0.2, 1: 0.25}).verdict, paired({0: 0.5}, {0: 0.2}).verdict
            ('shown with 2 seeds', 'not shown with 1 seed')
        """
        seeds = f"{self.n} seed{'' if self.n == 1 else 's'}"
        if self.n == 0:
            return "no seed in common"
        if self.identical:
            return f"no difference in {seeds}"
        return f"{'shown' if self.shown else 'not shown'} with {seeds}"


def summary(by_seed: Mapping[int, float | None]) -> Summary:
    """Mean, standard deviation and 95 % t interval over seeds.

    Args:
        by_seed: seed -> value; None and NaN are dropped.

    Example:
        >>> found = summary({0: 0.5, 1: 0.7, 2: 0.6})
        >>> found.n, round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (3, 0.6, 0.352, 0.848)
    """
    defined = {seed: float(value) for seed, value in by_seed.items() if value is not None and not np.isnan(value)}
    return Summary(defined, *_moments(list(defined.values())))


def paired(first: Mapping[int, float | None], second: Mapping[int, float | None]) -> Paired:
    """Compare two cells over the seeds they share.

    From `FEWEST_FOR_A_TEST` seeds on it includes the sign-flip test (Fisher's randomisation test): if the cells did not
    differ, each difference could as well have the other sign. All sign patterns are enumerated up to 17 seeds; with
    more, 131 072 patterns are drawn with a fixed seed.

    Args:
        first, second: seed -> value; None and NaN are dropped.

    Example:
        >>> found = paired({0: 0.5, 1: 0.6, 2: 0.5}, {0: 0.2, 1: 0.25})
        >>> round(found.mean, 3), found.n, found.only_first
        (0.325, 2, (2,))
    """
    a, b = summary(first).by_seed, summary(second).by_seed
    differences = {seed: a[seed] - b[seed] for seed in a if seed in b}
    return Paired(
        differences,
        *_moments(list(differences.values())),
        p=_sign_flip(list(differences.values())),
        only_first=tuple(seed for seed in a if seed not in b),
        only_second=tuple(seed for seed in b if seed not in a),
    )


def above_chance(accuracy: float, samples: int, chance: float) -> bool:
    """Whether an accuracy is above chance: the exact one-sided 95 % binomial interval (Clopper & Pearson, 1934) of the
    share of hits lies above it.

    Seeds share their evaluation samples, so the mean accuracy of a cell counts as one set of samples, not as many.

    Args:
        accuracy: share of hits.
        samples: number of evaluation samples.
        chance: accuracy of the best constant answer.

    Example:
        >>> above_chance(0.2, 360, 0.1), above_chance(0.11, 360, 0.1)
        (True, False)
    """
    hits = round(accuracy * samples)
    return bool(stats.binomtest(hits, samples, chance, alternative="greater").pvalue < 1.0 - CONFIDENCE)


def seeds_in_words(seeds: Iterable[int]) -> str:
    """Seeds by number.

    Example:
        >>> seeds_in_words([0, 1, 2]), seeds_in_words([0, 1, 2, 3, 4, 5, 8])
        ('0, 1, 2', '0-5, 8')
    """
    ordered = sorted(seeds)
    runs: list[list[int]] = []
    for seed in ordered:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def _moments(values: Sequence[float]) -> tuple[float | None, float | None, float | None, float | None]:
    """Mean, standard deviation and both ends of the t interval."""
    n = len(values)
    if n == 0:
        return None, None, None, None
    mean = float(np.mean(values))
    if n == 1:
        return mean, None, None, None
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, n - 1)) * sd / n**0.5
    return mean, sd, mean - half, mean + half


def _sign_flip(differences: Sequence[float]) -> float | None:
    if len(differences) < FEWEST_FOR_A_TEST:
        return None
    test = stats.permutation_test(
        (np.asarray(differences),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_ALL_FLIPS,
        batch=_ALL_FLIPS // 16,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)
