"""The BPTT twin against the oracle's."""

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import (
    NEURONS,
    ORDERS,
    Backpropagation,
    TimeStep,
)
from clep.errors import ConfigError
from tests.oracles.architectures import AVERAGE, LABELS, MAX, cross_entropy, squared
from tests.oracles.graph import Graph
from tests.oracles.networks import biased

pytestmark = pytest.mark.usefixtures("double")

MIXED = TimeStep("lognormal", mean=0.6, spread=0.5, min=0.2)
ARCHITECTURES = {
    "dense": {"sizes": [5, 7, 6, 4]},
    "no hidden layer": {"sizes": [5, 4]},
    "residual links": {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
    "max pool": {"sizes": [(2, 6, 7), MAX, 5, 4]},
    "average pool": {"sizes": [(2, 6, 7), AVERAGE, 4]},
    "scaled feedback": {"sizes": [(1, 6, 7), MAX, 5, 4], "feedback_scale": 0.4},
    "untied feedback": {"sizes": [(1, 6, 7), MAX, 5, 4], "feedback": "untied"},
    "read-out": {"sizes": [(2, 6, 7), MAX, 4], "readout": "linear"},
}


def twin_gradient(network, loss, x):
    """For the parameters and, last, the input; zero for feedback of the input connection, which acts on nothing."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(network(x)), [*network.parameters(), x], allow_unused=True, materialize_grads=True)


def compare_with_oracle(network, followed):
    network.gradient = Backpropagation(followed)
    graph = Graph.of(network)
    x = torch.rand(len(LABELS), *network.shapes[0]).requires_grad_()
    last = graph.out(graph.unrolled(x, network.spec.free_steps, followed, network.spec.relaxation))
    wanted = [*graph.parameters, *(graph.readout or ()), x]
    expected = torch.autograd.grad(cross_entropy(last), wanted, allow_unused=True, materialize_grads=True)
    assert_close(network(x), last, rtol=0.0, atol=1e-10)
    assert_close(twin_gradient(network, cross_entropy, x.detach()), expected, rtol=1e-9, atol=1e-10)
    assert max(float(g.abs().max()) for g in expected) > 1e-3


@pytest.mark.parametrize("followed", [None, 1, 4])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_twin_differentiates_the_steps_of_the_network(name, order, followed):
    """For parameters and input, all steps or the last few. A twin that ran other steps would blame the difference of
    two dynamics on equilibrium propagation."""
    compare_with_oracle(
        biased(free_steps=7, relaxation=order, time_step=MIXED, neuron="tanh", seed=3, **ARCHITECTURES[name]), followed
    )


@pytest.mark.parametrize("dynamics", ["prototypical", "energy"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_twin_differentiates_every_neuron_and_the_energy(neuron, dynamics):
    """rho' of an energy is differentiated itself, which no phase of equilibrium propagation does."""
    for time_step in (TimeStep("scalar", mean=0.5), MIXED):
        network = biased(
            [(1, 6, 7), AVERAGE, 5, 4], neuron=neuron, dynamics=dynamics, free_steps=6, time_step=time_step, seed=3
        )
        with torch.no_grad():
            for connection in network.connections:
                connection.bias.add_(0.2)  # hard units that are all silent have no gradient
        compare_with_oracle(network, None)


def test_more_steps_than_the_free_phase_are_all_of_it():
    network, x = biased([5, 7, 4], neuron="tanh", free_steps=6, seed=1), torch.rand(5, 5)
    network.gradient = Backpropagation()
    whole = twin_gradient(network, squared, x)
    network.gradient = Backpropagation(50)
    assert_close(twin_gradient(network, squared, x), whole, rtol=0.0, atol=0.0)


def test_the_twin_refuses_to_follow_no_step():
    with pytest.raises(ConfigError, match=r"^bptt_steps: expected an integer of at least 1 or null, got 0$"):
        Backpropagation(0)
