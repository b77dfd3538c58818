"""The BPTT twin against the oracle's, and equilibrium propagation against BPTT step by step."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    DYNAMICS,
    NEURONS,
    ORDERS,
    Backpropagation,
    ContinualNudging,
    ConvLayer,
    CrossEntropy,
    Network,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError
from tests.oracles.graph import Graph

pytestmark = pytest.mark.usefixtures("double")

MIXED = TimeStep("lognormal", mean=0.6, spread=0.5, min=0.2)
LABELS = torch.tensor([0, 1, 2, 3, 1])
AVERAGE, MAX = ConvLayer(3, 3, padding=1, pooling="average"), ConvLayer(3, 3, padding=1, pooling="max")
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


def cross_entropy(output):
    return functional.cross_entropy(output, LABELS)


def squared(output):
    return SquaredError()(output, LABELS)


def twin_gradient(network, loss, x):
    """For the parameters and, last, the input; zero for feedback of the input connection, which acts on nothing."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(network(x)), [*network.parameters(), x], allow_unused=True, materialize_grads=True)


def compare_with_oracle(network, followed):
    network.nudging = Backpropagation(followed)
    graph = Graph.of(network)
    x = torch.rand(len(LABELS), *network.shapes[0]).requires_grad_()
    last = graph.out(graph.unrolled(x, network.free_steps, followed, network.relaxation))
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
        Network(free_steps=7, relaxation=order, time_step=MIXED, neuron="tanh", seed=3, **ARCHITECTURES[name]), followed
    )


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_twin_differentiates_every_neuron_and_the_energy(neuron, dynamics):
    """rho' of an energy is differentiated itself, which no phase of equilibrium propagation does."""
    for time_step in (TimeStep("scalar", mean=0.5), MIXED):
        network = Network(
            [(1, 6, 7), AVERAGE, 5, 4], neuron=neuron, dynamics=dynamics, free_steps=6, time_step=time_step, seed=3
        )
        with torch.no_grad():
            for connection in network.connections:
                connection.bias.add_(0.2)  # hard units that are all silent have no gradient
        compare_with_oracle(network, None)


def test_more_steps_than_the_free_phase_are_all_of_it():
    network, x = Network([5, 7, 4], neuron="tanh", free_steps=6, seed=1), torch.rand(5, 5)
    network.nudging = Backpropagation()
    whole = twin_gradient(network, squared, x)
    network.nudging = Backpropagation(50)
    assert_close(twin_gradient(network, squared, x), whole, rtol=0.0, atol=0.0)


def test_the_twin_refuses_to_follow_no_step():
    with pytest.raises(ConfigError, match=r"learner\.bptt_steps: .*at least 1 or null, got 0"):
        Backpropagation(0)


# ---------------------------------------------------------------- the gradient-descending property


FOLLOWED = 6
DESCENDING = {
    "dense": ({"sizes": [5, 7, 6, 4]}, "mse"),
    "dense, time steps of one": ({"sizes": [5, 7, 6, 4], "time_step": TimeStep("scalar", mean=1.0)}, "mse"),
    "max pool": ({"sizes": [(2, 6, 7), MAX, 4]}, "mse"),
    "average pool": ({"sizes": [(2, 6, 7), AVERAGE, 4]}, "mse"),
    "residual links": ({"sizes": [5, 6, 5, 6, 4], "residual_links": 2}, "mse"),
    "scaled feedback": ({"sizes": [5, 7, 6, 4], "feedback_scale": 0.5}, "mse"),
    "energy": ({"sizes": [5, 7, 6, 4], "dynamics": "energy"}, "mse"),
    "dense read-out": ({"sizes": [5, 7, 6, 4], "readout": "linear"}, "cross_entropy"),
    "read-out of max pool": ({"sizes": [(2, 6, 7), MAX, 4], "readout": "linear"}, "cross_entropy"),
    "read-out of average pool": ({"sizes": [(2, 6, 7), AVERAGE, 4], "readout": "linear"}, "cross_entropy"),
}


@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize("name", DESCENDING)
def test_each_nudged_step_updates_as_backpropagation_through_one_more_step_of_the_past(name, phases):
    """For nudged step t, -(1 / beta) [dPhi/dtheta(s_t+1) - dPhi/dtheta(s_t)] tends to the contribution of free step
    T - t to BPTT, for every t (Ernoult et al. 2019): O(beta) one-sided, O(beta^2) centered. It holds step by step only
    if each step is the derivative of Phi; the sum over steps, which other tests compare, may hide two errors."""
    arguments, cost = DESCENDING[name]
    network = Network(
        **{"neuron": "shifted_sigmoid", "time_step": MIXED, "seed": 2, "free_steps": 300} | arguments,
        nudged_steps=FOLLOWED,
    )
    x = torch.rand(len(LABELS), *network.shapes[0])
    loss, cost = (squared, SquaredError()) if cost == "mse" else (cross_entropy, CrossEntropy())
    expected = Graph.of(network).contributions(loss, x, network.free_steps, FOLLOWED)
    free = network.free_phase(x)
    betas = [2.0**-k for k in (8, 10, 12)]
    curves = []
    for beta in betas:
        # Weights that nobody moves: every update of C-EP is then the instantaneous one.
        updates = list(ContinualNudging(beta, phases, cost=cost).updates(network, free, LABELS))
        assert len(updates) == FOLLOWED
        curves.append(
            [
                max(float((a - e).norm()) for a, e in zip(update, contribution, strict=True))
                for update, contribution in zip(updates, expected, strict=True)
            ]
        )
    scales = [max(float(g.norm()) for g in contribution) for contribution in expected]
    for errors, scale in zip(zip(*curves, strict=True), scales, strict=True):
        assert scale > 1e-5
        assert errors[-1] < (5e-3 if phases == "one_sided" else 1e-5) * scale
        if errors[0] > 1e-9 * scale:  # the first step of an energy's linear output has no bias at all
            power, some = (1.0, 3) if phases == "one_sided" else (2.0, 2)  # beta^2 soon meets the last digits
            slope = np.polyfit(np.log2(betas[:some]), np.log2(errors[:some]), 1)[0]
            assert slope == pytest.approx(power, abs=0.1)
