"""`clep steps`: what it reports is what was measured, against backpropagation through time of the oracle."""

import json

import pytest
import torch
from clep.pipelines import steps
from torch.nn import functional

from clep import cli
from clep.config import compose
from clep.equilibrium import LinearNudging, Network, SquaredError, TimeStep
from clep.errors import ConfigError
from clep.learner import Learner
from tests.oracles import bptt, phi


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(steps, "FREE_STEPS", (2, 60))
    monkeypatch.setattr(steps, "NUDGED_STEPS", (1, 30))


@pytest.mark.usefixtures("double", "quick")
def test_the_cheapest_steps_reach_the_cosine_that_they_are_listed_for():
    """Each listed setting is run again and compared with the oracle's gradient; a cosine of the wrong pair of
    gradients would be believed by whoever sets `free_steps` from the table."""
    network = Network([6, 12, 4], neuron="shifted_sigmoid", time_step=TimeStep("scalar", mean=1.0), seed=1)
    x, y = torch.rand(20, 6), torch.arange(20) % 4
    expected = bptt.gradients(lambda output: SquaredError()(output, y), x, phi.Parts.of(network), 300)[:-1]
    measured = steps.measure(Learner(network), x, y, 0.5, betas=(0.05,))

    def cosine(need):
        network.free_steps, network.nudged_steps = need.free_steps, need.nudged_steps
        network.relaxation, network.nudging = need.relaxation, LinearNudging(need.beta, start=need.start)
        actual = torch.autograd.grad(SquaredError()(network(x), y), list(network.parameters()))
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


def test_the_command_trains_measures_and_prints_a_table_or_json(quick, capsys):
    few = ["stream.samples_per_experience=64", "network.hidden=[16]", "learner.epochs=1"]
    assert cli.main(["steps", *few]) == 0
    assert "| asynchronous | mirrored | 0.5 |" in capsys.readouterr().out
    assert cli.main(["steps", *few, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"accuracy", "ceiling", "bfloat16", "needs", "stops"}


def test_a_learner_without_nudged_phases_is_refused():
    with pytest.raises(ConfigError, match=r"learner\.nudging: steps are measured for equilibrium networks"):
        steps.run(compose({}, ["learner.nudging=bptt", "learner.epochs=1"]))
    with pytest.raises(ConfigError, match=r"network\.firing: spikes never settle.*network\.firing=rate"):
        steps.run(compose({}, ["network=stoch_ep", "learner.epochs=1"]))
