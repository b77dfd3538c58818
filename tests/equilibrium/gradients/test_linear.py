"""Linear nudging: the vector-Jacobian product of the free equilibrium, for any loss."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import PHASES, LinearNudging, SquaredError
from tests.oracles import bptt, phi
from tests.oracles.networks import BETAS, LABELS, LOSSES, SLOPES, SMALLEST, biased, gradient_of, settled
from tests.oracles.vectors import flat, relative_error, slope


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("phases", PHASES)
def test_linear_nudging_approaches_bptt_at_the_rate_of_its_phases(phases, loss):
    """error ~ beta (one-sided, random sign), beta^2 (centered) or beta^4 (holomorphic), for parameters and input. A
    biased estimator, say one that lost rho' at the output, would still train, at a constant distance from the
    gradient."""
    network, x = settled(), torch.rand(6, 5)
    expected = flat(bptt.gradients(LOSSES[loss], x, phi.Parts.of(network), network.spec.free_steps))
    errors = []
    for beta in BETAS[phases]:
        network.gradient = LinearNudging(beta, phases)
        errors.append(relative_error(flat(gradient_of(LOSSES[loss], network, x)), expected))
    assert slope(errors, BETAS[phases]) == pytest.approx(SLOPES[phases], abs=0.02)
    assert errors[-1] < SMALLEST[phases]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("sizes", "inhibition"), [((5, 4), 0.0), ((5, 6, 5, 4), 0.0), ((5, 6, 5, 4), 0.6)])
def test_other_depths_and_inhibited_layers_approach_bptt_too(sizes, inhibition):
    """A network without hidden layers and one with two take other branches of the contrast and of a step; inhibition
    has no parameter of its own, but the gradient of every weight passes through it."""
    network, x = settled(sizes, steps=250, inhibition=inhibition), torch.rand(6, 5)
    expected = flat(bptt.gradients(LOSSES["mse"], x, phi.Parts.of(network), network.spec.free_steps))
    network.gradient = LinearNudging(2.0**-12, "centered")
    assert relative_error(flat(gradient_of(LOSSES["mse"], network, x)), expected) < 1e-6


@pytest.mark.usefixtures("double")
def test_a_network_between_ordinary_modules_passes_gradients_in_both_directions():
    """The gradient of every parameter above, inside and below equals BPTT; without the vector-Jacobian product for the
    input the layers below would silently learn nothing."""
    below, network, above = nn.Linear(3, 5), settled(), nn.Linear(4, 4)
    network.gradient = LinearNudging(2.0**-12, "centered")
    model = nn.Sequential(nn.Flatten(), below, nn.Sigmoid(), network, above)
    x = torch.rand(6, 1, 3)
    functional.cross_entropy(model(x), LABELS).backward()
    parts = phi.Parts.of(network)
    middle = bptt.output(torch.sigmoid(below(x.flatten(1))), parts, network.spec.free_steps)
    leaves = [*below.parameters(), *parts.parameters, *above.parameters()]
    expected = torch.autograd.grad(functional.cross_entropy(above(middle), LABELS), leaves)
    for p, e in zip(model.parameters(), expected, strict=True):
        assert relative_error(p.grad, e) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
def test_a_loss_times_k_has_the_gradient_times_k(phases, dtype):
    """With a nudge of beta dL/ds of any size, hard units saturate: the gradient of 100 losses was 7 of one. Means over
    half batches, accumulation and AMP's loss scale all multiply the loss."""
    network = biased([5, 7, 4], gradient=LinearNudging(0.5, phases), seed=2).to(dtype)
    x = torch.rand(6, 5, dtype=dtype)
    once = flat(gradient_of(LOSSES["mse"], network, x))
    assert float(once.norm()) > 1e-3
    for k in (1e-3, 0.1, 3.0, 65536.0, 1e5):
        scaled = flat(gradient_of(lambda output, k=k: k * LOSSES["mse"](output), network, x))
        assert relative_error(scaled / k, once) < 1e-6


@pytest.mark.usefixtures("double")
def test_the_size_of_the_nudge_is_beta_whatever_the_batch():
    """A mean over 6 samples has a sixth of the gradient of their sum; one estimate is a sixth of the other, exactly."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    mean = gradient_of(LOSSES["mse"], network, x)
    total = gradient_of(lambda output: SquaredError("sum")(output, LABELS), network, x)
    assert_close([6 * g for g in mean], total, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_linear_nudging_averages_over_half_batches_up_to_its_bias():
    """The nudge is scaled per batch, so halves agree with the whole where the estimate is unbiased: at small beta."""
    network, x = settled(), torch.rand(6, 5)
    network.gradient = LinearNudging(2.0**-12, "centered")
    whole = flat(gradient_of(LOSSES["mse"], network, x)[:-1])
    halves = [
        flat(gradient_of(lambda o, i=i: SquaredError()(o, LABELS[i : i + 3]), network, x[i : i + 3])[:-1])
        for i in (0, 3)
    ]
    assert relative_error(sum(halves) / 2, whole) < 1e-6


def test_a_zero_gradient_gives_zeros():
    """Divided by its largest entry, zero is NaN."""
    network = biased([5, 7, 4], seed=2)
    x = torch.rand(6, 5, requires_grad=True)
    (0.0 * network(x).sum()).backward()
    for tensor in (*network.parameters(), x):
        assert tensor.grad.shape == tensor.shape
        assert not tensor.grad.any()


def test_a_gradient_that_is_not_a_number_is_passed_on():
    """AMP's scaler and divergence checks look for NaN in the gradients."""
    network = biased([5, 7, 4], seed=2)
    (torch.nan * network(torch.rand(6, 5)).sum()).backward()
    assert all(torch.isnan(p.grad).all() for p in network.parameters())


def test_without_gradients_only_the_free_phase_runs(phases_run):
    """Evaluation would cost several times as much, and draw random signs that training then misses."""
    network = biased([5, 7, 4], seed=2)
    x = torch.rand(6, 5)
    with torch.no_grad():
        output = network(x)
    assert not output.requires_grad
    assert phases_run == [False]
    assert_close(network(x).detach(), output, rtol=0.0, atol=0.0)


def test_an_input_alone_can_be_differentiated():
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    expected = gradient_of(LOSSES["mse"], network, x)[-1]
    network.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    LOSSES["mse"](network(leaf)).backward()
    assert torch.equal(leaf.grad, expected)
    assert all(p.grad is None for p in network.parameters())


def test_an_output_may_be_changed_in_place():
    """As `nn.ReLU(inplace=True)` after the network does: the states that the nudged phases start from are not it."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    expected = gradient_of(lambda output: (3.0 * output).square().sum(), network, x)
    assert_close(gradient_of(lambda output: output.mul_(3.0).square().sum(), network, x), expected, rtol=0.0, atol=0.0)


def test_a_gradient_of_the_gradient_is_refused():
    """It would be zero, silently, since the nudged phases record no graph."""
    network = biased([5, 7, 4], seed=2)
    loss = LOSSES["mse"](network(torch.rand(6, 5)))
    (first, *_) = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
