"""The limit of small beta in every architecture: the gradient of BPTT through steps by autograd of Phi."""

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import (
    PHASES,
    ConvLayer,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    SquaredError,
    TimeStep,
)
from tests.oracles.architectures import AVERAGE, LABELS, MAX, cross_entropy, images_of, squared
from tests.oracles.graph import Graph
from tests.oracles.networks import MIXED, SLOPES, biased, change, loss_by
from tests.oracles.vectors import flat, relative_error, slope

pytestmark = pytest.mark.usefixtures("double")

SLOW = TimeStep("lognormal", mean=0.4, spread=0.3, min=0.2)
STEPS = 150
SMALL = [2.0**-k for k in (8, 10, 12)]
BETAS = {"one_sided": SMALL, "random_sign": SMALL, "centered": SMALL, "holomorphic": [2.0**-k for k in (4, 5, 6)]}
SMALLEST = {"one_sided": 2e-3, "random_sign": 2e-3, "centered": 2e-6, "holomorphic": 2e-5}

ARCHITECTURES = {
    "dense": {"sizes": [5, 7, 4]},
    "residual links": {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
    "average pool": {"sizes": [(2, 6, 7), AVERAGE, 4]},
    "max pool": {"sizes": [(2, 6, 7), MAX, 4]},
    "two max pools": {"sizes": [(1, 9, 8), MAX, ConvLayer(2, 2), 4]},
    "stride and dense": {"sizes": [(1, 8, 7), ConvLayer(3, 3, stride=2, pooling="none"), 5, 4]},
    "energy": {"sizes": [5, 7, 6, 4], "dynamics": "energy", "time_step": SLOW, "neuron": "tanh"},
    "energy, average pool": {"sizes": [(2, 6, 7), AVERAGE, 4], "dynamics": "energy", "time_step": SLOW},
    "asynchronous": {"sizes": [5, 7, 6, 4], "relaxation": "asynchronous"},
    "dense read-out": {"sizes": [5, 7, 6, 4], "readout": "linear"},
    "read-out of images": {"sizes": [(1, 6, 7), AVERAGE, 4], "readout": "linear"},
    "read-out of max pool": {"sizes": [(1, 6, 7), MAX, 4], "readout": "linear"},
    "read-out of an energy": {"sizes": [5, 7, 6, 4], "readout": "linear", "dynamics": "energy", "time_step": SLOW},
}
READ_OUTS = [name for name, arguments in ARCHITECTURES.items() if "readout" in arguments]
# Max pooling is not analytic; a random sign draws between two one-sided estimates, which other tests compare.
CASES = [(n, p) for n in ARCHITECTURES for p in PHASES if not (p == "holomorphic" and "max pool" in n)]
TYPICAL = ("dense", "max pool", "energy", "read-out of images")
CASES = [(name, phases) for name, phases in CASES if phases != "random_sign" or name in TYPICAL[:3]]
# What an architecture does to the gradient shows in the centered phases; the others repeat it for the typical ones.
CASES = [
    pytest.param(*case, marks=[] if case[1] == "centered" or case[0] in TYPICAL else pytest.mark.slow) for case in CASES
]


def settled(sizes, **arguments):
    """A smooth network whose phases converge to the last digit."""
    arguments = {"neuron": "shifted_sigmoid", "time_step": MIXED, "seed": 2} | arguments
    steps = 2 * STEPS if arguments["time_step"] is SLOW else STEPS
    return biased(sizes, free_steps=steps, nudged_steps=steps, **arguments)


def linear_gradient(network, gradient, loss, x):
    """For the parameters and, last, the input."""
    network.gradient = gradient
    x = x.clone().requires_grad_()
    return list(torch.autograd.grad(loss(network(x)), [*network.parameters(), x]))


def cost_gradient(network, gradient, x, cost=None):
    return list(torch.autograd.grad(loss_by(gradient, network, x, LABELS, cost), list(network.parameters())))


def converges(estimate, expected, phases):
    """The error of `estimate(beta)` falls as the power of beta that belongs to `phases`, to nearly nothing."""
    errors = [relative_error(flat(estimate(beta)), expected) for beta in BETAS[phases]]
    assert slope(errors, BETAS[phases]) == pytest.approx(SLOPES[phases], abs=0.06), errors
    assert errors[-1] < SMALLEST[phases]


@pytest.mark.parametrize(("name", "phases"), CASES)
def test_linear_nudging_approaches_bptt_in_every_architecture(name, phases):
    """For all parameters, those of a linear read-out too, and the input; the loss is one that no cost of ours knows. A
    contrast with the winners of another state, or without rho of an energy's states, would be off by a constant."""
    network = settled(**ARCHITECTURES[name])
    x = images_of(network)
    expected = flat(Graph.of(network).bptt(cross_entropy, x, network.spec.free_steps))
    converges(lambda beta: linear_gradient(network, LinearNudging(beta, phases), cross_entropy, x), expected, phases)


@pytest.mark.parametrize(("name", "phases"), CASES)
def test_cost_nudging_approaches_bptt_in_every_architecture(name, phases):
    """The squared error on the last state; with a read-out the cross-entropy of what is read, whose weights get their
    gradient too."""
    network = settled(**ARCHITECTURES[name])
    x = images_of(network)
    loss, cost = (cross_entropy, CrossEntropy()) if name in READ_OUTS else (squared, SquaredError())
    expected = flat(Graph.of(network).bptt(loss, x, network.spec.free_steps)[:-1])
    converges(lambda beta: cost_gradient(network, CostNudging(beta, phases), x, cost), expected, phases)


@pytest.mark.parametrize("points", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("form", ["linear", "cost"])
def test_the_bias_of_n_points_on_a_circle_falls_as_the_nth_power_of_beta(form, points):
    """The sum of f(beta w^k) w^-k over the roots w^k of one keeps the powers 1, N + 1, 2 N + 1, ... of beta. A point
    counted once instead of with its conjugate would leave a bias of lower order."""
    network = settled(**ARCHITECTURES["dense read-out"])
    x = images_of(network)
    expected = flat(Graph.of(network).bptt(cross_entropy, x, network.spec.free_steps)[:-1])
    betas = [2.0**-k for k in {2: (4, 6, 8), 3: (3, 4, 5), 4: (2, 3, 4), 5: (1, 2, 3), 6: (1, 2, 3)}[points]]
    errors = []
    for beta in betas:
        if form == "linear":
            gradient = LinearNudging(beta, "holomorphic", points=points)
            estimate = linear_gradient(network, gradient, cross_entropy, x)[:-1]
        else:
            estimate = cost_gradient(network, CostNudging(beta, "holomorphic", points=points), x, CrossEntropy())
        errors.append(relative_error(flat(estimate), expected))
    assert slope(errors, betas) == pytest.approx(points, abs=0.1), errors


@pytest.mark.parametrize("name", ["dense", "average pool", "energy"])
def test_two_points_are_the_centered_phases(name):
    """Whatever beta: both contrast +beta and -beta."""
    network = settled(**ARCHITECTURES[name])
    change(network, nudged_steps=7)
    x = images_of(network)
    circle, centered = {"phases": "holomorphic", "points": 2}, {"phases": "centered"}
    for estimate in (
        lambda how: linear_gradient(network, LinearNudging(0.4, **how), squared, x),
        lambda how: cost_gradient(network, CostNudging(0.4, **how), x),
    ):
        assert_close(estimate(circle), estimate(centered), rtol=0.0, atol=1e-14)  # both phases run as one batch


@pytest.mark.parametrize("scale", [0.3, 1.7])
@pytest.mark.parametrize(
    "arguments",
    [
        {"sizes": [5, 4]},
        {"sizes": [5, 7, 6, 4]},
        {"sizes": [(1, 6, 7), MAX, 5, 4]},
        {"sizes": [5, 7, 6, 4], "readout": "linear"},
    ],
    ids=["no hidden layer", "dense", "max pool", "read-out"],
)
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
def test_scaled_feedback_keeps_the_gradient_that_of_the_loss(phases, arguments, scale):
    """BPTT of the scaled network itself. Each layer of feedback scales the contrast below it once more; without the
    gains the lower layers would learn 3, 11, ... times too slowly, which only an adaptive optimiser hides."""
    network = settled(feedback_scale=scale, **arguments)
    x = images_of(network)
    expected = Graph.of(network).bptt(cross_entropy, x, network.spec.free_steps)
    converges(
        lambda beta: linear_gradient(network, LinearNudging(beta, phases), cross_entropy, x), flat(expected), phases
    )


@pytest.mark.parametrize("loss", [squared, lambda z: (z.sin() * torch.arange(1.0, 5.0)).sum().exp() + z.std()])
def test_any_loss_of_a_read_out_reaches_its_weights_the_layers_below_and_the_input(loss):
    """The read-out is an ordinary module after the equilibrium: its gradient is exact, the others' to order beta^2."""
    network = settled(**ARCHITECTURES["read-out of max pool"])
    x = images_of(network)
    expected = Graph.of(network).bptt(loss, x, network.spec.free_steps)
    actual = linear_gradient(network, LinearNudging(SMALL[-1], "centered"), loss, x)
    assert_close(actual[-3:-1], expected[-3:-1], rtol=1e-9, atol=1e-12)
    for a, e in zip(actual, expected, strict=True):
        assert relative_error(a, e) < 1e-5


@pytest.mark.parametrize("form", ["linear", "cost"])
@pytest.mark.parametrize("name", ["dense", "max pool", "energy"])
def test_a_mirrored_start_has_the_same_limit_and_is_nearer_to_it_after_few_steps(name, form):
    """The second phase begins at 2 s* - s^beta, where to first order it ends. Converged phases forget where they
    began; after a few steps a phase from s* is as far behind as the first, one from the mirror is ahead of it."""
    network = settled(**ARCHITECTURES[name])
    x = images_of(network)
    expected = flat(Graph.of(network).bptt(squared, x, network.spec.free_steps)[:-1])

    def estimate(start):
        if form == "cost":
            return flat(cost_gradient(network, CostNudging(2.0**-6, "centered", start=start), x))
        return flat(linear_gradient(network, LinearNudging(2.0**-6, "centered", start=start), squared, x)[:-1])

    assert relative_error(estimate("mirrored"), estimate("free")) < 1e-8
    for steps in (2, 3, 5):
        change(network, nudged_steps=steps)
        assert relative_error(estimate("mirrored"), expected) < 0.9 * relative_error(estimate("free"), expected)
