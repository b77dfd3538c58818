"""C-EP, whose weights move at every nudged step, and contrastive Hebbian learning, whose output is clamped."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    NEURONS,
    ORDERS,
    Adaptation,
    Clamping,
    ContinualNudging,
    ConvLayer,
    CostNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.equilibrium.phases import second_phase
from clep.errors import ConfigError
from tests.oracles.graph import Graph
from tests.oracles.vectors import flat, relative_error

pytestmark = pytest.mark.usefixtures("double")

MIXED = TimeStep("lognormal", mean=0.7, spread=0.3, min=0.3)
LABELS = torch.tensor([0, 1, 2, 3, 1])
TARGET = functional.one_hot(LABELS, 4).double()
AVERAGE, MAX = ConvLayer(3, 3, padding=1, pooling="average"), ConvLayer(3, 3, padding=1, pooling="max")
ARCHITECTURES = {
    "dense": {"sizes": [5, 7, 6, 4]},
    "no hidden layer": {"sizes": [5, 4]},
    "residual links": {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
    "max pool": {"sizes": [(2, 6, 7), MAX, 5, 4]},
    "two max pools": {"sizes": [(1, 9, 8), MAX, ConvLayer(3, 2), 4], "neuron": "hard_sigmoid"},
    "average pool": {"sizes": [(2, 6, 7), AVERAGE, 4]},
    "energy": {"sizes": [5, 7, 6, 4], "dynamics": "energy"},
}


def made(name, **more):
    arguments = {"neuron": "shifted_sigmoid", "time_step": MIXED, "free_steps": 150, "nudged_steps": 6, "seed": 2}
    return Network(**{**arguments, **ARCHITECTURES[name], **more})


def images_of(network):
    return torch.rand(len(LABELS), *network.shapes[0])


def wavy(*shape):
    """Numbers in [-1, 1] without an order, the same whenever they are asked for."""
    return torch.sin(37.0 * torch.arange(1.0 + np.prod(shape))[1:]).reshape(shape)


# ---------------------------------------------------------------- C-EP


@pytest.mark.parametrize("phases", ["one_sided", "random_sign", "centered"])
@pytest.mark.parametrize(
    ("name", "nudge"), [(n, "inside") for n in ARCHITECTURES] + [(n, "outside") for n in ARCHITECTURES if n != "energy"]
)
def test_every_update_is_that_of_one_step_under_the_weights_it_was_taken_with(name, phases, nudge):
    """-(1 / beta) [dPhi(s_t+1) - dPhi(s_t)], with the caller's move of the weights before the next step. Were a drive
    or a weight of the step before still in use, only the sum over many batches would drift."""
    network, beta, lr = made(name, nudged_steps=4), 0.3, 0.5
    x = images_of(network)
    graph, start = Graph.of(network), network.free_phase(x)
    free = graph.relax(x, network.free_steps)
    if phases == "random_sign":
        twin = made(name)
        betas = [beta * twin.draw_sign()]
    else:
        betas = [beta, -beta] if phases == "centered" else [beta]
    ends = [list(free) for _ in betas]
    for actual in ContinualNudging(beta, phases, nudge=nudge).updates(network, start, LABELS):
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


def test_random_signs_of_continual_nudging_come_from_the_seed():
    """Both signs come up, and the same seed draws the same ones."""

    def first_updates(seed):
        network, x = made("dense", nudged_steps=1, seed=seed), torch.linspace(0, 1, 25).reshape(5, 5)
        free = network.free_phase(x)
        return [flat(next(ContinualNudging(0.3, "random_sign").updates(network, free, LABELS))) for _ in range(16)]

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
        loss = CostNudging(0.2, phases).loss(network, network.free_phase(x), LABELS)
        expected = flat(torch.autograd.grad(loss, list(network.parameters())))
        total = 0.0
        for update in ContinualNudging(0.2, phases).updates(network, network.free_phase(x), LABELS):
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
    with pytest.raises(ConfigError, match=r"learner\.phases: C-EP .*got (holomorphic|centered), (free|mirrored)"):
        ContinualNudging(**arguments)


# ---------------------------------------------------------------- contrastive Hebbian learning


def clamping_gradient(network, clamping, x):
    loss = clamping.loss(network, network.free_phase(x), LABELS)
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
    network.adaptation = adaptation
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, 7, order=order)
    states = clamped = graph.relax(x, 4, [*free[:-1], TARGET], order=order, hold=TARGET)
    for _ in range(adaptation.steps):
        states = graph.relax(x, 1, states, order=order, hold=states[-1])
        states = [(1 - adaptation.rate) * s + adaptation.rate * f for s, f in zip(states, free, strict=True)]
    before, after = (flat(graph.contrast(x, ends, free)) for ends in (clamped, states))
    expected = -after / len(x) * (before.norm() / after.norm() if adaptation.rescale else 1.0)
    assert_close(flat(clamping_gradient(network, Clamping(), x)), expected, rtol=1e-9, atol=1e-10)
    assert_close(torch.stack(network.contrast_norms), torch.stack([before.norm(), after.norm()]), rtol=1e-9, atol=0.0)
    assert bool(after.norm() < before.norm()) is (adaptation.steps > 0)


@pytest.mark.parametrize("steps", [1, 20])
def test_after_adaptation_what_is_left_of_the_clamp_is_a_power_of_the_rest(steps):
    """s*_L + (1 - c)^n (target - s*_L), whatever the hidden layers do: 0.12 of the clamp for c = 0.1 and n = 20."""
    network = made("dense")
    network.adaptation = Adaptation(steps, 0.1)
    free = network.free_phase(images_of(network))
    start = [*(s.clone() for s in free.states[:-1]), TARGET.clone()]
    clamped, adapted = second_phase(network, free, free.dynamics, start, clamped=True)
    assert torch.equal(clamped[-1], TARGET)
    expected = free.output + 0.9**steps * (TARGET - free.output)
    assert_close(adapted[-1], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("feedback", ["tied", "untied"])
@pytest.mark.parametrize("nudging", ["clamped", "one_sided"])
def test_the_predictive_rule_is_the_change_after_times_the_second_state_before(nudging, feedback):
    """dW_ij = x_j (x_i - x*_i) / B with x of the second phase and x* of the free one (Luczak et al. 2022), by hand;
    over beta where the output is nudged. Of untied feedback the lower layer is the one after the synapse."""
    network = made("dense", rule="predictive", feedback=feedback, free_steps=7, nudged_steps=4)
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, 7)
    if nudging == "clamped":
        loss, scale = Clamping().loss(network, network.free_phase(x), LABELS), 1.0
        second = graph.relax(x, 4, [*free[:-1], TARGET], hold=TARGET)
    else:
        loss, scale = CostNudging(0.3, "one_sided").loss(network, network.free_phase(x), LABELS), 0.3
        second = graph.relax(x, 4, free, nudge=lambda s: 0.3 * (TARGET - s))
    loss.backward()
    below = [x, *second[:-1]]
    for i, connection in enumerate(network.connections):
        change = (free[i] - second[i]) / (scale * len(x))
        assert_close(connection.weight.grad, change.T @ below[i], rtol=1e-9, atol=1e-12)
        assert_close(connection.bias.grad, change.sum(0), rtol=1e-9, atol=1e-12)
        if feedback == "untied":
            moved = torch.zeros_like(x) if i == 0 else (free[i - 1] - second[i - 1]) / (scale * len(x))
            assert_close(connection.feedback.grad, second[i].T @ moved, rtol=1e-9, atol=1e-12)


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
