"""Half precision: of the relaxation, and under autocast."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    CEP,
    ORDERS,
    POOLINGS,
    Adaptation,
    Backpropagation,
    Clamping,
    ConvLayer,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    SquaredError,
    TimeStep,
)
from tests.oracles.networks import biased, loss_by, updates_by
from tests.oracles.vectors import cosine

LABELS = torch.arange(32) % 10


def gradient(network, x, by=None, cost=None):
    """By the network's own estimate of the cross-entropy, or by another estimate of a cost."""
    loss = functional.cross_entropy(network(x), LABELS) if by is None else loss_by(by, network, x, LABELS, cost)
    return torch.autograd.grad(loss, list(network.parameters()))


def pair(sizes, **arguments):
    """The same network in full precision and in bfloat16."""
    arguments = {"nudged_steps": 10, "seed": 1} | arguments
    return [biased(sizes, precision=precision, **arguments) for precision in ("full", "bfloat16")]


@pytest.mark.parametrize("by", [None, CostNudging(0.5), CostNudging(0.5, start="mirrored"), Clamping()])
def test_updates_of_bfloat16_states_point_where_those_of_full_precision_do(by):
    """States of 8 bits, contrasted in full precision. A contrast taken in bfloat16, or nudges that it rounds away,
    would leave an update that is mostly noise while the accuracy of a short run hardly tells."""
    full, half = pair([64, 128, 10], gradient=LinearNudging(0.5))
    x = torch.rand(32, 64)
    free = half.free_phase(x)
    assert {state.dtype for state in (free.x, *free.states)} == {torch.float32}
    assert all(torch.isfinite(state).all() for state in free.states)
    assert all(torch.equal(state, state.bfloat16().float()) for state in free.states)
    expected, actual = gradient(full, x, by), gradient(half, x, by)
    assert {g.dtype for g in actual} == {torch.float32}
    assert cosine(actual, expected) > 0.99
    assert cosine(actual, expected) < 1.0 - 1e-9  # it was rounded indeed


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_bfloat16_relaxes_convolutional_networks(pooling, order):
    """Every product that a convolution takes has to exist in half precision, max unpooling among them."""
    layer = ConvLayer(8, 3, padding=1, pooling=pooling)
    full, half = pair([(1, 8, 8), layer, 10], gradient=LinearNudging(0.5), relaxation=order)
    x = torch.rand(32, 1, 8, 8)
    assert torch.isfinite(half(x)).all()
    assert cosine(gradient(half, x), gradient(full, x)) > 0.95


@pytest.mark.parametrize("dynamics", ["prototypical", "energy"])
@pytest.mark.parametrize("cost", [CrossEntropy(), SquaredError()])
@pytest.mark.parametrize("bias", [True, False])
def test_bfloat16_nudges_through_a_read_out(bias, cost, dynamics):
    """The cost is that of a full-precision read-out of half-precision states."""
    full, half = pair([64, 128, 64, 10], readout="linear", bias=bias, dynamics=dynamics)
    x = torch.rand(32, 64)
    by = CostNudging(0.5)
    assert cosine(gradient(half, x, by, cost), gradient(full, x, by, cost)) > 0.98


def test_bfloat16_takes_adaptation_untied_feedback_and_heterogeneous_time_steps():
    full, half = pair(
        [64, 128, 10],
        feedback="untied",
        gradient=LinearNudging(rule="vector_field", adaptation=Adaptation(3, 0.1)),
        time_step=TimeStep("gamma", mean=0.5, spread=0.4),
    )
    x = torch.rand(32, 64)
    assert cosine(gradient(half, x), gradient(full, x)) > 0.98


def test_the_weights_of_a_bfloat16_network_stay_in_full_precision():
    """Rounded ones would lose most small updates; the rounding is that of a copy for the relaxation."""
    _, half = pair([64, 32, 10])
    before = {name: value.clone() for name, value in half.state_dict().items()}
    gradient(half, torch.rand(32, 64))
    for name, value in half.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    "arguments",
    [
        {"sizes": [64, 128, 10]},
        {"sizes": [(1, 8, 8), ConvLayer(8, 3), 10]},
        {"sizes": [64, 128, 10], "readout": "linear"},
    ],
    ids=["dense", "max pool", "read-out"],
)
@pytest.mark.parametrize("cost", [False, True])
def test_autocast_changes_no_digit_of_the_update_of_any_network(cost, arguments):
    """Mixed precision is for the modules around the network (a linear read-out is one of these)."""
    network = biased(gradient=LinearNudging(0.5), seed=1, **arguments)
    x = torch.rand(32, 64)
    by = CostNudging(0.5) if cost else None
    expected = gradient(network, x, by)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gradient(network, x, by)
    if network.readout is None:
        assert_close(actual, expected, rtol=0.0, atol=0.0)
    assert cosine(actual, expected) > (0.999 if network.readout else 1.0 - 1e-12)


def test_autocast_changes_no_digit_of_the_bptt_twin():
    """Or the twin would be compared in half precision with a network that is not."""
    network, x = biased([64, 32, 10], gradient=Backpropagation(), seed=1), torch.rand(32, 64)
    output, expected = network(x), gradient(network, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(network(x), output, rtol=0.0, atol=0.0)
        loss = functional.cross_entropy(network(x), LABELS)
        assert network(x.bfloat16()).dtype == torch.float32
    actual = torch.autograd.grad(loss, list(network.parameters()))  # outside, as torch asks of every module
    assert_close(actual, expected, rtol=0.0, atol=0.0)


def test_autocast_changes_no_digit_of_c_ep_or_of_a_read_out():
    """Products in half precision would meet states in single precision, which fails, or round the output's gradient."""
    x, y = torch.rand(6, 20), torch.tensor([0, 1, 2, 3, 1, 2])
    network, gradient = biased([20, 15, 4], seed=1), CEP(0.5)
    plain = list(updates_by(gradient, network, x, y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = list(updates_by(gradient, network, x, y))
    assert_close(cast, plain, rtol=0.0, atol=0.0)
    network = biased([20, 15, 4], readout="linear", seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(x)
    assert output.dtype == torch.float32
    assert torch.equal(output, network(x))
