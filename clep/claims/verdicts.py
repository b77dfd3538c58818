"""Differences between two cells of a claim, paired by seed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """A comparison of two cells over the seeds that both have.

    Attributes:
        difference: mean of the paired differences of final accuracy, None without seeds in common.
        interval: its 95 % t interval, None for fewer than two seeds.
        words: what that says.
    """

    above: str
    below: str
    difference: float | None
    interval: tuple[float, float] | None
    words: str


def verdict(a: str, b: str, first: Mapping[int, float], second: Mapping[int, float]) -> Verdict:
    """Compare cell `a` with cell `b`.

    Args:
        a, b: their labels.
        first, second: seed -> final accuracy.
    """
    differences = np.array([first[seed] - second[seed] for seed in first if seed in second])
    n = len(differences)
    if n == 0:
        return Verdict(a, b, None, None, f"{a} against {b}: not run")
    mean, better = float(differences.mean()), int((differences > 0).sum())
    text = f"{a} - {b} = {mean:+.3f}"
    if n == 1:
        return Verdict(a, b, mean, None, f"{text} (one seed)")
    half = float(stats.t.ppf(0.5 + _CONFIDENCE / 2.0, n - 1) * differences.std(ddof=1) / n**0.5)
    low, high = mean - half, mean + half
    judged = "above" if low > 0.0 else "below" if high < 0.0 else "no difference shown"
    words = f"{text} [{low:+.3f}, {high:+.3f}], higher in {better} of {n} seeds: {judged}"
    return Verdict(a, b, mean, (low, high), words)
