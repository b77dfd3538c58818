"""Cost nudging: its limit, its loss, its scale, and the costs that it takes."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import clep
from clep.equilibrium import PHASES, CostNudging, CrossEntropy, SquaredError
from clep.errors import ConfigError
from tests.oracles import bptt, phi
from tests.oracles.networks import BETAS, LABELS, LOSSES, SLOPES, SMALLEST, biased, gradient_by, loss_by, settled
from tests.oracles.vectors import flat, relative_error, slope


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
        states = [s.detach() for s in bptt.relax(x, parts, network.spec.free_steps)]
        u = bptt.force_on_output(x, parts, states).detach().requires_grad_()
        (derivative,) = torch.autograd.grad(parts.rho(u).sum(), u)
        error = (states[-1] - functional.one_hot(LABELS, 4)) / derivative / len(x)

        def loss(output):
            return (output * error).sum()

    expected = flat(bptt.gradients(loss, x, parts, network.spec.free_steps)[:-1])
    errors = [
        relative_error(flat(gradient_by(CostNudging(b, phases, nudge), network, x)), expected) for b in BETAS[phases]
    ]
    assert slope(errors, BETAS[phases]) == pytest.approx(SLOPES[phases], abs=0.02)
    assert errors[-1] < SMALLEST[phases]


@pytest.mark.usefixtures("double")
def test_the_loss_of_cost_nudging_is_the_mean_cost_of_the_free_equilibrium():
    network, x = settled(), torch.rand(6, 5)
    output = network.free_phase(x).output
    errors = [[output[i, k] - float(k == label) for k in range(4)] for i, label in enumerate(LABELS.tolist())]
    by_hand = sum(0.5 * error**2 for row in errors for error in row) / 6
    loss = loss_by(CostNudging(), network, x, LABELS)
    assert_close(loss.detach(), by_hand, rtol=1e-12, atol=0.0)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("nudge", ["inside", "outside"])
def test_cost_nudging_scales_with_the_loss_and_averages_over_the_batch(nudge):
    """Factor k: gradient times k. A batch: the mean of its halves, since each sample is nudged by its own cost. A sum
    in place of the mean would go unnoticed as a learning rate that depends on the size of the batch."""
    network, x = biased([5, 7, 4], neuron="tanh", seed=2), torch.rand(6, 5)
    nudging = CostNudging(0.5, "centered", nudge)
    whole = gradient_by(nudging, network, x)
    for k in (-2.0, 1e-3, 1e5):
        scaled = gradient_by(nudging, network, x, factor=k)
        assert_close(scaled, [k * g for g in whole], rtol=1e-12, atol=0.0)
    halves = [gradient_by(nudging, network, x[i : i + 3], LABELS[i : i + 3]) for i in (0, 3)]
    assert_close([(a + b) / 2 for a, b in zip(*halves, strict=True)], whole, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_a_cost_of_ones_own_nudges(own_module):
    """C = sum (s - y)^4 / 4 by import path, as `learner.loss`; its estimate tends to backpropagation of C."""
    module = own_module(
        """
        from clep.equilibrium import Cost

        class Quartic(Cost):
            def each(self, output, labels):
                return (output - self.target(output, labels)).pow(4).sum(1) / 4

            def nudge(self, output, labels):
                target = self.target(output, labels)
                return lambda state: (target - state).pow(3)
        """
    )
    network, x = settled(), torch.rand(6, 5)
    learner = clep.Learner(network, gradient=CostNudging(2.0**-12, "centered"), loss=f"{module}:Quartic")

    def quartic(output):
        return (output - functional.one_hot(LABELS, 4)).pow(4).sum() / 4 / len(x)

    loss = learner.loss(learner.predict(x), LABELS)
    assert_close(loss.detach(), quartic(network(x)).detach(), rtol=1e-12, atol=0.0)
    expected = flat(bptt.gradients(quartic, x, phi.Parts.of(network), network.spec.free_steps)[:-1])
    actual = torch.autograd.grad(loss, list(network.parameters()))
    assert relative_error(flat(actual), expected) < 1e-5


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (nn.CrossEntropyLoss(), r"^loss: expected a `clep\.equilibrium\.Cost`, .*got CrossEntropyLoss$"),
        (SquaredError("sum"), r"^loss: expected reduction `mean` .*got `sum`; multiply the loss instead$"),
        (CrossEntropy("none"), r"^loss: expected reduction `mean` .*got `none`; multiply the loss instead$"),
    ],
)
def test_a_criterion_that_cannot_nudge_is_refused(cost, message):
    """A sum would be nudged as a mean: the learning rate would depend on the size of the batch."""
    network, x = biased([5, 7, 4]), torch.rand(6, 5)
    with pytest.raises(ConfigError, match=message):
        loss_by(CostNudging(), network, x, LABELS, cost)


def test_an_unknown_side_of_the_activation_is_refused():
    with pytest.raises(ConfigError, match=r"^nudge: unknown value `above`.* Valid values: inside, outside$"):
        CostNudging(nudge="above")
