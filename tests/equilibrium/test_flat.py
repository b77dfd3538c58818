"""Relaxations in one buffer are those of one layer after another."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import CostNudging, CrossEntropy, LinearNudging, Network, SquaredError, TimeStep, phases
from clep.equilibrium.dynamics import Dynamics, Stop
from clep.equilibrium.flat import FlatSteps

ONE = {"time_step": TimeStep("scalar", mean=1.0)}
WAYS = {
    "two layers": ((5, 7, 3), {}),
    "steps of one": ((5, 7, 3), ONE),
    "one layer": ((5, 3), ONE),
    "asynchronous": ((5, 7, 6, 3), {"relaxation": "asynchronous"}),
    "asynchronous steps of one": ((5, 7, 6, 3), {"relaxation": "asynchronous", **ONE}),
    "weak feedback": ((5, 7, 6, 3), {"feedback_scale": 0.5}),
    "residual links": ((5, 7, 7, 7, 3), {"residual_links": 2, **ONE}),
    "untied": ((5, 7, 3), {"feedback": "untied"}),
}


def relaxations(sizes, options):
    """(how, relaxation as it is taken, states one step at a time) of a free, a nudged and a clamped phase."""
    network = Network(sizes, seed=1, bias=True, compiled="off", **options)
    body, x = network.body(), torch.rand(4, sizes[0], generator=torch.Generator().manual_seed(0))
    drive = body.drive(x)
    start = [torch.rand(4, n, generator=torch.Generator().manual_seed(n)) for n in sizes[1:]]
    outside = replace(body.dynamics, motion=replace(body.dynamics.motion, nudge_outside=True))
    for dynamics, nudge, clamped in (
        (body.dynamics, None, False),
        (body.dynamics, lambda state: 0.3 * (1.0 - state), False),
        (outside, lambda state: 0.3 * (1.0 - state), False),
        (body.dynamics, None, True),
    ):
        groups = dynamics.groups(len(start) - clamped)
        steps = FlatSteps(dynamics.links, dynamics.motion, dynamics.time_steps, groups, drive, start, nudge)
        with torch.no_grad():
            residuals = [steps.take(look=True) for _ in range(6)][-1]
        expected, one = [state.clone() for state in start], None
        for _ in range(6):
            one = dynamics.relax(drive, expected, Stop(1), nudge, clamped=clamped)
            expected = one.states
        yield steps, residuals, expected, one


@pytest.mark.parametrize("way", WAYS)
def test_the_states_are_those_of_one_step_at_a_time(way):
    for flat, residuals, expected, one in relaxations(*WAYS[way]):
        assert_close(flat.states, expected, rtol=0.0, atol=1e-6)
        if not one.residual.isnan() and residuals:
            assert_close(torch.stack(residuals).max(), one.residual, rtol=0.0, atol=1e-6)


def test_small_dense_networks_relax_in_one_buffer_and_keep_the_callers_states(monkeypatch):
    network, taken = Network([5, 7, 3], seed=1, compiled="off"), []
    take = FlatSteps.take
    monkeypatch.setattr(FlatSteps, "take", lambda self, look: taken.append(look) or take(self, look))
    network.free_phase(torch.rand(4, 5))
    assert len(taken) == network.spec.free_steps


@pytest.mark.parametrize("gradient", [CostNudging(0.5), LinearNudging(0.5)], ids=["cost", "linear"])
@pytest.mark.parametrize("cost", [SquaredError(), CrossEntropy()], ids=["squared", "softmax"])
def test_both_nudged_phases_run_as_one_and_estimate_the_same(gradient, cost, monkeypatch):
    readout = "linear" if isinstance(cost, CrossEntropy) else "state"
    network = Network([5, 7, 6, 3], seed=1, readout=readout, compiled="off").with_gradient(gradient)
    x, y = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    relax, sizes = Dynamics.relax, []

    def counted(self, drive, *args, **kwargs):
        sizes.append(len(drive))
        return relax(self, drive, *args, **kwargs)

    monkeypatch.setattr(Dynamics, "relax", counted)
    estimates = []
    for together in (True, False):
        monkeypatch.setattr(phases, "_pays_together", lambda free, together=together: together)
        network.zero_grad()
        gradient.loss(gradient.predict(network, x), y, cost).backward()
        estimates.append([parameter.grad.clone() for parameter in network.parameters()])
    assert sizes == [4, 8, 4, 4, 4]
    assert_close(*estimates, rtol=0.0, atol=1e-6)
