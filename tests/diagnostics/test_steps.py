"""How many steps a network needs: the report against backpropagation through time of the oracle."""

import copy

import pytest
import torch
from torch.nn import functional

from clep.diagnostics import steps
from clep.equilibrium import LinearNudging, SquaredError, TimeStep
from tests.oracles import bptt, phi
from tests.oracles.networks import biased, change


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(steps, "FREE_STEPS", (2, 60))
    monkeypatch.setattr(steps, "NUDGED_STEPS", (1, 30))


@pytest.mark.usefixtures("double", "quick")
def test_the_cheapest_steps_reach_the_cosine_that_they_are_listed_for():
    """Each listed setting is run again and compared with the oracle's gradient; a cosine of the wrong pair of gradients
    would mislead whoever sets `free_steps` from the table."""
    network = biased([6, 12, 4], neuron="shifted_sigmoid", time_step=TimeStep("scalar", mean=1.0), seed=1)
    x, y = torch.rand(20, 6), torch.arange(20) % 4
    expected = bptt.gradients(lambda output: SquaredError()(output, y), x, phi.Parts.of(network), 300)[:-1]
    measured = steps.measure(network, SquaredError(), x, y, betas=(0.05,), accuracy=0.5)

    def cosine(need):
        change(network, free_steps=need.free_steps, nudged_steps=need.nudged_steps, relaxation=need.relaxation)
        nudged = network.with_gradient(LinearNudging(need.beta, start=need.start))
        actual = torch.autograd.grad(SquaredError()(nudged(x), y), list(network.parameters()))
        flat = [torch.cat([g.flatten() for g in gradients]) for gradients in (actual, expected)]
        return float(functional.cosine_similarity(*flat, dim=0))

    assert measured.ceiling[0.05] > 0.9999
    assert 0.9 < measured.bfloat16[0.05] < 1.0 - 1e-9
    assert len(measured.needs) == 2 * 2 * 3
    for need in measured.needs:
        assert need.cosine <= need.reached == pytest.approx(cosine(need), abs=1e-6)
        assert need.sweeps == need.free_steps + 2 * need.nudged_steps
    assert all(stop.steps <= 300 for stop in measured.stops)
    by_order = [[stop for stop in measured.stops if stop.relaxation == order] for order in steps.ORDERS]
    for stops in by_order:
        assert [stop.steps for stop in stops] == sorted(stop.steps for stop in stops)
        assert stops[-1].cosine > 0.9999


@pytest.mark.usefixtures("quick")
def test_the_network_stays_as_it_is():
    """Measuring sets steps, tolerance and precision many times over; a trained network must not keep the last ones."""
    network = biased([6, 12, 4], seed=1)
    before = copy.deepcopy(network)
    steps.measure(network, SquaredError(), torch.rand(20, 6), torch.arange(20) % 4, betas=(0.5,), accuracy=0.5)
    assert network.spec == before.spec
    assert network.gradient == before.gradient
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before.parameters(), strict=True))
