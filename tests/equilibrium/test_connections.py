"""Connections: their initial weights, the angle of their feedback, and contrasts without loss of digits."""

import math

import pytest
import torch

from clep.equilibrium import (
    ConvLayer,
)
from tests.oracles.networks import biased
from tests.oracles.vectors import relative_error


def test_untied_feedback_is_drawn_apart_from_the_weights():
    """Tied and untied twins of a seed start from the same weights, and feedback at about a right angle to them."""
    tied, untied = biased([60, 50, 40], seed=4), biased([60, 50, 40], feedback="untied", seed=4)
    for one, other in zip(tied.connections, untied.connections, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert not torch.equal(other.weight, other.feedback)
    assert tied.feedback_angles() == []
    (angle,) = untied.feedback_angles()
    assert 80.0 < angle < 100.0
    with torch.no_grad():
        untied.connections[1].feedback.copy_(-2.0 * untied.connections[1].weight)
    assert untied.feedback_angles() == pytest.approx([180.0], abs=0.1)


@pytest.mark.parametrize("sizes", [[60, 50, 40], [(3, 8, 8), ConvLayer(50, 3), 40]])
def test_glorot_weights_are_uniform_up_to_the_root_of_six_over_both_fans(sizes):
    """U(+-sqrt(6 / (n_in + n_out))), as `torch.nn.init.xavier_uniform_`, for kernels too."""
    network = biased(sizes, init="glorot", feedback="untied", seed=1)
    for connection in network.connections:
        like = torch.nn.init.xavier_uniform_(torch.empty_like(connection.weight))
        for weight in (connection.weight.detach(), connection.feedback.detach()):
            assert float(weight.abs().max()) == pytest.approx(float(like.abs().max()), rel=0.02)
            assert float(weight.std()) == pytest.approx(float(like.std()), rel=0.06)


def test_initial_weights_are_uniform_up_to_one_over_the_root_of_the_units_below():
    """As in `torch.nn.Linear`."""
    network = biased([400, 100, 30], seed=1).requires_grad_(False)
    for connection, below in zip(network.connections, (400, 100), strict=True):
        bound = 1 / math.sqrt(below)
        assert 0.99 * bound < float(connection.weight.abs().max()) <= bound
        assert float(connection.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert 0.8 * bound < float(connection.bias.abs().max()) <= bound


def test_a_contrast_keeps_the_digits_that_nearly_equal_states_have():
    """a1 b1' - a2 b2' in float32 has errors of 6e-8 whatever the contrast: 1 % of it where states differ by 1e-5."""
    connection = biased([9, 7], seed=1).connections[0]
    below, above = torch.rand(64, 9), torch.rand(64, 7)
    first = (below, above)
    second = (below + 1e-5 * torch.rand(64, 9), above + 1e-5 * torch.rand(64, 7))
    weight, bias = connection.differences(first, second, None, 1.0)
    b1, a1, b2, a2 = (t.double() for t in (*first, *second))
    assert relative_error(weight.double(), a1.T @ b1 - a2.T @ b2) < 1e-5
    assert relative_error(bias.double(), (a1 - a2).sum(0)) < 1e-5
    same = connection.differences(first, (below.clone(), above.clone()), None, 1.0)
    assert not torch.stack([g.abs().max() for g in same]).any()
