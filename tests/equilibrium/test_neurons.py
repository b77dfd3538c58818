"""Activations: their values, ranges and slopes."""

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import NEURONS
from tests.oracles import phi

pytestmark = pytest.mark.usefixtures("double")

U = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)


@pytest.mark.parametrize("name", NEURONS)
def test_activation_equals_its_formula_in_place(name):
    """Relaxation passes a buffer and reads it back: an activation that returned a new tensor would never be applied."""
    u = U.clone()
    result = NEURONS[name](u)
    assert result is u
    assert_close(u, phi.NEURONS[name](U), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("hard_sigmoid", {-0.5: 0.0, 0.0: 0.0, 0.25: 0.25, 1.0: 1.0, 1.5: 1.0}),
        ("half_hard_sigmoid", {-0.5: 0.0, 0.5: 0.25, 1.0: 0.5, 2.0: 1.0, 3.0: 1.0}),
        ("shifted_sigmoid", {0.5: 0.5, 0.75: 0.7310585786300049, 0.0: 0.11920292202211755}),
        ("tanh", {0.0: 0.0, 1.0: 0.7615941559557649, -1.0: -0.7615941559557649}),
    ],
)
def test_activation_at_known_points(name, points):
    values = NEURONS[name](torch.tensor(list(points)))
    assert_close(values, torch.tensor(list(points.values())), rtol=0.0, atol=1e-14)


def test_the_slope_of_the_shifted_sigmoid_is_one_in_the_middle():
    h = 1e-5
    above, below = NEURONS["shifted_sigmoid"](torch.tensor([0.5 + h, 0.5 - h]))
    assert float(above - below) / (2 * h) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", NEURONS)
def test_activation_keeps_nan(name):
    assert torch.isnan(NEURONS[name](torch.tensor([torch.nan]))).all()
