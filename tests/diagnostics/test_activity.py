"""Magnitude and participation ratio of hidden states, by hand and by an eigenvalue decomposition."""

import math

import numpy as np
import pytest
import torch

from clep.diagnostics.activity import free_phase_activity, magnitude, participation_ratio
from tests.oracles import phi
from tests.oracles.networks import biased


def test_magnitude_is_the_mean_absolute_state():
    assert magnitude(torch.tensor([[1.0, -2.0], [0.0, 3.0]])) == 1.5


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], 1.0),  # on a line
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], 2.0),  # variances 1/2 and 1/2: 1^2 / (1/4 + 1/4)
        ([[2.0, 5.0], [-2.0, 5.0], [0.0, 6.0], [0.0, 4.0]], 25 / 17),  # sums of squares 8 and 2: 10^2 / (64 + 4)
        ([[3.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]], 2.0),  # an equilateral triangle
    ],
)
def test_participation_ratio_by_hand(states, expected):
    """Neither the mean nor the scale counts; more units than samples give the same spectrum."""
    states = torch.tensor(states)
    assert participation_ratio(states) == pytest.approx(expected)
    assert participation_ratio(7.0 + 0.1 * states) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_participation_ratio_is_that_of_the_covariances_eigenvalues(shape):
    states = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    eigenvalues = np.linalg.eigvalsh(np.cov(states.double().numpy(), rowvar=False))
    assert participation_ratio(states) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def test_states_that_do_not_vary_have_no_participation_ratio():
    assert math.isnan(participation_ratio(torch.ones(4, 3)))


@pytest.mark.parametrize("readout", ["state", "linear"])
def test_activity_follows_the_hidden_layers_through_every_step_of_the_free_phase(readout):
    """Against the steps of the oracle; the output layer is no hidden one, a linear read-out does not relax."""
    network = biased([6, 5, 4, 3], free_steps=4, readout=readout, seed=1)
    x = torch.rand(9, 6)
    found = free_phase_activity(network, x)
    assert len(found) == 2
    parts, states = phi.Parts.of(network), [torch.zeros(9, n) for n in network.sizes[1 : 1 + network.depth]]
    for step in range(4):
        states = phi.step(x, states, parts)
        for layer, activity in enumerate(found):
            assert activity.magnitude[step] == pytest.approx(float(states[layer].abs().mean()), abs=1e-6)
            expected = participation_ratio(states[layer])
            assert activity.participation[step] == pytest.approx(expected, rel=1e-3, nan_ok=True)


@pytest.mark.parametrize(
    "options", [{"feedback": "dendritic"}, {"relaxation": "asynchronous"}, {"dynamics": "bernoulli"}]
)
def test_activity_ends_where_the_free_phase_does(options):
    """Steps of spiking neurons taken one at a time would be others: each relaxation draws from the start."""
    network = biased([6, 5, 4], free_steps=7, **options, seed=1).eval()
    x = torch.rand(9, 6)
    (activity,) = free_phase_activity(network, x)
    assert len(activity.magnitude) == len(activity.participation) == 7
    assert activity.magnitude[-1] == pytest.approx(magnitude(network.free_phase(x).states[0]))
    assert activity.participation[-1] == pytest.approx(participation_ratio(network.free_phase(x).states[0]))
