"""What each learning rule gives to weights and to feedback weights of their own."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    Clamping,
    ConvLayer,
    CostNudging,
    LinearNudging,
    TimeStep,
)
from tests.oracles.architectures import AVERAGE, LABELS, MAX, TARGET, images_of
from tests.oracles.graph import Graph
from tests.oracles.networks import biased, loss_by
from tests.oracles.vectors import flat, relative_error

pytestmark = pytest.mark.usefixtures("double")

STEPS = 150
BETAS = [2.0**-k for k in (8, 12)]
ARCHITECTURES = {
    "dense": {"sizes": [5, 7, 6, 4]},
    "max pool": {"sizes": [(2, 6, 7), MAX, 4]},
    "two max pools": {"sizes": [(1, 9, 8), MAX, ConvLayer(2, 2), 4]},
    "average pool": {"sizes": [(2, 6, 7), AVERAGE, 5, 4]},
    "residual links": {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
}
# Of residual links under scaled feedback the gains are no more than an order of magnitude.
CASES = [(name, scale) for name in ARCHITECTURES for scale in (1.0, 0.5) if (name, scale) != ("residual links", 0.5)]


def made(name, **more):
    arguments = {"neuron": "shifted_sigmoid", "time_step": TimeStep("lognormal", mean=0.8, spread=0.3, min=0.4)}
    steps = {"free_steps": STEPS, "nudged_steps": STEPS, "seed": 2}
    return biased(**{**arguments, **steps, **ARCHITECTURES[name], **more})


def equal(network):
    """Feedback set to the weights, but for that into the input, which acts on nothing."""
    with torch.no_grad():
        for connection in list(network.connections)[1:]:
            connection.feedback.copy_(connection.weight)
    return network


def gradient_by(gradient, network, x):
    """Of the cross-entropy, for the parameters by their names and the input as `x`."""
    network = network.with_gradient(gradient)
    x = x.clone().requires_grad_()
    named = {**dict(network.named_parameters()), "x": x}
    loss = functional.cross_entropy(network(x), LABELS)
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_vector_field_rule_is_bptt_of_weights_and_feedback_apart_where_they_are_equal(name, scale, phases):
    """Then the Jacobian is symmetric (up to the scale) and the nudged response is the adjoint: each set of weights, and
    the input, gets the gradient it has as a parameter of its own, in a chain of scaled layers too."""
    network = equal(made(name, feedback="untied", feedback_scale=scale))
    graph, x = Graph.of(network), images_of(network).requires_grad_()
    loss = functional.cross_entropy(graph.unrolled(x, STEPS), LABELS)
    wanted = [*graph.parameters, x]
    expected = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    errors = []
    for beta in BETAS:
        actual = gradient_by(LinearNudging(beta, phases, rule="vector_field"), network, x.detach())
        errors.append(relative_error(flat(actual.values()), flat(expected)))
    power = 1.0 if phases == "one_sided" else 2.0
    assert np.polyfit(np.log2(BETAS), np.log2(errors), 1)[0] == pytest.approx(power, abs=0.06), errors
    for (key, a), e in zip(actual.items(), expected, strict=True):
        if key == "connections.0.feedback":
            assert not a.any()
            assert not e.any()
        else:
            assert relative_error(a, e) < (5e-3 if phases == "one_sided" else 1e-5), key


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_vector_field_rule_is_the_change_above_times_the_free_state_below(name, scale, centered):
    """For feedback the change below times the free state above. Large beta, a free phase cut short and weights of any
    angle, so that winners, signs and factors show to the last digit; what a layer changes is divided by
    the scale of the feedback once for each layer above it."""
    arguments = {"feedback": "untied", "feedback_scale": scale, "init": "glorot"}
    network = made(name, neuron="hard_sigmoid", free_steps=2, nudged_steps=4, **arguments)
    graph, x, beta = Graph.of(network), images_of(network), 0.7
    free = graph.relax(x, 2)
    first = graph.relax(x, 4, free, lambda s: beta * (TARGET - s))
    second = graph.relax(x, 4, free, lambda s: -beta * (TARGET - s)) if centered else free
    ends = [[x, *states] for states in (first, second, free)]
    expected = []
    for edge in graph.edges:
        a, b, rest = ends
        factor = -1.0 / ((2 * beta if centered else beta) * len(x) * scale ** (network.depth - edge.above))
        below, above = rest[edge.below].clone().requires_grad_(), rest[edge.above]
        forward = (edge.sent(below.detach()) * (a[edge.above] - b[edge.above])).sum()
        forces = torch.autograd.grad(edge.phi(below, above, feedback=True), below, create_graph=True)[0]
        backward = (forces * (a[edge.below] - b[edge.below])).sum()
        leaves = [p for p in (edge.weight, edge.bias) if p is not None]
        expected += [factor * g for g in torch.autograd.grad(forward, leaves)]
        expected += [factor * g for g in torch.autograd.grad(backward, [edge.feedback])]
    gradient = CostNudging(beta, "centered" if centered else "one_sided", rule="vector_field")
    loss = loss_by(gradient, network, x, LABELS)
    actual = torch.autograd.grad(loss, list(network.parameters()))
    assert_close(list(actual), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_contrast_rule_gives_both_sets_the_gradient_of_tied_weights(name):
    """So that weights and feedback that start equal stay equal, and those that do not are drawn together by decay."""
    network, tied = equal(made(name, feedback="untied")), made(name)
    x = images_of(network)
    nudging = LinearNudging(BETAS[-1], "centered", rule="contrast")
    expected, actual = gradient_by(nudging, tied, x), gradient_by(nudging, network, x)
    loss = [*Graph.of(tied).bptt(lambda output: functional.cross_entropy(output, LABELS), x, STEPS)]
    exact = dict(zip(expected, loss, strict=True))
    for key, found in actual.items():
        same = key.replace("feedback", "weight")
        assert_close(found, expected[same], rtol=1e-9, atol=1e-12)
        assert relative_error(found, exact[same]) < 1e-5


@pytest.mark.parametrize("feedback", ["tied", "untied"])
@pytest.mark.parametrize("nudging", ["clamped", "one_sided"])
def test_the_predictive_rule_is_the_change_after_times_the_second_state_before(nudging, feedback):
    """dW_ij = x_j (x_i - x*_i) / B with x of the second phase and x* of the free one (Luczak et al. 2022), by hand;
    over beta where the output is nudged. Of untied feedback the lower layer is the one after the synapse."""
    network = made("dense", feedback=feedback, free_steps=7, nudged_steps=4)
    x = images_of(network)
    graph = Graph.of(network)
    free = graph.relax(x, 7)
    if nudging == "clamped":
        loss, scale = loss_by(Clamping(rule="predictive"), network, x, LABELS), 1.0
        second = graph.relax(x, 4, [*free[:-1], TARGET], hold=TARGET)
    else:
        loss, scale = loss_by(CostNudging(0.3, "one_sided", rule="predictive"), network, x, LABELS), 0.3
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
