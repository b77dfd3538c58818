"""Differences between two cells of a claim, paired by seed."""

from collections.abc import Mapping
from dataclasses import dataclass

from clep.statistics import paired


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
    found = paired(first, second)
    if found.mean is None:
        return Verdict(None, None, f"{a} against {b}: not run")
    text = f"{a} - {b} = {found.mean:+.3f}"
    if found.low is None or found.high is None:
        return Verdict(found.mean, None, f"{text} (one seed)")
    judged = "no difference shown" if not found.shown else "above" if found.mean > 0.0 else "below"
    p = "" if found.p is None else f", p = {found.p:.2g}"
    better = f"higher in {found.agreeing('higher')} of {found.n} seeds{p}"
    words = f"{text} [{found.low:+.3f}, {found.high:+.3f}], {better}: {judged}"
    return Verdict(found.mean, (found.low, found.high), words)
