"""What every estimate keeps of autograd's contract, and estimates of one's own."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from clep.equilibrium import Adaptation, CostNudging, LinearNudging
from tests.oracles.networks import LABELS, LOSSES, biased, gradient_by, gradient_of, loss_by


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("cost", [False, True])
def test_two_forwards_before_the_first_backward_do_not_disturb_each_other(cost):
    """MIR and GEM call the model again before they differentiate; states kept on the network would be overwritten."""
    network = biased([5, 7, 4], seed=2)
    x, other = torch.rand(2, 6, 5)

    def loss(batch):
        return loss_by(CostNudging(), network, batch, LABELS) if cost else LOSSES["mse"](network(batch))

    expected = [torch.autograd.grad(loss(batch), list(network.parameters())) for batch in (x, other)]
    first, second = loss(x), loss(other)
    actual = [torch.autograd.grad(value, list(network.parameters())) for value in (first, second)]
    assert_close(actual, expected, rtol=0.0, atol=0.0)


@pytest.mark.usefixtures("double")
def test_gradients_accumulate_and_a_retained_graph_gives_the_same_again():
    """The nudged phases must not write into the free states that they start from."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    loss = LOSSES["mse"](network(x))
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in network.parameters()]
    loss.backward()
    assert_close([p.grad for p in network.parameters()], [2 * g for g in once], rtol=0.0, atol=0.0)


def test_a_network_can_be_copied_after_a_forward_and_a_backward():
    """LwF keeps a deep copy as its teacher; a tensor with a history as an attribute would make deepcopy raise."""
    gradient = LinearNudging(0.5, "random_sign", adaptation=Adaptation())
    network, x = biased([5, 7, 4], gradient=gradient, seed=2), torch.rand(6, 5)
    output = network(x)
    teacher = copy.deepcopy(network)
    LOSSES["mse"](output).backward()
    with torch.inference_mode():
        network(x)
    again = copy.deepcopy(network)
    for copied in (teacher, again):
        assert torch.equal(copied(x), output)
        LOSSES["mse"](copied(x)).backward()
    with torch.no_grad():
        network.connections[0].weight.zero_()
    assert torch.equal(teacher(x), output)


@pytest.mark.parametrize("cost", [False, True])
def test_changing_a_parameter_between_forward_and_backward_raises(cost):
    """The nudged phases would relax with other weights than the free phase: a contrast of two different networks."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    loss = loss_by(CostNudging(), network, x, LABELS) if cost else LOSSES["mse"](network(x))
    with torch.no_grad():
        network.connections[1].bias.add_(0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("cost", [False, True])
def test_a_frozen_parameter_gets_no_gradient_and_the_others_keep_theirs(cost):
    """Gradients come back by position: one left out must not shift the rest."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)

    def backward():
        network.zero_grad()
        loss = loss_by(CostNudging(), network, x, LABELS) if cost else LOSSES["mse"](network(x))
        loss.backward()
        return [None if p.grad is None else p.grad.clone() for p in network.parameters()]

    expected = backward()
    for frozen, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(False)
        actual = backward()
        assert actual[frozen] is None
        assert all(torch.equal(a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True)) if i != frozen)
        parameter.requires_grad_(True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_has_the_dtype_of_the_parameters(dtype):
    """A buffer left in float32 would round a float64 relaxation, or a float64 one slow a float32 network down."""
    norms = []
    adaptation = Adaptation(watch=lambda *both: norms.extend(both))
    network = biased([5, 7, 4], gradient=LinearNudging(adaptation=adaptation), seed=2).to(dtype)
    x = torch.rand(6, 5, dtype=dtype)
    assert network(x).dtype == network.free_phase(x).residual.dtype == dtype
    assert {g.dtype for g in gradient_of(LOSSES["mse"], network, x)} == {dtype}
    assert {g.dtype for g in gradient_by(CostNudging(adaptation=adaptation), network, x)} == {dtype}
    assert len(norms) == 4
    assert {norm.dtype for norm in norms} == {dtype}


@pytest.mark.parametrize("cost", [False, True])
def test_autocast_changes_no_digit_of_the_network(cost):
    """Mixed precision multiplies in half precision; a contrast of two nearly equal half-precision states is noise."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)

    def run(batch):
        if cost:
            return gradient_by(CostNudging(), network, batch)
        return gradient_of(LOSSES["mse"], network, batch)

    expected = run(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(x).dtype == torch.float32
        assert_close(run(x), expected, rtol=0.0, atol=0.0)
        half = nn.Linear(5, 5)(x).requires_grad_()
        assert half.dtype == torch.bfloat16
        assert network(half).dtype == torch.float32
        network(half).sum().backward()
