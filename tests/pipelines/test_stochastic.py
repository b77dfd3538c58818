"""Spiking networks in whole runs: with strategies, reproducible, with their energy, and equal to their mean field."""

import mlflow
import numpy as np
import pytest
import torch

import clep
from clep.build import build_stream, build_training
from clep.config import compose, to_dict
from clep.errors import ConfigError
from tests.oracles.stores import empty_store

SPIKES = ["network=stoch_ep", "network.hidden=[24]", "network.free_steps=12", "network.nudged_steps=8"]
SPIKES += ["network.average_steps=6", "stream.samples_per_experience=40", "stream.experiences=2", "learner.epochs=1"]


def composed(tmp_path, *changes):
    return compose(None, [*SPIKES, f"tracking.uri={empty_store(tmp_path)}", *changes])


class Looks(clep.Strategy):
    """Has accuracy measured once more after each experience, as what consolidates does; nothing else."""

    consolidates = True


def weights(config, *further):
    stream = build_stream(config)
    training = build_training(config, stream)
    training.measuring.watched += further
    result = training.run(stream)
    return training.template.model.state_dict(), result


@pytest.mark.parametrize(
    "changes",
    [
        ["strategies=[sleep_replay]"],
        [
            "strategies=[awake_rehearsal,sleep_replay]",
            "learner.gradient=cost",
        ],
        ["strategies=[ewc]"],
        ["strategies=[der]", "learner.loss=cross_entropy"],
        ["network.channels=[4]", "network.hidden=[]", "strategies=[awake_rehearsal]"],
        ["learner.gradient=clamped", "strategies=[awake_rehearsal]"],
        ["learner.gradient=bptt", "network.nudged_steps=6", "strategies=[ewc]"],
    ],
    ids=" ".join,
)
def test_spiking_networks_run_with_strategies_of_every_kind(changes, tmp_path):
    """What differentiates the model itself (EWC, DER), what follows a cost, what changes weights, what has images."""
    config = composed(tmp_path, *changes)
    after, result = weights(config)
    assert np.isfinite(result.matrix).all()
    before = build_training(config, build_stream(config)).template.model.state_dict()
    assert not torch.equal(after["connections.0.weight"], before["connections.0.weight"])


def test_a_run_is_reproducible_and_measuring_more_often_changes_nothing(tmp_path):
    """Evaluation draws spikes as well. Were it from where training draws, every look would change what is learned."""
    config = composed(tmp_path)
    (first, _), (again, _), (measured, result) = weights(config), weights(config), weights(config, Looks())
    assert result.reports[0].consolidated
    for name, value in first.items():
        assert torch.equal(again[name], value)
        assert torch.equal(measured[name], value)
    assert not torch.equal(weights(composed(tmp_path, "network.average_steps=5"))[0][name], value)


def test_firing_rates_make_a_whole_run_that_of_the_deterministic_network(tmp_path):
    """One key turns a spiking network into its mean field: to the bit what a configuration without spikes trains."""
    rate = composed(tmp_path, "network.dynamics=prototypical", "network.average_steps=1")
    values = to_dict(rate)["network"] | {"name": "ep"}
    plain = clep.config.replace(rate, network=values)
    (one, first), (other, second) = weights(rate), weights(plain)
    assert np.array_equal(first.matrix, second.matrix)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_records_its_spikes_and_operations_beside_those_of_graded_signals(tmp_path):
    """64-24-10, 12 steps, 6 of whose synapses' ends are graded: the input once and the output at every step."""
    result = clep.run(composed(tmp_path))
    client = mlflow.MlflowClient(tracking_uri=result.tracking_uri)
    recorded = client.get_run(result.run_id).data.metrics
    spikes = recorded["energy/spikes_per_sample"]
    assert 0.0 < spikes < 12 * 24
    assert recorded["energy/synaptic_operations_of_rates"] == 64 * 24 + 12 * 2 * 240
    assert recorded["energy/synaptic_operations"] == pytest.approx(64 * 24 + 12 * 240 + 10 * spikes)
    assert recorded["energy/nanojoules"] < recorded["energy/nanojoules_of_rates"]
    assert len(client.get_metric_history(result.run_id, "energy/spikes_per_sample")) == 2
    loaded = clep.load(result.run_id, tracking_uri=result.tracking_uri).network
    assert (loaded.spec.dynamics, loaded.spec.average_steps) == ("bernoulli", 6)


def test_neuronal_adaptation_of_spikes_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"neuronal_adaptation moves the states step by step.*network.dynamics=prototypical"
    ):
        weights(composed(tmp_path, "strategies=[neuronal_adaptation]"))
