"""What every estimate keeps of autograd's contract, and estimates of one's own."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import clep
from clep.equilibrium import (
    CEP,
    Adaptation,
    Clamping,
    CostNudging,
    Gradient,
    LinearNudging,
    Prediction,
    SquaredError,
)
from tests.oracles.networks import LABELS, LOSSES, biased, gradient_by, gradient_of, loss_by, updates_by


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


# ---------------------------------------------------------------- estimates of one's own


@dataclass(frozen=True)
class Tenfold(LinearNudging):
    """Ten times linear nudging."""

    def loss(self, prediction, y, criterion):
        return 10.0 * super().loss(prediction, y, criterion)


@dataclass(frozen=True)
class LastLayer(Gradient):
    """Backpropagation through the last connection alone; the others do not learn."""

    scale: float = 1.0

    def predict(self, network, x):
        free = network.free_phase(x)
        return Prediction(network.neuron(network.connections[-1].up(free.states[-2])[0]), free)

    def loss(self, prediction, y, criterion):
        return self.scale * criterion(prediction.output, y)


def test_a_subclass_of_a_built_in_estimate_is_used_as_it_is():
    """Through the network's gradient and through that of a learner."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    once = gradient_by(LinearNudging(0.3), network, x)
    assert_close(gradient_by(Tenfold(0.3), network, x), [10.0 * g for g in once], rtol=1e-5, atol=1e-8)
    learner = clep.Learner(network, gradient=Tenfold(0.3))
    learner.loss(learner.predict(x), LABELS).backward()
    assert_close([p.grad for p in network.parameters()], [10.0 * g for g in once], rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("double")
def test_an_estimate_of_ones_own_trains_a_network():
    """It learns by what it says, and only that: here, backpropagation through the last connection."""
    network, x = biased([5, 20, 4], neuron="shifted_sigmoid", seed=2), torch.rand(6, 5)
    view = network.with_gradient(LastLayer(3.0))
    low, high = network.connections
    state = network.free_phase(x).states[0]
    output = torch.sigmoid(4.0 * (state @ high.weight.T + high.bias - 0.5))
    expected = torch.autograd.grad(3.0 * SquaredError()(output, LABELS), [high.weight, high.bias])
    loss_by(view.gradient, view, x, LABELS).backward()
    assert_close([high.weight.grad, high.bias.grad], list(expected), rtol=1e-10, atol=1e-12)
    assert low.weight.grad is None
    before, start = LOSSES["mse"](view(x)).item(), low.weight.detach().clone()
    optimizer = torch.optim.SGD(view.parameters(), lr=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        LOSSES["mse"](view(x)).backward()
        optimizer.step()
    assert LOSSES["mse"](view(x)).item() < 0.5 * before
    assert torch.equal(low.weight, start)


def test_an_estimate_that_moves_no_weights_says_so():
    network, x = biased([5, 7, 4]), torch.rand(6, 5)
    with pytest.raises(NotImplementedError, match="LinearNudging moves no weights by itself"):
        list(updates_by(LinearNudging(), network, x, LABELS))


@pytest.mark.parametrize("gradient", [CostNudging(), Clamping(), CEP()])
def test_a_prediction_without_a_free_phase_is_refused_where_one_is_needed(gradient):
    """As when the output of an ordinary call is passed on instead of the prediction."""
    prediction = Prediction(biased([5, 7, 4])(torch.rand(6, 5)))
    use = gradient.loss if not gradient.needs.own_updates else lambda *given: next(gradient.updates(*given))
    with pytest.raises(ValueError, match=r"needs the free phase of its prediction; make it by `gradient\.predict`"):
        use(prediction, LABELS, SquaredError())
