"""Where forgetting sits: whether hidden states still tell classes apart that the outputs no longer do."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from clep.class_sums import ClassSums, nearest_mean
from clep.diagnostics.hidden import has_hidden_states, hidden_states
from clep.streams import Experience, Samples

LEARNED_PER_CLASS = 100
"""Training samples that the mean of a class is taken of."""
TESTED = 1000
"""Evaluation samples that are classified."""


def accuracy_of_hidden_means(
    network: nn.Module, learned: Sequence[Experience], tested: Sequence[Experience], device: torch.device
) -> float:
    """Accuracy of the nearest class mean on states of the highest hidden layer, as the network is now.

    The means are taken anew of training samples of all these experiences. So this is a measurement and no method:
    nothing is learned from it. Where it stays high while the network's own accuracy falls, the hidden states still tell
    the classes apart, and it is the output layer that has forgotten.

    Args:
        network: what to look at.
        learned: training experiences; `LEARNED_PER_CLASS` samples of each class count.
        tested: evaluation experiences; `TESTED` of their samples count.
        device: where the network is.

    Returns:
        The accuracy; NaN if there is nothing to test, or no hidden layer.

    Example:
        >>> import clep, torch
        >>> stream = clep.stream("digits", experiences=5, samples_per_experience=40)
        >>> network = clep.Network([64, 32, 10])
        >>> accuracy_of_hidden_means(network, stream.train[:1], stream.evaluation[:1], torch.device("cpu")) > 0.6
        True
    """
    if not has_hidden_states(network) or sum(map(len, tested)) == 0:
        return math.nan
    samples = _joined(learned)
    of_class = [(samples.y == label).nonzero().flatten() for label in samples.y.unique().tolist()]
    chosen = samples.rows(torch.cat([_spread(rows, LEARNED_PER_CLASS) for rows in of_class]))
    states = hidden_states(network, chosen.x.to(device)).cpu()
    sums = ClassSums.none(states.shape[1]).plus(states, chosen.y)
    every = _joined(tested)
    asked = every.rows(_spread(torch.arange(len(every)), TESTED))
    scores = nearest_mean(hidden_states(network, asked.x.to(device)).cpu(), sums)
    return float((scores.argmax(1) == asked.y).float().mean())


def _joined(experiences: Sequence[Experience]) -> Samples:
    parts = [experience.samples for experience in experiences]
    return Samples(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))


def _spread(rows: torch.Tensor, most: int) -> torch.Tensor:
    """At most so many rows, evenly spread."""
    return rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()]
