"""Activity of hidden layers after sleep: it comes back, and which neurons answer what stays."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import clep
from clep.equilibrium.stack import stack_of
from clep.sleep import activity, restore
from clep.sleep.gains import synapses, write_synapses


@pytest.fixture
def x():
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0))


def deep():
    torch.manual_seed(1)
    sizes = [6, 8, 8, 8, 3]
    layers = []
    for below, above in pairwise(sizes):
        layers += [nn.Linear(below, above, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_layers_that_were_only_scaled_get_their_weights_back(x):
    """Rectified layers pass a factor on: with the three factors undone every weight is what it was."""
    model = deep()
    before, due = [p.detach().clone() for p in model.parameters()], activity(stack_of(model), x)
    with torch.no_grad():
        for parameter, factor in zip(model.parameters(), (0.3, 0.5, 2.5, 1.0), strict=True):
            parameter.mul_(factor)
    assert activity(stack_of(model), x)[1] < 0.2 * due[1]
    restore(model, x, due)
    for old, new in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(new, old)


def test_the_synapses_of_a_layer_share_one_factor_and_the_output_keeps_its_own(x):
    model = deep()
    due = [3.0 * mean for mean in activity(stack_of(model), x)]
    before = [p.detach().clone() for p in model.parameters()]
    restore(model, x, due)
    assert activity(stack_of(model), x) == pytest.approx(due, rel=1e-4)
    for old, new in zip(before[:-1], model.parameters(), strict=False):
        factors = new / old
        torch.testing.assert_close(factors, factors[0, 0].expand_as(factors))
    assert torch.equal(model[-1].weight, before[-1])


def test_a_silent_layer_stays_silent_and_finite(x):
    model = deep()
    with torch.no_grad():
        model[0].weight.zero_()
    restore(model, x, [1.0, 1.0, 1.0])
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert activity(stack_of(model), x) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("due", [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
def test_a_layer_that_is_or_was_silent_keeps_its_weights_to_the_bit(x, due):
    """A factor of what is nothing would be zero for ever, or as large as it may be."""
    model = deep()
    with torch.no_grad():
        model[0].weight.copy_(-model[0].weight.abs())
    before = [p.detach().clone() for p in model.parameters()]
    restore(model, x, due)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("feedback", ["tied", "dendritic"])
def test_an_equilibrium_network_gets_most_of_its_activity_back_whatever_its_units(feedback):
    x = torch.rand(50, 64, generator=torch.Generator().manual_seed(0))
    network = clep.Network([64, 30, 30, 10], feedback=feedback, seed=1)
    due = activity(network.dense_stack(), x)
    with torch.no_grad():
        for layer in network.dense_stack().layers[:-1]:
            write_synapses(layer, 0.6 * synapses(layer))
    assert activity(network.dense_stack(), x)[1] < 0.5 * due[1]
    restore(network, x, due)
    assert activity(network.dense_stack(), x) == pytest.approx(due, rel=0.3)  # feedback makes it slow
