"""A sleep that calibrates itself: thresholds follow the neurons, and its length is counted in their spikes.

Nothing here belongs to a data set, a width or a depth. Thresholds move until each layer fires at a rate that is given
(homeostasis); what a spike changes is a share of the spread of the weights; and someone outside, who sees the weights
after every few spikes per neuron, says when it is enough.

The rule is that of `clep.sleep.rule`, but whether a lower neuron has fired makes no difference: a neuron that fires
weakens its synapses, negative ones most and strong positive ones hardly at all. In searches for the published form
nothing else mattered: with the constants that were found, nearly every synapse of a neuron that fires loses on average,
and random patterns do as well as replayed ones.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clep import interrupts
from clep.sleep.rule import SpikingParameters
from clep.sleep.simulation import simulation
from clep.sleep.spikes import Spikes

RATE = 0.02
"""Spikes per neuron and step that the thresholds of each layer are moved to."""
GATE_WIDTH = 0.2
"""Width of the gate, in standard deviations of the layer's weights at the first sleep."""
DECAY = 0.98
"""Factor on the potentials per step: with integration this long a neuron sleeps until its mean input is weak."""
INPUT_RATE = 0.3
"""Spikes per step of the input with the largest mean."""

PIECE = 25  # steps from one move of the thresholds to the next: half a spike per neuron
PIECES = 200  # of the longest sleep
_SETTLING = 30  # pieces without changes of weights, in which the thresholds find their places
_BETWEEN = 0.2  # spikes per neuron from one look at the weights to the next
_QUIET = 15  # pieces without a spike after which nothing more is to come
_LOWEST = 1e-6  # of a threshold, as a share of the one it began with: at zero every silent neuron would fire


class CalibratedSleep:
    """A sleep of dense layers; those below the output learn, or a single layer.

    Args:
        weights: (n_l, n_{l-1}) of each layer, lowest first; copied.
        scales: standard deviation of each layer's weights, the unit of their changes.
        drives: of each layer, the largest pre-activation awake; thresholds begin as a tenth of it.
        depression: what a synapse loses per spike of its upper neuron before the gate, in units of `scales`; n hidden
            layers share it, since what one loses the next does without.
        decays: of each layer, one for all neurons or one each.
        masks: of each layer, 0 where there is no synapse, (n_l, n_{l-1}); None where there are all.
        feedback, inhibition: see `SpikingParameters`.
        **options: `symmetric`, `shuffled` and `rng`; see `CompiledSimulation`.

    Attributes:
        steps: that the sleep has taken, without those in which thresholds settle.

    Example:
        >>> import numpy as np, torch
        >>> from clep.sleep.spikes import bernoulli_spikes
        >>> rng, weights = np.random.default_rng(0), [torch.rand(20, 30) - 0.3, torch.rand(4, 20)]
        >>> asleep = CalibratedSleep(weights, [0.3, 0.3], [4.0, 4.0], depression=0.01, decays=[0.98, 0.98])
        >>> lower, upper = next(asleep.run(lambda steps: bernoulli_spikes(np.full(30, 0.3), steps, rng)))
        >>> bool((torch.as_tensor(lower) < weights[0]).any()), bool((torch.as_tensor(upper) == weights[1]).all())
        (True, True)
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        scales: Sequence[float],
        drives: Sequence[float],
        *,
        depression: float,
        decays: Sequence[float | np.ndarray],
        masks: Sequence[Tensor | None] = (),
        feedback: float = 0.0,
        inhibition: float = 0.0,
        **options: Any,
    ) -> None:
        self.learning = range(max(1, len(weights) - 1))
        self._losses = [
            depression / len(self.learning) * scale if layer in self.learning else 0.0
            for layer, scale in enumerate(scales)
        ]
        self._parameters = [
            SpikingParameters(
                decay=decay,
                threshold=0.1 * max(drive, 1e-12),
                increment=0.0,
                decrement=0.0,
                gate_width=GATE_WIDTH * scale,
                feedback=feedback,
                inhibition=inhibition,
            )
            for scale, drive, decay in zip(scales, drives, decays, strict=True)
        ]
        self._lowest = [_LOWEST * p.threshold for p in self._parameters]
        self._asleep = simulation(weights, self._parameters, **options)
        self._masks = [
            None if mask is None else mask.to(torch.as_tensor(weight))
            for weight, mask in zip(self._asleep.weights, masks or [None] * len(weights), strict=True)
        ]
        self._before = [np.zeros_like(count) for count in self._asleep.counts]
        self.steps = 0

    @property
    def counts(self) -> list[np.ndarray]:
        """Spikes of each neuron since the thresholds had settled, (n_l,) of each layer."""
        return [now - before for now, before in zip(self._asleep.counts, self._before, strict=True)]

    @property
    def weights(self) -> list[Any]:
        """(n_l, n_{l-1}) of each layer at present."""
        return self._asleep.weights

    def is_compiled(self) -> bool:
        """See `Simulation`."""
        return self._asleep.is_compiled()

    def run(self, draw: Callable[[int], Spikes]) -> Iterator[list[Any]]:
        """Sleep; yield the weights after every few spikes per neuron. Whoever asks for no more ends the sleep.

        Args:
            draw: number of steps -> spikes of the inputs.
        """
        for _ in range(_SETTLING):
            self._piece(draw)
        self._before = [count.copy() for count in self._asleep.counts]
        self._parameters = [
            replace(p, decrement=loss, increment=-loss) for p, loss in zip(self._parameters, self._losses, strict=True)
        ]
        shown = latest = 0.0
        quiet = 0
        for _ in range(PIECES):
            interrupts.check()
            self._piece(draw)
            self.steps += PIECE
            fired = max(float(self.counts[layer].mean()) for layer in self.learning)
            quiet = 0 if fired > latest else quiet + 1
            latest = fired
            if fired - shown >= _BETWEEN:
                shown = fired
                yield self.weights
            if quiet == _QUIET:
                break
        if latest > shown:
            yield self.weights

    def _piece(self, draw: Callable[[int], Spikes]) -> None:
        """Some steps, then a move of every threshold towards the rate."""
        self._asleep.set(self._parameters)
        before = [float(count.mean()) for count in self._asleep.counts]
        self._asleep.run(draw(PIECE))
        for weight, mask in zip(self._asleep.weights, self._masks, strict=True):
            if mask is not None:
                torch.as_tensor(weight).mul_(mask)  # in place, in the array too: the rule knows no missing synapses
        for layer, count in enumerate(self._asleep.counts):
            p, rate = self._parameters[layer], (float(count.mean()) - before[layer]) / PIECE
            moved = p.threshold * moves(rate / RATE)
            self._parameters[layer] = replace(p, threshold=max(moved, self._lowest[layer]))


def moves(ratio: float) -> float:
    """The factor on a threshold whose layer fired at `ratio` times the rate it should have.

    Half way in logarithms, and at most by e^(1/2) at a time, for a layer that does not fire at all says nothing of how
    far its threshold is off.

    Example:
        >>> moves(1.0), round(moves(100.0), 2), round(moves(0.0), 2)
        (1.0, 1.65, 0.61)
    """
    return math.exp(0.5 * min(1.0, max(-1.0, math.log((ratio + 0.05) / 1.05))))
