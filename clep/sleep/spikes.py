"""Input spikes of a sleep, as a list of events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clep.compiling import compiled


@dataclass(frozen=True)
class Spikes:
    """Spikes of the inputs over some steps, as a list of events.

    Attributes:
        index: inputs that fired, step after step, ascending within a step, (events,) int64.
        start: where each step begins in `index`, and where the last one ends, (steps + 1,) int64.
        size: number of inputs.

    Example:
        >>> import numpy as np
        >>> spikes = Spikes.of(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]]))
        >>> spikes.index.tolist(), spikes.start.tolist()
        ([1, 2, 0], [0, 2, 2, 3])
        >>> spikes[2:].dense().tolist()
        [[True, False, False]]
    """

    index: np.ndarray
    start: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, steps: slice) -> "Spikes":
        first, last, _ = steps.indices(len(self))
        start = self.start[first : max(first, last) + 1]
        return Spikes(self.index[start[0] : start[-1]], start - start[0], self.size)

    @classmethod
    def of(cls, dense: np.ndarray) -> "Spikes":
        """Read spikes from an array (steps, size) that is nonzero where an input fires."""
        step, index = np.nonzero(dense)
        start = np.searchsorted(step, np.arange(len(dense) + 1))
        return cls(index.astype(np.int64), start.astype(np.int64), dense.shape[1])

    def dense(self) -> np.ndarray:
        """(steps, size) bool."""
        dense = np.zeros((len(self), self.size), bool)
        dense[self.step, self.index] = True
        return dense

    @property
    def step(self) -> np.ndarray:
        """The step of each event, (events,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def where(self, keep: np.ndarray) -> "Spikes":
        """Keep the events of a mask (events,)."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        return Spikes(self.index[keep], kept[self.start], self.size)


def bernoulli_spikes(probability: np.ndarray, steps: int, rng: np.random.Generator) -> Spikes:
    """Draw spikes: input i fires at each step with `probability[i]`, independently of everything else.

    It draws the gaps between an input's spikes. They are geometric: floor(e / -log(1 - p)) silent steps, with e
    exponentially distributed. This takes one number per spike, not one per input and step.

    Args:
        probability: (n,), in [0, 1].
        steps: number of steps.
        rng: source of randomness.

    Example:
        >>> import numpy as np
        >>> bernoulli_spikes(np.array([0.0, 1.0]), 2, np.random.default_rng(0)).dense().tolist()
        [[False, True], [False, True]]
    """
    probability = np.ascontiguousarray(probability, np.float64)
    mean = steps * float(probability.sum())
    gaps = rng.standard_exponential(int(mean + 6.0 * math.sqrt(mean)) + len(probability))
    while True:
        index, start, enough = _draw(probability, steps, gaps)
        if enough:
            return Spikes(index, start, len(probability))
        gaps = np.concatenate([gaps, rng.standard_exponential(len(gaps))])


def patched(spikes: Spikes, shape: Sequence[int], share: float, rng: np.random.Generator) -> Spikes:
    """Keep the spikes inside one random square per step, the same in all channels, each position equally likely.

    Args:
        spikes: of images (C, H, W).
        shape: C, H and W.
        share: side of the square as a share of each side of the image, in (0, 1], rounded to at least one pixel.
        rng: source of randomness.

    Example:
        >>> import numpy as np
        >>> from clep.sleep.spikes import Spikes
        >>> everywhere = Spikes.of(np.ones((1, 16)))
        >>> int(patched(everywhere, (1, 4, 4), 0.5, np.random.default_rng(0)).dense().sum())
        4
    """
    _, height, width = shape
    keep = np.ones(len(spikes.index), bool)
    for side, position in ((height, spikes.index // width % height), (width, spikes.index % width)):
        length = max(1, round(share * side))
        corner = rng.integers(side - length + 1, size=len(spikes))[spikes.step]
        keep &= (position >= corner) & (position < corner + length)
    return spikes.where(keep)


@compiled
def _draw(probability: np.ndarray, steps: int, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """`index` and `start` of Bernoulli spikes, and whether there were enough gaps.

    Drawn input by input, then sorted by step; the inputs of a step stay in order.
    """
    when, who = np.empty(len(gaps), np.int64), np.empty(len(gaps), np.int64)
    start = np.zeros(steps + 1, np.int64)
    events = used = 0
    for i in range(len(probability)):
        if probability[i] <= 0.0:
            continue
        scale = -1.0 / math.log1p(-probability[i]) if probability[i] < 1.0 else 0.0
        t = -1.0  # a float: a gap may exceed any integer
        while True:
            if used == len(gaps):
                return who[:0], start, False
            t += 1.0 + np.floor(gaps[used] * scale)
            used += 1
            if not t < steps:
                break
            when[events], who[events] = int(t), i
            start[when[events] + 1] += 1
            events += 1
    start = np.cumsum(start)
    index, place = np.empty(events, np.int64), start.copy()
    for event in range(events):
        index[place[when[event]]] = who[event]
        place[when[event]] += 1
    return index, start, True
