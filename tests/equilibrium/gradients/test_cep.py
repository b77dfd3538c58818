"""C-EP, whose weights move at every nudged step."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import (
    CEP,
    CostNudging,
    CrossEntropy,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError
from tests.oracles.architectures import (
    ARCHITECTURES,
    AVERAGE,
    LABELS,
    MAX,
    MIXED,
    TARGET,
    cross_entropy,
    images_of,
    made,
    squared,
    wavy,
)
from tests.oracles.graph import Graph
from tests.oracles.networks import biased, loss_by, updates_by
from tests.oracles.vectors import flat, relative_error

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("phases", ["one_sided", "random_sign", "centered"])
@pytest.mark.parametrize(
    ("name", "nudge"), [(n, "inside") for n in ARCHITECTURES] + [(n, "outside") for n in ARCHITECTURES if n != "energy"]
)
def test_every_update_is_that_of_one_step_under_the_weights_it_was_taken_with(name, phases, nudge):
    """-(1 / beta) [dPhi(s_t+1) - dPhi(s_t)], with the caller's move of the weights before the next step. Were a drive
    or a weight of the step before still in use, only the sum over many batches would drift."""
    network, beta, lr = made(name, nudged_steps=4), 0.3, 0.5
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, network.spec.free_steps)
    if phases == "random_sign":
        twin = made(name)
        betas = [beta * twin.body().draw_sign()]
    else:
        betas = [beta, -beta] if phases == "centered" else [beta]
    ends = [list(free) for _ in betas]
    for actual in updates_by(CEP(beta, phases, nudge=nudge), network, x, LABELS):
        expected = [torch.zeros_like(p) for p in graph.parameters]
        for i, signed in enumerate(betas):
            before = ends[i]
            ends[i] = graph.step(x, before, lambda s, b=signed: b * (TARGET - s), outside=nudge == "outside")
            for total, change in zip(expected, graph.contrast(x, ends[i], before), strict=True):
                total -= change / (signed * len(betas) * len(x))
        assert_close(actual, expected, rtol=1e-9, atol=1e-10)
        with torch.no_grad():
            for parameter, leaf, gradient in zip(network.parameters(), graph.parameters, expected, strict=True):
                parameter -= lr * gradient
                leaf -= lr * gradient
    assert float(flat(expected).norm()) > 1e-4


def test_random_signs_of_c_ep_come_from_the_seed():
    """Both signs come up, and the same seed draws the same ones."""

    def first_updates(seed):
        network, x = made("dense", nudged_steps=1, seed=seed), torch.linspace(0, 1, 25).reshape(5, 5)
        return [flat(next(updates_by(CEP(0.3, "random_sign"), network, x, LABELS))) for _ in range(16)]

    drawn = first_updates(3)
    assert len({float(update.norm()) for update in drawn}) == 2
    assert_close(first_updates(3), drawn, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize("name", ["dense", "max pool", "energy"])
def test_the_updates_of_c_ep_add_up_to_cost_nudging_as_the_learning_rate_falls(name, phases):
    """Error proportional to the learning rate, zero at zero, where the sum telescopes."""
    errors, rates = [], [0.0, *(2.0**-k for k in (9, 11, 13))]
    for rate in rates:
        network = made(name)
        x = wavy(len(LABELS), *network.shapes[0])
        loss = loss_by(CostNudging(0.2, phases), network, x, LABELS)
        expected = flat(torch.autograd.grad(loss, list(network.parameters())))
        total = 0.0
        for update in updates_by(CEP(0.2, phases), network, x, LABELS):
            total = total + flat(update)
            with torch.no_grad():
                for parameter, gradient in zip(network.parameters(), update, strict=True):
                    parameter -= rate * gradient
        errors.append(relative_error(total, expected))
    assert errors[0] < 1e-12
    assert errors[-1] > 1e-7
    assert np.polyfit(np.log2(rates[1:]), np.log2(errors[1:]), 1)[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("arguments", [{"phases": "holomorphic"}, {"phases": "centered", "start": "mirrored"}])
def test_phases_that_c_ep_cannot_take_are_refused(arguments):
    with pytest.raises(ConfigError, match=r"^(phases|start): .*C-EP .*got (holomorphic|mirrored)$"):
        CEP(**arguments)


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
    network = biased(
        **{"neuron": "shifted_sigmoid", "time_step": MIXED, "seed": 2, "free_steps": 300} | arguments,
        nudged_steps=FOLLOWED,
    )
    x = torch.rand(len(LABELS), *network.shapes[0])
    loss, cost = (squared, SquaredError()) if cost == "mse" else (cross_entropy, CrossEntropy())
    expected = Graph.of(network).contributions(loss, x, network.spec.free_steps, FOLLOWED)
    betas = [2.0**-k for k in (8, 10, 12)]
    curves = []
    for beta in betas:
        # Weights that nobody moves: every update of C-EP is then the instantaneous one.
        updates = list(updates_by(CEP(beta, phases), network, x, LABELS, cost))
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
