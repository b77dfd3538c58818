"""The fast products of single precision: what they may change, and what not."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    LinearNudging,
    products,
)
from tests.oracles.graph import Graph
from tests.oracles.networks import biased
from tests.oracles.vectors import cosine

onednn = pytest.mark.skipif(not products._has_onednn(), reason="this build of torch has no products of oneDNN")


BATCH, BELOW, ABOVE = 128, 96, 100  # large enough for them: 128 x 96 x 100 multiplications


@pytest.fixture
def fast(monkeypatch):
    """Counts the products that go to oneDNN."""
    taken, decide = [], products.suits_onednn

    def counting(a, b):
        taken.append(decide(a, b))
        return taken[-1]

    monkeypatch.setattr(products, "suits_onednn", counting)
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
    dense = biased([5, BELOW, ABOVE], seed=3, **arguments).connections[1]
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
    dense = biased([5, BELOW, ABOVE], seed=3).connections[1]
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
        assert products.suits_onednn(a, b)
        assert not products.suits_onednn(a.double(), b.double())
        assert not products.suits_onednn(a.bfloat16(), b.bfloat16())
        assert not products.suits_onednn(a[:2], b)
        assert_close(products.times_transposed(a.double(), b.double()), a.double() @ b.double().T)
    assert not products.suits_onednn(a, b)
    leaf = b.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(products.times_transposed(a, leaf).sum(), leaf)
    assert_close(gradient, a.sum(0).expand_as(b))


@onednn
@pytest.mark.parametrize("arguments", [{}, {"feedback": "untied", "feedback_scale": 0.5}, {"residual_links": 2}])
def test_a_relaxation_by_fast_products_ends_where_the_oracle_does(arguments, fast):
    """States and update, of which the oracle's are float64."""
    network = biased([100, 110, 120, 130, 10], gradient=LinearNudging(0.5), neuron="tanh", seed=1, **arguments)
    x, labels = torch.rand(BATCH, 100), torch.arange(BATCH) % 10

    def update(x):
        return torch.autograd.grad(functional.cross_entropy(network(x), labels), list(network.parameters()))

    states, actual = network.free_phase(x).states, update(x)
    assert sum(fast) > 100
    network.double()
    torch.set_default_dtype(torch.float64)
    try:
        expected, exact = Graph.of(network).relax(x.double(), network.spec.free_steps), update(x.double())
    finally:
        torch.set_default_dtype(torch.float32)
    assert_close([s.double() for s in states], expected, rtol=0.0, atol=1e-5)
    assert cosine(actual, exact) > 1.0 - 1e-6
