"""How large and how distributed the hidden states of a network are, step by step of its free phase."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clep.equilibrium import Network


class Activity(NamedTuple):
    """One value per step of the free phase, starting with the first, for one hidden layer.

    Attributes:
        magnitude: mean of |s|; see `magnitude`.
        participation: effective number of dimensions, NaN if nothing varies; see `participation_ratio`.
    """

    magnitude: list[float]
    participation: list[float]


def magnitude(states: Tensor) -> float:
    """Mean of |s| over samples and units."""
    return float(states.abs().mean())


def participation_ratio(states: Tensor) -> float:
    """(sum_i lambda_i)^2 / sum_i lambda_i^2 of the covariance's eigenvalues over samples, of `states` (B, ...).

    It lies between 1 (all samples on a line) and the smaller of units and B - 1; NaN if all samples are the same.
    """
    centred = states.flatten(1).double()
    centred = centred - centred.mean(0)
    # Samples by samples or units by units, the spectrum is the same, and only its trace and norm are needed.
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    return float(gram.trace().square() / gram.square().sum())


@torch.no_grad()
def free_phase_activity(network: Network, x: Tensor) -> list[Activity]:
    """Activity of each hidden layer, lowest first, while `network` relaxes on a batch `x` (B, ...)."""
    layers = [Activity([], []) for _ in range(network.hidden)]

    def watch(states: Sequence[Tensor]) -> None:
        for activity, state in zip(layers, states, strict=False):
            activity.magnitude.append(magnitude(state))
            activity.participation.append(participation_ratio(state))

    network.free_phase(x, watch)
    return layers
