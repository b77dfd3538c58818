"""Contrastive Hebbian learning, whose output is clamped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import (
    NEURONS,
    ORDERS,
    Adaptation,
    Clamping,
    SquaredError,
)
from clep.equilibrium.phases import second_phase
from tests.oracles.architectures import ARCHITECTURES, LABELS, TARGET, images_of, made, wavy
from tests.oracles.graph import Graph
from tests.oracles.networks import loss_by
from tests.oracles.vectors import flat, relative_error

pytestmark = pytest.mark.usefixtures("double")


def clamping_gradient(network, clamping, x):
    loss = loss_by(clamping, network, x, LABELS)
    assert_close(loss.detach(), SquaredError()(network.free_phase(x).output, LABELS), rtol=0.0, atol=0.0)
    return list(torch.autograd.grad(loss, list(network.parameters())))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_clamping_contrasts_the_free_phase_with_one_whose_output_is_the_target(name, order, restart):
    """-[dPhi/dtheta(clamped) - dPhi/dtheta(free)] / B, both phases relaxed by the oracle. An output that the clamped
    phase moved, or a hidden layer that began at the other phase's end, would show in the last digit alone."""
    network = made(name, relaxation=order, free_steps=7, nudged_steps=4)
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, 7, order=order)
    start = [*(graph.rest(x) if restart else free)[:-1], TARGET]
    clamped = graph.relax(x, 4, start, order=order, hold=TARGET)
    expected = [-g / len(x) for g in graph.contrast(x, clamped, free)]
    assert_close(clamping_gradient(network, Clamping(restart), x), expected, rtol=1e-9, atol=1e-10)


def test_clamping_a_network_without_hidden_layers_is_the_delta_rule():
    """W += (y - s) x': by hand."""
    network = made("no hidden layer")
    x = images_of(network)
    error = network(x).detach() - TARGET
    assert_close(clamping_gradient(network, Clamping(), x), [error.T @ x / 5, error.mean(0)], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("adaptation", [Adaptation(3, 0.2, rescale=False), Adaptation(2, 0.6), Adaptation(0, 0.6)])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["dense", "residual links", "max pool", "energy"])
def test_adaptation_steps_hidden_layers_and_only_lets_go_of_the_clamped_output(name, order, adaptation):
    """Kubo et al. 2022, Eq. 8, as a loop around the oracle's step: s <- (1 - c) F(s) + c s*, where F leaves the output.

    An output that stayed clamped, or relaxed while it is let go of, is another learning rule with similar curves.
    """
    network = made(name, relaxation=order, free_steps=7, nudged_steps=4)
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, 7, order=order)
    states = clamped = graph.relax(x, 4, [*free[:-1], TARGET], order=order, hold=TARGET)
    for _ in range(adaptation.steps):
        states = graph.relax(x, 1, states, order=order, hold=states[-1])
        states = [(1 - adaptation.rate) * s + adaptation.rate * f for s, f in zip(states, free, strict=True)]
    before, after = (flat(graph.contrast(x, ends, free)) for ends in (clamped, states))
    expected = -after / len(x) * (before.norm() / after.norm() if adaptation.rescale else 1.0)
    told = []
    clamping = Clamping(adaptation=replace(adaptation, watch=lambda *norms: told.append(torch.stack(norms))))
    assert_close(flat(clamping_gradient(network, clamping, x)), expected, rtol=1e-9, atol=1e-10)
    assert_close(told, [torch.stack([before.norm(), after.norm()])], rtol=1e-9, atol=0.0)
    assert bool(after.norm() < before.norm()) is (adaptation.steps > 0)


@pytest.mark.parametrize("steps", [1, 20])
def test_after_adaptation_what_is_left_of_the_clamp_is_a_power_of_the_rest(steps):
    """s*_L + (1 - c)^n (target - s*_L), whatever the hidden layers do: 0.12 of the clamp for c = 0.1 and n = 20."""
    network = made("dense")
    free = network.free_phase(images_of(network))
    start = [*(s.clone() for s in free.states[:-1]), TARGET.clone()]
    adaptation = Adaptation(steps, 0.1)
    clamped, adapted = second_phase(free, free.body.dynamics, start, clamped=True, adaptation=adaptation)
    assert torch.equal(clamped[-1], TARGET)
    expected = free.output + 0.9**steps * (TARGET - free.output)
    assert_close(adapted[-1], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("neuron", [name for name in NEURONS if name != "half_hard_sigmoid"])
def test_clamping_under_weak_feedback_approaches_backpropagation(neuron):
    """Xie & Seung 2003: with feedback scaled by gamma and updates by gamma^(l - L), clamping tends to backpropagation
    through the feedforward network, with an error of order gamma. The output jumps by (y - s) whatever its slope: the
    loss is the one whose gradient before rho is s - y, the squared error where rho' = 1 (cross-entropy / 4 for the
    shifted sigmoid)."""
    errors, gammas = [], [2.0**-k for k in (6, 8, 10)]
    for gamma in gammas:
        network = made("dense", neuron=neuron, feedback_scale=gamma, nudged_steps=150)
        with torch.no_grad():
            for connection in network.connections:  # states inside the linear part of hard units
                connection.weight.mul_(0.5)
                connection.bias.fill_(0.0 if neuron.startswith(("centered", "tanh")) else 0.4)
        x = wavy(5, 5)
        graph = Graph.of(network)
        states = [x]
        for edge in graph.edges:
            force = edge.sent(states[-1])
            states.append(NEURONS[neuron](force.clone()))
        loss = (force * (states[-1].detach() - TARGET)).sum() / len(x)
        if neuron in ("hard_sigmoid", "centered_hard_sigmoid"):
            loss = SquaredError()(states[-1], LABELS)
        expected = torch.autograd.grad(loss, graph.parameters)
        actual = clamping_gradient(network, Clamping(), x)
        errors.append(relative_error(flat(actual), flat(expected)))
        assert all(relative_error(a, e) < 8 * gamma for a, e in zip(actual, expected, strict=True))
    assert np.polyfit(np.log2(gammas), np.log2(errors), 1)[0] == pytest.approx(1.0, abs=0.1)
    assert errors[-1] < 2e-3
