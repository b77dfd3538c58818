"""`clep steps`: the command trains, measures and prints; what cannot be measured is refused."""

import json

import pytest
from clep.pipelines import steps

from clep import cli
from clep.config import compose
from clep.diagnostics import steps as measuring
from clep.errors import ConfigError


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(measuring, "FREE_STEPS", (2, 60))
    monkeypatch.setattr(measuring, "NUDGED_STEPS", (1, 30))


def test_the_command_trains_measures_and_prints_a_table_or_json(quick, capsys):
    few = ["stream.samples_per_experience=64", "network.hidden=[16]", "learner.epochs=1"]
    assert cli.main(["steps", *few]) == 0
    assert "| asynchronous | mirrored | 0.5 |" in capsys.readouterr().out
    assert cli.main(["steps", *few, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"accuracy", "ceiling", "bfloat16", "needs", "stops"}


def test_a_learner_without_nudged_phases_is_refused():
    with pytest.raises(ConfigError, match=r"learner\.gradient: steps are measured for equilibrium networks"):
        steps.run(compose({}, ["learner.gradient=bptt", "learner.epochs=1"]))
    with pytest.raises(ConfigError, match=r"network\.dynamics: spikes never settle.*network\.dynamics=prototypical"):
        steps.run(compose({}, ["network=stoch_ep", "learner.epochs=1"]))
