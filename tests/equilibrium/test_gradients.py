"""Equilibrium propagation's gradient against relaxations of the oracle and against backpropagation through time."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import PHASES, Adaptation, CostNudging, LinearNudging, Network, SquaredError, TimeStep
from clep.equilibrium.dynamics import Dynamics
from clep.errors import ConfigError
from tests.oracles import bptt, phi
from tests.oracles.vectors import flat, relative_error, slope

MIXED = TimeStep("lognormal", mean=0.8, spread=0.3, min=0.4)
SMALL = [2.0**-k for k in range(8, 15)]
BETAS = {"one_sided": SMALL, "random_sign": SMALL, "centered": SMALL, "holomorphic": [2.0**-k for k in range(3, 8)]}
SLOPES = {"one_sided": 1.0, "random_sign": 1.0, "centered": 2.0, "holomorphic": 4.0}
SMALLEST = {"one_sided": 1e-3, "random_sign": 1e-3, "centered": 1e-6, "holomorphic": 1e-6}
LABELS = torch.tensor([0, 1, 2, 3, 1, 2])


def arbitrary(output):
    """A loss that is neither a squared error nor a sum over samples."""
    return (output.sin() * torch.arange(1.0, 5.0)).sum().exp() + output.std()


LOSSES = {
    "mse": lambda output: SquaredError()(output, LABELS),
    "cross_entropy": lambda output: functional.cross_entropy(output, LABELS),
    "arbitrary": arbitrary,
}


def settled(sizes=(5, 7, 4), steps=120, **arguments):
    """A smooth network whose phases converge to the last digit."""
    arguments = {"neuron": "shifted_sigmoid", "time_step": MIXED, "seed": 2} | arguments
    return Network(sizes, free_steps=steps, nudged_steps=steps, **arguments)


def gradient(network, loss, x):
    """Gradient of `loss(network(x))` for the parameters and, last, the input."""
    x = x.clone().requires_grad_()
    return list(torch.autograd.grad(loss(network(x)), [*network.parameters(), x]))


def cost_gradient(network, nudging, x, labels=LABELS, factor=1.0):
    loss = factor * nudging.loss(network, network.free_phase(x), labels)
    return list(torch.autograd.grad(loss, list(network.parameters())))


def count_phases(monkeypatch):
    """Records, for every relaxation, whether it was nudged."""
    nudged, relax = [], Dynamics.relax

    def counting(self, drive, states, steps, nudge=None, **options):
        nudged.append(nudge is not None)
        return relax(self, drive, states, steps, nudge, **options)

    monkeypatch.setattr(Dynamics, "relax", counting)
    return nudged


# ---------------------------------------------------------------- exact: the equations, relaxed by the oracle


def oracle_contrast(network, x, beta, centered, force, outside):
    """-(1 / distance) [dPhi/dtheta(first) - dPhi/dtheta(second)] for the parameters and x, by autograd of Phi alone."""
    parts, adaptation = phi.Parts.of(network), network.adaptation or Adaptation(steps=0)
    free = [torch.zeros(len(x), size) for size in network.sizes[1:]]
    for _ in range(network.free_steps):
        free = phi.step(x, free, parts)

    def nudged_phase(signed):
        states = free
        for _ in range(network.nudged_steps):
            states = phi.step(x, states, parts, signed * force(states[-1]), outside)
        before = states
        for _ in range(adaptation.steps):
            states = phi.step(x, states, parts, signed * force(states[-1]), outside)
            states = [
                (1 - adaptation.rate) * s + adaptation.rate * s_free for s, s_free in zip(states, free, strict=True)
            ]
        return before, states

    def contrast(first, second, distance):
        leaf = x.clone().requires_grad_()
        difference = phi.phi(leaf, first, parts) - phi.phi(leaf, second, parts)
        return [-g / distance for g in torch.autograd.grad(difference, [*parts.parameters, leaf])]

    first = nudged_phase(beta)
    second = nudged_phase(-beta) if centered else (free, free)
    distance = 2 * beta if centered else beta
    before, after = (contrast(a, b, distance) for a, b in zip(first, second, strict=True))
    if network.adaptation is not None and adaptation.rescale:
        factor = float(flat(before[:-1]).norm() / flat(after[:-1]).norm())
        after = [factor * g for g in after]
    return after


ADAPTATIONS = [None, Adaptation(3, 0.2, rescale=False), Adaptation(2, 0.4, rescale=True)]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("adaptation", ADAPTATIONS)
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize("form", ["linear", "cost inside", "cost outside"])
def test_gradient_equals_the_equations_relaxed_by_the_oracle(form, phases, adaptation, bias):
    """Large beta, few steps, no limit: 1 / beta, signs, batch mean, time steps in the nudged phases, where the nudge
    acts and the order of adaptation all show to the last digit, where a comparison with BPTT would blur them."""
    network = settled((5, 6, 7, 4), seed=3, bias=bias)
    network.free_steps, network.nudged_steps, network.adaptation = 5, 3, adaptation
    x, beta = torch.rand(6, 5), 0.4
    output = network(x).detach().requires_grad_()
    if form == "linear":
        network.nudging = LinearNudging(beta, phases)
        actual = gradient(network, LOSSES["cross_entropy"], x)
        (on_output,) = torch.autograd.grad(LOSSES["cross_entropy"](output), output)
        scale = on_output.abs().max()
        expected = oracle_contrast(network, x, beta, phases == "centered", lambda s: -on_output / scale, False)
        expected = [scale * g for g in expected]
    else:
        outside = form == "cost outside"
        actual = cost_gradient(network, CostNudging(beta, phases, nudge="outside" if outside else "inside"), x)
        target = functional.one_hot(LABELS, 4).double()
        expected = oracle_contrast(network, x, beta, phases == "centered", lambda s: target - s, outside)
        expected = [g / len(x) for g in expected[:-1]]
    assert_close(actual, expected, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- the limit of small beta: BPTT


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("phases", PHASES)
def test_linear_nudging_approaches_bptt_at_the_rate_of_its_phases(phases, loss):
    """error ~ beta (one-sided, random sign), beta^2 (centered) or beta^4 (holomorphic), for parameters and input. A
    biased estimator, say one that lost rho' at the output, would still train, at a constant distance from the
    gradient."""
    network, x = settled(), torch.rand(6, 5)
    expected = flat(bptt.gradients(LOSSES[loss], x, phi.Parts.of(network), network.free_steps))
    errors = []
    for beta in BETAS[phases]:
        network.nudging = LinearNudging(beta, phases)
        errors.append(relative_error(flat(gradient(network, LOSSES[loss], x)), expected))
    assert slope(errors, BETAS[phases]) == pytest.approx(SLOPES[phases], abs=0.02)
    assert errors[-1] < SMALLEST[phases]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("nudge", ["inside", "outside"])
@pytest.mark.parametrize("phases", PHASES)
def test_cost_nudging_approaches_bptt_at_the_rate_of_its_phases(phases, nudge):
    """Inside rho the limit is BPTT of the cost. Outside, the output moves by beta (y - s) where inside it moves by
    beta rho'(u) (y - s): the limit is BPTT of a loss whose gradient at the output is (s - y) / rho'(u)."""
    network, x = settled(), torch.rand(6, 5)
    parts = phi.Parts.of(network)
    loss = LOSSES["mse"]
    if nudge == "outside":
        states = [s.detach() for s in bptt.relax(x, parts, network.free_steps)]
        u = bptt.force_on_output(x, parts, states).detach().requires_grad_()
        (derivative,) = torch.autograd.grad(parts.rho(u).sum(), u)
        error = (states[-1] - functional.one_hot(LABELS, 4)) / derivative / len(x)

        def loss(output):
            return (output * error).sum()

    expected = flat(bptt.gradients(loss, x, parts, network.free_steps)[:-1])
    errors = [
        relative_error(flat(cost_gradient(network, CostNudging(b, phases, nudge), x)), expected) for b in BETAS[phases]
    ]
    assert slope(errors, BETAS[phases]) == pytest.approx(SLOPES[phases], abs=0.02)
    assert errors[-1] < SMALLEST[phases]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("sizes", "inhibition"), [((5, 4), 0.0), ((5, 6, 5, 4), 0.0), ((5, 6, 5, 4), 0.6)])
def test_other_depths_and_inhibited_layers_approach_bptt_too(sizes, inhibition):
    """A network without hidden layers and one with two take other branches of the contrast and of a step; inhibition
    has no parameter of its own, but the gradient of every weight passes through it."""
    network, x = settled(sizes, steps=250, inhibition=inhibition), torch.rand(6, 5)
    expected = flat(bptt.gradients(LOSSES["mse"], x, phi.Parts.of(network), network.free_steps))
    network.nudging = LinearNudging(2.0**-12, "centered")
    assert relative_error(flat(gradient(network, LOSSES["mse"], x)), expected) < 1e-6


@pytest.mark.usefixtures("double")
def test_a_network_between_ordinary_modules_passes_gradients_in_both_directions():
    """The gradient of every parameter above, inside and below equals BPTT; without the vector-Jacobian product for the
    input the layers below would silently learn nothing."""
    below, network, above = nn.Linear(3, 5), settled(), nn.Linear(4, 4)
    network.nudging = LinearNudging(2.0**-12, "centered")
    model = nn.Sequential(nn.Flatten(), below, nn.Sigmoid(), network, above)
    x = torch.rand(6, 1, 3)
    functional.cross_entropy(model(x), LABELS).backward()
    parts = phi.Parts.of(network)
    middle = bptt.output(torch.sigmoid(below(x.flatten(1))), parts, network.free_steps)
    leaves = [*below.parameters(), *parts.parameters, *above.parameters()]
    expected = torch.autograd.grad(functional.cross_entropy(above(middle), LABELS), leaves)
    for p, e in zip(model.parameters(), expected, strict=True):
        assert relative_error(p.grad, e) < 1e-6


# ---------------------------------------------------------------- linear in the incoming gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
def test_a_loss_times_k_has_the_gradient_times_k(phases, dtype):
    """With a nudge of beta dL/ds of any size, hard units saturate: the gradient of 100 losses was 7 of one. Means over
    half batches, accumulation and AMP's loss scale all multiply the loss."""
    network = Network([5, 7, 4], nudging=LinearNudging(0.5, phases), seed=2).to(dtype)
    x = torch.rand(6, 5, dtype=dtype)
    once = flat(gradient(network, LOSSES["mse"], x))
    assert float(once.norm()) > 1e-3
    for k in (1e-3, 0.1, 3.0, 65536.0, 1e5):
        scaled = flat(gradient(network, lambda output, k=k: k * LOSSES["mse"](output), x))
        assert relative_error(scaled / k, once) < 1e-6


@pytest.mark.usefixtures("double")
def test_the_size_of_the_nudge_is_beta_whatever_the_batch():
    """A mean over 6 samples has a sixth of the gradient of their sum; one estimate is a sixth of the other, exactly."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)
    mean = gradient(network, LOSSES["mse"], x)
    total = gradient(network, lambda output: SquaredError("sum")(output, LABELS), x)
    assert_close([6 * g for g in mean], total, rtol=1e-12, atol=1e-12)


def test_a_zero_gradient_skips_the_nudged_phases(monkeypatch):
    """Divided by its largest entry, zero is NaN; and a nudge of zero would cost two relaxations."""
    network = Network([5, 7, 4], seed=2)
    x = torch.rand(6, 5, requires_grad=True)
    nudged = count_phases(monkeypatch)
    (0.0 * network(x).sum()).backward()
    assert nudged == [False]
    for tensor in (*network.parameters(), x):
        assert tensor.grad.shape == tensor.shape
        assert not tensor.grad.any()


def test_a_gradient_that_is_not_a_number_is_passed_on():
    """AMP's scaler and divergence checks look for NaN in the gradients."""
    network = Network([5, 7, 4], seed=2)
    (torch.nan * network(torch.rand(6, 5)).sum()).backward()
    assert all(torch.isnan(p.grad).all() for p in network.parameters())


def test_the_number_of_phases_is_the_one_documented(monkeypatch):
    nudged = count_phases(monkeypatch)
    for phases, expected in (("one_sided", 1), ("random_sign", 1), ("centered", 2), ("holomorphic", 3)):
        network = Network([5, 7, 4], neuron="tanh", nudging=LinearNudging(0.5, phases))
        nudged.clear()
        loss = LOSSES["mse"](network(torch.rand(6, 5)))
        assert nudged == [False]
        loss.backward()
        assert nudged == [False] + [True] * expected


def test_without_gradients_only_the_free_phase_runs(monkeypatch):
    """Evaluation would cost several times as much, and draw random signs that training then misses."""
    network = Network([5, 7, 4], seed=2)
    x = torch.rand(6, 5)
    nudged = count_phases(monkeypatch)
    with torch.no_grad():
        output = network(x)
    assert not output.requires_grad
    assert nudged == [False]
    assert_close(network(x).detach(), output, rtol=0.0, atol=0.0)


# ---------------------------------------------------------------- phases


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("form", ["linear", "cost"])
def test_centered_is_the_mean_of_the_two_one_sided_estimates(form):
    """(a - c) / 2 beta = [(a - b) / beta + (c - b) / -beta] / 2: a factor of two in either would go unnoticed as a
    learning rate."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)

    def estimate(beta, phases):
        if form == "cost":
            return flat(cost_gradient(network, CostNudging(beta, phases), x))
        network.nudging = LinearNudging(beta, phases)
        return flat(gradient(network, LOSSES["mse"], x))

    mean = (estimate(0.3, "one_sided") + estimate(-0.3, "one_sided")) / 2
    assert_close(estimate(0.3, "centered"), mean, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_random_sign_is_one_sided_with_either_sign():
    """Each draw is exactly one of the two one-sided estimates, both come up, and the seed decides which."""

    def draws(seed):
        network, x = Network([5, 7, 4], seed=seed), torch.linspace(0.0, 1.0, 30).reshape(6, 5)
        estimates = {}
        for sign in (1.0, -1.0):
            network.nudging = LinearNudging(sign * 0.3, "one_sided")
            estimates[sign] = flat(gradient(network, LOSSES["mse"], x))
        assert relative_error(estimates[1.0], estimates[-1.0]) > 1e-3
        network.nudging = LinearNudging(0.3, "random_sign")
        signs = []
        for _ in range(24):
            drawn = flat(gradient(network, LOSSES["mse"], x))
            signs += [sign for sign, estimate in estimates.items() if torch.allclose(drawn, estimate, 1e-12, 1e-12)]
        assert len(signs) == 24
        assert set(signs) == {1.0, -1.0}
        return signs

    assert draws(2) == draws(2)
    assert draws(2) != draws(3)


# ---------------------------------------------------------------- cost nudging


@pytest.mark.usefixtures("double")
def test_the_loss_of_cost_nudging_is_the_mean_cost_of_the_free_equilibrium():
    network, x = settled(), torch.rand(6, 5)
    output = network.free_phase(x).output
    errors = [[output[i, k] - float(k == label) for k in range(4)] for i, label in enumerate(LABELS.tolist())]
    by_hand = sum(0.5 * error**2 for row in errors for error in row) / 6
    loss = CostNudging().loss(network, network.free_phase(x), LABELS)
    assert_close(loss.detach(), by_hand, rtol=1e-12, atol=0.0)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("nudge", ["inside", "outside"])
def test_cost_nudging_scales_with_the_loss_and_averages_over_the_batch(nudge):
    """Factor k: gradient times k. A batch: the mean of its halves, since each sample is nudged by its own cost. A sum
    in place of the mean would go unnoticed as a learning rate that depends on the size of the batch."""
    network, x = Network([5, 7, 4], neuron="tanh", seed=2), torch.rand(6, 5)
    nudging = CostNudging(0.5, "centered", nudge)
    whole = cost_gradient(network, nudging, x)
    for k in (-2.0, 1e-3, 1e5):
        scaled = cost_gradient(network, nudging, x, factor=k)
        assert_close(scaled, [k * g for g in whole], rtol=1e-12, atol=0.0)
    halves = [cost_gradient(network, nudging, x[i : i + 3], LABELS[i : i + 3]) for i in (0, 3)]
    assert_close([(a + b) / 2 for a, b in zip(*halves, strict=True)], whole, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_linear_nudging_averages_over_half_batches_up_to_its_bias():
    """The nudge is scaled per batch, so halves agree with the whole where the estimate is unbiased: at small beta."""
    network, x = settled(), torch.rand(6, 5)
    network.nudging = LinearNudging(2.0**-12, "centered")
    whole = flat(gradient(network, LOSSES["mse"], x)[:-1])
    halves = [
        flat(gradient(network, lambda o, i=i: SquaredError()(o, LABELS[i : i + 3]), x[i : i + 3])[:-1]) for i in (0, 3)
    ]
    assert relative_error(sum(halves) / 2, whole) < 1e-6


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "nudging",
    [
        form(beta, phases, *rest)
        for beta, phases in itertools.product((0.01, -0.01), PHASES)
        for form, rest in ((LinearNudging, ()), (CostNudging, ("inside",)), (CostNudging, ("outside",)))
    ],
)
def test_a_step_along_minus_the_gradient_lowers_the_loss(nudging):
    """Of a flipped sign nothing else tells: the loss of a continual learner rises and falls anyway."""
    network, x = settled(), torch.rand(6, 5)
    if isinstance(nudging, LinearNudging):
        network.nudging = nudging
        gradients = gradient(network, LOSSES["mse"], x)[:-1]
    else:
        gradients = cost_gradient(network, nudging, x)
    with torch.no_grad():
        before = LOSSES["mse"](network(x))
        for p, g in zip(network.parameters(), gradients, strict=True):
            p -= 1e-3 * g
        after = LOSSES["mse"](network(x))
    squared = float(flat(gradients).square().sum())
    assert float(before - after) > 0.0
    if getattr(nudging, "nudge", "inside") == "inside":
        assert float(before - after) == pytest.approx(1e-3 * squared, rel=0.05)


# ---------------------------------------------------------------- autograd's contract


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("cost", [False, True])
def test_two_forwards_before_the_first_backward_do_not_disturb_each_other(cost):
    """MIR and GEM call the model again before they differentiate; states kept on the network would be overwritten."""
    network = Network([5, 7, 4], seed=2)
    x, other = torch.rand(2, 6, 5)

    def loss(batch):
        return CostNudging().loss(network, network.free_phase(batch), LABELS) if cost else LOSSES["mse"](network(batch))

    expected = [torch.autograd.grad(loss(batch), list(network.parameters())) for batch in (x, other)]
    first, second = loss(x), loss(other)
    actual = [torch.autograd.grad(value, list(network.parameters())) for value in (first, second)]
    assert_close(actual, expected, rtol=0.0, atol=0.0)


@pytest.mark.usefixtures("double")
def test_gradients_accumulate_and_a_retained_graph_gives_the_same_again():
    """The nudged phases must not write into the free states that they start from."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)
    loss = LOSSES["mse"](network(x))
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in network.parameters()]
    loss.backward()
    assert_close([p.grad for p in network.parameters()], [2 * g for g in once], rtol=0.0, atol=0.0)


def test_a_network_can_be_copied_after_a_forward_and_a_backward():
    """LwF keeps a deep copy as its teacher; a tensor with a history as an attribute would make deepcopy raise."""
    network, x = Network([5, 7, 4], nudging=LinearNudging(0.5, "random_sign"), seed=2), torch.rand(6, 5)
    network.adaptation = Adaptation()
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
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)
    loss = CostNudging().loss(network, network.free_phase(x), LABELS) if cost else LOSSES["mse"](network(x))
    with torch.no_grad():
        network.connections[1].bias.add_(0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("cost", [False, True])
def test_a_frozen_parameter_gets_no_gradient_and_the_others_keep_theirs(cost):
    """Gradients come back by position: one left out must not shift the rest."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)

    def backward():
        network.zero_grad()
        loss = CostNudging().loss(network, network.free_phase(x), LABELS) if cost else LOSSES["mse"](network(x))
        loss.backward()
        return [None if p.grad is None else p.grad.clone() for p in network.parameters()]

    expected = backward()
    for frozen, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(False)
        actual = backward()
        assert actual[frozen] is None
        assert all(torch.equal(a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True)) if i != frozen)
        parameter.requires_grad_(True)


def test_an_input_alone_can_be_differentiated():
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)
    expected = gradient(network, LOSSES["mse"], x)[-1]
    network.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    LOSSES["mse"](network(leaf)).backward()
    assert torch.equal(leaf.grad, expected)
    assert all(p.grad is None for p in network.parameters())


def test_an_output_may_be_changed_in_place():
    """As `nn.ReLU(inplace=True)` after the network does: the states that the nudged phases start from are not it."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)
    expected = gradient(network, lambda output: (3.0 * output).square().sum(), x)
    assert_close(gradient(network, lambda output: output.mul_(3.0).square().sum(), x), expected, rtol=0.0, atol=0.0)


def test_a_gradient_of_the_gradient_is_refused():
    """It would be zero, silently, since the nudged phases record no graph."""
    network = Network([5, 7, 4], seed=2)
    loss = LOSSES["mse"](network(torch.rand(6, 5)))
    (first, *_) = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_has_the_dtype_of_the_parameters(dtype):
    """A buffer left in float32 would round a float64 relaxation, or a float64 one slow a float32 network down."""
    network = Network([5, 7, 4], seed=2).to(dtype)
    network.adaptation = Adaptation()
    x = torch.rand(6, 5, dtype=dtype)
    assert network(x).dtype == network.residual.dtype == dtype
    assert {g.dtype for g in gradient(network, LOSSES["mse"], x)} == {dtype}
    assert {g.dtype for g in cost_gradient(network, CostNudging(), x)} == {dtype}
    assert {norm.dtype for norm in network.contrast_norms} == {dtype}


@pytest.mark.parametrize("cost", [False, True])
def test_autocast_changes_no_digit_of_the_network(cost):
    """Mixed precision multiplies in half precision; a contrast of two nearly equal half-precision states is noise."""
    network, x = Network([5, 7, 4], seed=2), torch.rand(6, 5)

    def run(batch):
        if cost:
            return cost_gradient(network, CostNudging(), batch)
        return gradient(network, LOSSES["mse"], batch)

    expected = run(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(x).dtype == torch.float32
        assert_close(run(x), expected, rtol=0.0, atol=0.0)
        half = nn.Linear(5, 5)(x).requires_grad_()
        assert half.dtype == torch.bfloat16
        assert network(half).dtype == torch.float32
        network(half).sum().backward()


def test_a_contrast_keeps_the_digits_that_nearly_equal_states_have():
    """a1 b1' - a2 b2' in float32 has errors of 6e-8 whatever the contrast: 1 % of it where states differ by 1e-5."""
    connection = Network([9, 7], seed=1).connections[0]
    below, above = torch.rand(64, 9), torch.rand(64, 7)
    first = (below, above)
    second = (below + 1e-5 * torch.rand(64, 9), above + 1e-5 * torch.rand(64, 7))
    weight, bias = connection.differences(first, second, second, 1.0, "contrast")
    b1, a1, b2, a2 = (t.double() for t in (*first, *second))
    assert relative_error(weight.double(), a1.T @ b1 - a2.T @ b2) < 1e-5
    assert relative_error(bias.double(), (a1 - a2).sum(0)) < 1e-5
    same = connection.differences(first, (below.clone(), above.clone()), second, 1.0, "contrast")
    assert not torch.stack([g.abs().max() for g in same]).any()


# ---------------------------------------------------------------- adaptation


def adapted(adaptation, network, x, form="linear"):
    network.adaptation = adaptation
    gradients = cost_gradient(network, CostNudging(), x) if form == "cost" else gradient(network, LOSSES["mse"], x)
    network.adaptation = None
    return flat(gradients)


@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize("rescale", [False, True])
def test_adaptation_at_a_rate_of_one_leaves_no_contrast(rescale, phases):
    """s <- s*: the update is zero, to the bit. Rounding left over must not be blown up to the norm of the update."""
    network, x = Network([5, 7, 6, 4], nudging=LinearNudging(0.5, phases), seed=2), torch.rand(6, 5)
    assert not adapted(Adaptation(3, 1.0, rescale), network, x).any()
    assert float(network.contrast_norms[0]) > 0.0
    assert float(network.contrast_norms[1]) == 0.0


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("form", ["linear", "cost"])
def test_adaptation_without_steps_or_rate_changes_nothing(form):
    """No steps: the plain update, to the bit. Rate zero: as many ordinary nudged steps more."""
    network, x = Network([5, 7, 4], nudged_steps=3, seed=2), torch.rand(6, 5)
    plain = adapted(None, network, x, form)
    assert network.contrast_norms is None
    assert torch.equal(adapted(Adaptation(0, 0.5), network, x, form), plain)
    longer = adapted(Adaptation(4, 0.0, rescale=False), network, x, form)
    network.nudged_steps = 7
    assert torch.equal(longer, adapted(None, network, x, form))
    assert not torch.allclose(longer, plain)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
def test_adaptation_changes_the_direction_and_rescaling_keeps_the_norm(phases, record_property):
    """Under centered nudging adaptation shrinks the update by nearly one factor: unless the norm is restored, a gain
    over plain EP would be that of a smaller learning rate."""
    network, x = settled(nudging=LinearNudging(0.5, phases)), torch.rand(6, 5)
    on_parameters = slice(0, -x.numel())
    plain = adapted(None, network, x)
    shrunk = adapted(Adaptation(5, 0.1, rescale=False), network, x)
    kept = adapted(Adaptation(5, 0.1, rescale=True), network, x)
    before, after = (float(norm) for norm in network.contrast_norms)
    cosine = float(functional.cosine_similarity(plain[on_parameters], shrunk[on_parameters], dim=0))
    record_property("cosine_of_adapted_to_plain_update", cosine)
    assert 0.9 < cosine < 1.0 - 1e-6
    assert float(shrunk.norm()) < 0.95 * float(plain.norm())
    assert float(kept[on_parameters].norm()) == pytest.approx(float(plain[on_parameters].norm()), rel=1e-12)
    assert before / after == pytest.approx(float(plain[on_parameters].norm() / shrunk[on_parameters].norm()), rel=1e-12)
    assert relative_error(kept, shrunk * before / after) < 1e-12


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LinearNudging(beta=0.0), ["learner.beta", "other than 0", "got 0.0"]),
        (lambda: CostNudging(beta=0.0), ["learner.beta", "other than 0", "got 0.0"]),
        (lambda: LinearNudging(phases="centred"), ["learner.phases", "`centred`", *PHASES]),
        (lambda: CostNudging(phases="both"), ["learner.phases", "`both`", *PHASES]),
        (lambda: CostNudging(nudge="above"), ["learner.nudge", "`inside`", "`outside`", "`above`"]),
        (lambda: CostNudging(cost=SquaredError("sum")), ["cost", "`mean`", "`sum`"]),
        (lambda: SquaredError("average"), ["reduction", "`average`", "mean", "sum", "none"]),
        (lambda: Adaptation(steps=-1), ["steps", "at least 0", "-1"]),
        (lambda: Adaptation(rate=1.5), ["rate", "[0, 1]", "1.5"]),
        (lambda: Adaptation(rate=-0.1), ["rate", "[0, 1]", "-0.1"]),
        (lambda: replace(LinearNudging(), beta=0.0), ["learner.beta"]),
    ],
)
def test_bad_arguments_are_refused_with_the_key_and_what_is_allowed(make, words):
    with pytest.raises(ConfigError) as error:
        make()
    assert all(word in str(error.value) for word in words)


def test_reductions_of_the_squared_error():
    """C = 1/2 |s - onehot(y)|^2, by hand."""
    output, labels = torch.tensor([[0.5, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    assert_close(SquaredError("none")(output, labels), torch.tensor([0.125, 0.5]))
    assert_close(SquaredError("sum")(output, labels), torch.tensor(0.625))
    assert_close(SquaredError()(output, labels), torch.tensor(0.3125))
