"""The nudged phases of linear and cost nudging, against the equations relaxed by the oracle."""

import itertools

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import PHASES, Adaptation, CostNudging, LinearNudging
from tests.oracles import phi
from tests.oracles.networks import LABELS, LOSSES, change, gradient_by, gradient_of, settled
from tests.oracles.vectors import flat


def oracle_contrast(network, x, beta, centered, force, outside, adapted):
    """-(1 / distance) [dPhi/dtheta(first) - dPhi/dtheta(second)] for the parameters and x, by autograd of Phi alone."""
    parts, adaptation = phi.Parts.of(network), adapted or Adaptation(steps=0)
    free = [torch.zeros(len(x), size) for size in network.sizes[1:]]
    for _ in range(network.spec.free_steps):
        free = phi.step(x, free, parts)

    def nudged_phase(signed):
        states = free
        for _ in range(network.spec.nudged_steps):
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
    if adapted is not None and adaptation.rescale:
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
    change(network, free_steps=5, nudged_steps=3)
    x, beta = torch.rand(6, 5), 0.4
    output = network(x).detach().requires_grad_()
    if form == "linear":
        network.gradient = LinearNudging(beta, phases, adaptation=adaptation)
        actual = gradient_of(LOSSES["cross_entropy"], network, x)
        (on_output,) = torch.autograd.grad(LOSSES["cross_entropy"](output), output)
        scale = on_output.abs().max()
        expected = oracle_contrast(
            network, x, beta, phases == "centered", lambda s: -on_output / scale, False, adaptation
        )
        expected = [scale * g for g in expected]
    else:
        outside = form == "cost outside"
        nudge = "outside" if outside else "inside"
        actual = gradient_by(CostNudging(beta, phases, nudge=nudge, adaptation=adaptation), network, x)
        target = functional.one_hot(LABELS, 4).double()
        expected = oracle_contrast(network, x, beta, phases == "centered", lambda s: target - s, outside, adaptation)
        expected = [g / len(x) for g in expected[:-1]]
    assert_close(actual, expected, rtol=1e-10, atol=1e-10)


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
        network.gradient = nudging
        gradients = gradient_of(LOSSES["mse"], network, x)[:-1]
    else:
        gradients = gradient_by(nudging, network, x)
    with torch.no_grad():
        before = LOSSES["mse"](network(x))
        for p, g in zip(network.parameters(), gradients, strict=True):
            p -= 1e-3 * g
        after = LOSSES["mse"](network(x))
    squared = float(flat(gradients).square().sum())
    assert float(before - after) > 0.0
    if getattr(nudging, "nudge", "inside") == "inside":
        assert float(before - after) == pytest.approx(1e-3 * squared, rel=0.05)
