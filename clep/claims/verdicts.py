"""Differences between two cells of a claim, paired by seed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """A comparison of two cells over the seeds they share.

    Attributes:
        difference: mean of the paired differences in final accuracy; None without common seeds.
        interval: its 95 % t interval; None for fewer than two seeds.
        words: the same as a sentence.
    """

    difference: float | None
    interval: tuple[float, float] | None
    words: str


def verdict(a: str, b: str, first: Mapping[int, float], second: Mapping[int, float]) -> Verdict:
    """Compare cell `a` with cell `b`.

    Args:
        a, b: their labels.
        first, second: seed -> final accuracy of each.

    Example:
        >>> verdict("sleep", "naive", {0: 0.5, 1: 0.6}, {0: 0.2, 1: 0.25}).words
        'sleep - naive = +0.325 [+0.007, +0.643], higher in 2 of 2 seeds: above'
    """
    differences = np.array([first[seed] - second[seed] for seed in first if seed in second])
    n = len(differences)
    if n == 0:
        return Verdict(None, None, f"{a} against {b}: not run")
    mean, better = float(differences.mean()), int((differences > 0).sum())
    text = f"{a} - {b} = {mean:+.3f}"
    if n == 1:
        return Verdict(mean, None, f"{text} (one seed)")
    half = float(stats.t.ppf(0.5 + _CONFIDENCE / 2.0, n - 1) * differences.std(ddof=1) / n**0.5)
    low, high = mean - half, mean + half
    judged = "above" if low > 0.0 else "below" if high < 0.0 else "no difference shown"
    words = f"{text} [{low:+.3f}, {high:+.3f}], higher in {better} of {n} seeds: {judged}"
    return Verdict(mean, (low, high), words)
