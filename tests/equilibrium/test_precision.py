"""Half precision of the relaxation, and the fast products of single precision: what they may change, and what not."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    ORDERS,
    POOLINGS,
    Adaptation,
    Backpropagation,
    Clamping,
    ContinualNudging,
    ConvLayer,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
    products,
)
from tests.oracles.graph import Graph
from tests.oracles.vectors import flat

LABELS = torch.arange(32) % 10
onednn = pytest.mark.skipif(not products._has_onednn(), reason="this build of torch has no products of oneDNN")


def cosine(a, b):
    return float(functional.cosine_similarity(flat(a).double(), flat(b).double(), dim=0))


def gradient(network, x, nudging=None):
    """By `LinearNudging`, or by another nudging's own loss."""
    if nudging is None:
        loss = functional.cross_entropy(network(x), LABELS)
    else:
        loss = nudging.loss(network, network.free_phase(x), LABELS)
    return torch.autograd.grad(loss, list(network.parameters()))


def pair(sizes, **arguments):
    """The same network in full precision and in bfloat16."""
    arguments = {"nudged_steps": 10, "seed": 1} | arguments
    return [Network(sizes, precision=precision, **arguments) for precision in ("full", "bfloat16")]


@pytest.mark.parametrize("nudging", [None, CostNudging(0.5), CostNudging(0.5, start="mirrored"), Clamping()])
def test_updates_of_bfloat16_states_point_where_those_of_full_precision_do(nudging):
    """States of 8 bits, contrasted in full precision. A contrast taken in bfloat16, or nudges that it rounds away,
    would leave an update that is mostly noise while the accuracy of a short run hardly tells."""
    full, half = pair([64, 128, 10], nudging=LinearNudging(0.5))
    x = torch.rand(32, 64)
    free = half.free_phase(x)
    assert {state.dtype for state in (free.x, *free.states)} == {torch.float32}
    assert all(torch.isfinite(state).all() for state in free.states)
    assert all(torch.equal(state, state.bfloat16().float()) for state in free.states)
    expected, actual = gradient(full, x, nudging), gradient(half, x, nudging)
    assert {g.dtype for g in actual} == {torch.float32}
    assert cosine(actual, expected) > 0.99
    assert cosine(actual, expected) < 1.0 - 1e-9  # it was rounded indeed


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_bfloat16_relaxes_convolutional_networks(pooling, order):
    """Every product that a convolution takes has to exist in half precision, max unpooling among them."""
    layer = ConvLayer(8, 3, padding=1, pooling=pooling)
    full, half = pair([(1, 8, 8), layer, 10], nudging=LinearNudging(0.5), relaxation=order)
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
    nudging = CostNudging(0.5, cost=cost)
    assert cosine(gradient(half, x, nudging), gradient(full, x, nudging)) > 0.98


def test_bfloat16_takes_adaptation_untied_feedback_and_heterogeneous_time_steps():
    full, half = pair(
        [64, 128, 10], feedback="untied", rule="vector_field", time_step=TimeStep("gamma", mean=0.5, spread=0.4)
    )
    full.adaptation = half.adaptation = Adaptation(3, 0.1)
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
    network = Network(nudging=LinearNudging(0.5), seed=1, **arguments)
    x = torch.rand(32, 64)
    nudging = CostNudging(0.5) if cost else None
    expected = gradient(network, x, nudging)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gradient(network, x, nudging)
    if network.readout is None:
        assert_close(actual, expected, rtol=0.0, atol=0.0)
    assert cosine(actual, expected) > (0.999 if network.readout else 1.0 - 1e-12)


def test_autocast_changes_no_digit_of_the_bptt_twin():
    """Or the twin would be compared in half precision with a network that is not."""
    network, x = Network([64, 32, 10], nudging=Backpropagation(), seed=1), torch.rand(32, 64)
    output, expected = network(x), gradient(network, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(network(x), output, rtol=0.0, atol=0.0)
        loss = functional.cross_entropy(network(x), LABELS)
        assert network(x.bfloat16()).dtype == torch.float32
    actual = torch.autograd.grad(loss, list(network.parameters()))  # outside, as torch asks of every module
    assert_close(actual, expected, rtol=0.0, atol=0.0)


# ---------------------------------------------------------------- fast products


BATCH, BELOW, ABOVE = 128, 96, 100  # large enough for them: 128 x 96 x 100 multiplications


@pytest.fixture
def fast(monkeypatch):
    """Counts the products that go to oneDNN."""
    taken, decide = [], products._suits_onednn

    def counting(a, b):
        taken.append(decide(a, b))
        return taken[-1]

    monkeypatch.setattr(products, "_suits_onednn", counting)
    return taken


def error(actual, expected):
    assert actual.dtype == torch.float32
    return float((actual.double() - expected).norm() / expected.norm())


@onednn
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"bias": False},
        {"feedback_scale": 0.3},
        {"feedback": "untied"},
        {"feedback": "untied", "feedback_scale": 2.0},
    ],
)
@torch.no_grad()
def test_fast_products_of_a_connection_are_the_plain_ones(arguments, fast):
    """Against float64, of weights and of their transposes, which are no contiguous tensors. The operators are not
    documented: a new torch may read their arguments otherwise, and a layer would then be fed by another matrix."""
    dense = Network([5, BELOW, ABOVE], seed=3, **arguments).connections[1]
    below, above = torch.randn(BATCH, BELOW), torch.randn(BATCH, ABOVE)
    on_below, on_above = torch.randn(BATCH, BELOW), torch.randn(BATCH, ABOVE)
    up = below.double() @ dense.weight.double().T + (0.0 if dense.bias is None else dense.bias.double())
    weight = dense.weight if dense.feedback is None else dense.feedback
    down = dense.feedback_scale * above.double() @ weight.double()
    for actual, expected in (
        (dense.up(below)[0], up),
        (dense.up(below, on_above)[0], up + on_above),
        (dense.add_down(on_below, above), down + on_below),
        (dense.pull_back(above, below), above.double() @ dense.weight.double()),
        (dense.outer(below, above), above.double().T @ below.double()),
    ):
        assert error(actual, expected) < 1e-5
    assert fast == [True] * 5


@onednn
@torch.no_grad()
def test_fast_products_leave_their_arguments_alone(fast):
    """`base` is the drive, the same for every step: were it the buffer of the sum, it would grow at each of them."""
    dense = Network([5, BELOW, ABOVE], seed=3).connections[1]
    tensors = [torch.randn(BATCH, n) for n in (BELOW, ABOVE, BELOW, ABOVE)]
    before = [t.clone() for t in tensors]
    dense.up(tensors[0], tensors[1])
    dense.add_down(tensors[2], tensors[3])
    assert fast == [True, True]
    assert_close(tensors, before, rtol=0.0, atol=0.0)


@onednn
def test_only_large_products_in_single_precision_outside_autograd_are_fast_ones():
    """In float64, in which oracles compare, they would round to float32; and autograd cannot follow them."""
    a, b = torch.randn(BATCH, BELOW), torch.randn(ABOVE, BELOW)
    with torch.no_grad():
        assert products._suits_onednn(a, b)
        assert not products._suits_onednn(a.double(), b.double())
        assert not products._suits_onednn(a.bfloat16(), b.bfloat16())
        assert not products._suits_onednn(a[:2], b)
        assert_close(products.times_transposed(a.double(), b.double()), a.double() @ b.double().T)
    assert not products._suits_onednn(a, b)
    leaf = b.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(products.times_transposed(a, leaf).sum(), leaf)
    assert_close(gradient, a.sum(0).expand_as(b))


@onednn
@pytest.mark.parametrize("arguments", [{}, {"feedback": "untied", "feedback_scale": 0.5}, {"residual_links": 2}])
def test_a_relaxation_by_fast_products_ends_where_the_oracle_does(arguments, fast):
    """States and update, of which the oracle's are float64."""
    network = Network([100, 110, 120, 130, 10], nudging=LinearNudging(0.5), neuron="tanh", seed=1, **arguments)
    x, labels = torch.rand(BATCH, 100), torch.arange(BATCH) % 10

    def update(x):
        return torch.autograd.grad(functional.cross_entropy(network(x), labels), list(network.parameters()))

    states, actual = network.free_phase(x).states, update(x)
    assert sum(fast) > 100
    network.double()
    torch.set_default_dtype(torch.float64)
    try:
        expected, exact = Graph.of(network).relax(x.double(), network.free_steps), update(x.double())
    finally:
        torch.set_default_dtype(torch.float32)
    assert_close([s.double() for s in states], expected, rtol=0.0, atol=1e-5)
    assert cosine(actual, exact) > 1.0 - 1e-6


def test_autocast_changes_no_digit_of_c_ep_or_of_a_read_out():
    """Products in half precision would meet states in single precision, which fails, or round the output's gradient."""
    x, y = torch.rand(6, 20), torch.tensor([0, 1, 2, 3, 1, 2])
    network, gradient = Network([20, 15, 4], seed=1), ContinualNudging(0.5)
    plain = list(gradient.updates(network, network.free_phase(x), y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = list(gradient.updates(network, network.free_phase(x), y))
    assert_close(cast, plain, rtol=0.0, atol=0.0)
    network = Network([20, 15, 4], readout="linear", seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(x)
    assert output.dtype == torch.float32
    assert torch.equal(output, network(x))
