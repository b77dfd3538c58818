"""Weights that are computed from other parameters: parametrized, normalised, pruned."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune

from clep.equilibrium import CEP, Backpropagation, ConvLayer, CostNudging, LinearNudging, Network, SquaredError
from clep.equilibrium.stack import stack_of
from clep.errors import ConfigError

pytestmark = pytest.mark.usefixtures("double")

X, Y = torch.rand(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 3
SIZES = {"dense": [64, 7, 5, 3], "convolutions": [(1, 8, 8), ConvLayer(2, kernel=3), 3]}
OPTIONS = {
    "tied": {},
    "untied": {"feedback": "untied"},
    "branches": {"feedback": "dendritic", "time_step": {"mean": 0.5}},
}


class Double(nn.Module):
    def forward(self, weight):
        return 2.0 * weight


def made(gradient, sizes="dense", **options):
    return Network(SIZES[sizes], bias=True, seed=3, gradient=gradient, **options)


def loss_of(network):
    return network.gradient.loss(network.gradient.predict(network, X), Y, SquaredError())


@pytest.mark.parametrize("gradient", [LinearNudging(0.1), CostNudging(0.1), Backpropagation()])
@pytest.mark.parametrize("options", OPTIONS)
def test_the_gradient_of_a_doubled_weight_is_twice_that_of_the_weight(gradient, options):
    network = made(gradient, **OPTIONS[options])
    plain = copy.deepcopy(network)
    parametrize.register_parametrization(network.connections[0], "weight", Double())
    with torch.no_grad():
        plain.connections[0].weight.mul_(2.0)
    for each in (network, plain):
        loss_of(each).backward()
    original = network.connections[0].parametrizations.weight.original
    torch.testing.assert_close(original.grad, 2.0 * plain.connections[0].weight.grad)
    torch.testing.assert_close(network.connections[0].bias.grad, plain.connections[0].bias.grad)
    for first, second in zip(network.connections[1].parameters(), plain.connections[1].parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("gradient", [LinearNudging(0.1), CostNudging(0.1)])
def test_the_gradient_of_a_normalised_weight_is_the_chain_rule_over_that_of_the_weight(gradient, sizes):
    network = made(gradient, sizes)
    plain = copy.deepcopy(network)
    parametrizations.weight_norm(network.connections[0])
    for each in (network, plain):
        loss_of(each).backward()
    first = network.connections[0].parametrizations.weight
    size, direction = first.original0.detach(), first.original1.detach()
    leaves = [tensor.clone().requires_grad_() for tensor in (size, direction)]
    weight = leaves[0] * leaves[1] / leaves[1].flatten(1).norm(dim=1).view(-1, *[1] * (direction.dim() - 1))
    expected = torch.autograd.grad(weight, leaves, plain.connections[0].weight.grad)
    torch.testing.assert_close([first.original0.grad, first.original1.grad], list(expected))


def test_all_phases_of_an_update_use_one_weight():
    """In training, spectral normalisation computes another weight each time it is asked."""
    network = made(LinearNudging(0.1))
    parametrizations.spectral_norm(network.connections[1])
    network.train()
    links = network.body().links
    assert torch.equal(links[1].connection.weight, links[1].connection.weight)
    assert links[1].connection.weight.requires_grad


def test_pruned_weights_stay_zero_and_get_no_gradient():
    network = made(LinearNudging(0.1))
    prune.random_unstructured(network.connections[0], "weight", 0.5)
    connection = network.connections[0]
    gone = connection.weight_mask == 0
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = network(X).detach()
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(network).backward()
        optimizer.step()
    assert (connection.weight_orig.grad[gone] == 0).all()
    assert (connection.weight_orig.grad[~gone] != 0).any()
    assert not torch.equal(network(X), before)
    assert (network.links[0].connection.weight[gone] == 0).all()


def test_a_parametrized_network_relaxes_in_half_precision():
    network = made(LinearNudging(0.1), precision="bfloat16")
    parametrize.register_parametrization(network.connections[1], "weight", Double())
    loss_of(network).backward()
    assert network.connections[1].parametrizations.weight.original.grad is not None


def test_replaced_parameters_get_gradients():
    network = made(LinearNudging(0.1))
    values = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
    functional_call(network, values, (X,)).sum().backward()
    assert all(value.grad is not None for value in values.values())


def test_c_ep_refuses_weights_that_it_cannot_move():
    network = made(CEP(0.5))
    parametrize.register_parametrization(network.connections[0], "weight", Double())
    with pytest.raises(ConfigError, match=r"gradient: C-EP moves the weights themselves"):
        next(CEP(0.5).updates(CEP(0.5).predict(network, X), Y, SquaredError()))


@pytest.mark.parametrize("model", [made(LinearNudging()), nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))])
def test_consolidation_refuses_weights_that_it_cannot_write(model):
    model = copy.deepcopy(model)
    layer = model.connections[1] if isinstance(model, Network) else model[2]
    assert len(stack_of(model)) > 1
    parametrizations.weight_norm(layer)
    with pytest.raises(ConfigError, match=r"network\.(connections\.1|2)\.weight: it is computed from other parameters"):
        stack_of(model)


def test_angles_are_those_of_the_weights_in_use():
    network = made(LinearNudging(), feedback="untied")
    before = network.feedback_angles()
    parametrize.register_parametrization(network.connections[1], "weight", Double())
    assert network.feedback_angles() == pytest.approx(before)
