"""Options of sleep replay: what each changes in the rule, and the values that are refused."""

import re

import numpy as np
import pytest
import torch
from clep.strategies import sleep_replay
from clep.strategies.sleep_replay import SleepReplay, SleepReplayOptions, per_layer

import clep
from clep.equilibrium import ConvLayer
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.registry import build
from clep.sleep import TorchSimulation
from tests.strategies.builders import awake, published, unchanged, weights_of


def test_the_gate_and_the_bounds_reach_the_rule_in_units_of_the_weights(seen, digits, finish):
    spread = [float(c.weight.detach().std()) for c in awake().connections]
    for options in ({}, {"gate": "none", "bounds": 3.0}, {"bounds": 3.0, "symmetric": True, "shuffled": True}):
        finish(published(steps=1, **options), awake(), digits.benchmark.train_stream[0])
    assert [p.gate_width for p in seen[0][0]] == pytest.approx([0.2 * s for s in spread])
    assert [p.gate_width for p in seen[1][0]] == [np.inf, np.inf]
    assert [p.bound for p in seen[0][0]] == [np.inf, np.inf]
    assert [p.bound for p in seen[2][0]] == pytest.approx([3.0 * s for s in spread])
    assert [(o["symmetric"], o["shuffled"]) for _, o in seen] == [(False, False), (False, False), (True, True)]


def test_no_gate_without_bounds():
    """Its weights would overflow in the middle of a run."""
    with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.gate: .*set `bounds`"):
        build(["sleep_replay"], {"sleep_replay": {"calibration": "published", "gate": "none"}})
    build(["sleep_replay"], {"sleep_replay": {"calibration": "published", "gate": "none", "bounds": 2.0}})


def test_bounds_hold_and_are_reached(digits, finish):
    network = awake()
    spread = [float(c.weight.detach().std()) for c in network.connections]
    before = weights_of(network)
    plugin = published(steps=3000, gate="none", bounds=2.5, increment=[0.5], decrement_ratio=[0.1])
    finish(plugin, network, digits.benchmark.train_stream[0])
    for connection, s, old in zip(network.connections, spread, before.values(), strict=True):
        changed = connection.weight.detach()[connection.weight.detach() != old]
        assert float(changed.abs().max()) == pytest.approx(2.5 * s, rel=1e-6)


def test_the_symmetric_rule_concerns_synapses_between_neurons_that_both_learn(digits, finish):
    """Those of the input have one end: bottom-up, where layers below do not hear of it, they stay as they are."""
    results = []
    for symmetric in (False, True):
        network = awake()
        finish(published(steps=400, symmetric=symmetric), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert torch.equal(results[0]["connections.0.weight"], results[1]["connections.0.weight"])
    assert not torch.equal(results[0]["connections.1.weight"], results[1]["connections.1.weight"])


def test_shuffled_sleep_drives_the_network_as_ever_until_weights_differ(digits, finish, watch):
    """The same input spikes; the same spikes of the first layer up to and with its first one; then other weights."""
    networks = awake(), awake()
    for network, shuffled in zip(networks, (False, True), strict=True):
        finish(published(steps=400, shuffled=shuffled), network, digits.benchmark.train_stream[0])
    plain, control = watch[:400], watch[400:]
    first = next(step for step, (_, layers) in enumerate(plain) if layers[0].any())
    for step, (ours, theirs) in enumerate(zip(plain, control, strict=True)):
        assert (ours[0] == theirs[0]).all()
        assert step > first or (ours[1][0] == theirs[1][0]).all()
    assert not torch.equal(networks[0].connections[0].weight, networks[1].connections[0].weight)


def test_a_membrane_of_time_steps_leaks_as_fast_as_its_neuron_moves_and_on_the_mean_as_any(seen, digits, finish):
    """-log decay_i proportional to dt_i, with mean -log decay in every layer; a read-out has no dt."""
    network = clep.Network([64, 20, 15, 10], bias=False, seed=1, readout="linear")
    finish(published(steps=300, decay=0.9, membrane="time_steps"), network, digits.benchmark.train_stream[0])
    *hidden, top = [p.decay for p in seen[0][0]]
    assert top == 0.9
    for decay, dt in zip(hidden, network.time_steps, strict=True):
        leak = -np.log(decay)
        np.testing.assert_allclose(leak / leak.mean(), dt.double() / dt.double().mean(), rtol=1e-6)
        assert leak.mean() == pytest.approx(-np.log(0.9))
        assert leak.max() > 1.5 * leak.min()


def test_above_convolutions_the_time_steps_are_those_of_the_layers_that_sleep(seen, digits, finish):
    network = clep.Network([(1, 8, 8), ConvLayer(3, kernel=3), 12, 10], bias=False)
    finish(published(steps=5, membrane="time_steps"), network, digits.benchmark.train_stream[0])
    assert [len(p.decay) for p in seen[0][0]] == [12, 10]


@pytest.mark.parametrize("mean", [0.6, 1.0])
def test_with_equal_time_steps_a_membrane_of_time_steps_is_the_uniform_one_to_the_bit(mean, digits, finish):
    step, results = clep.TimeStep("scalar", mean), []
    for membrane in ("uniform", "time_steps"):
        network = clep.Network([64, 20, 10], bias=False, seed=1, time_step=step)
        finish(published(steps=400, membrane=membrane), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_membrane_of_time_steps_changes_a_network_that_has_them(digits, finish):
    results = []
    for membrane in ("uniform", "time_steps"):
        network = awake()
        finish(published(steps=400, membrane=membrane), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network)["connections.0.weight"])
    assert not torch.equal(*results)


def test_a_membrane_of_time_steps_is_refused_where_there_are_none_before_it_is_trained(digits, mlp):
    for model in (mlp(64, 20, 10), Feedforward([64, 20, 10])):
        before = weights_of(model)
        with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.membrane: .* has none; use membrane=uniform"):
            clep.Training(clep.Learner(model), [published(steps=5, membrane="time_steps")], epochs=1).run(digits)
        assert unchanged(model, before)


def test_inhibition_reaches_every_layer_and_changes_who_fires(seen, digits, finish):
    rates = []
    for inhibition in (0.0, 0.5, 1.0):
        plugin = published(steps=400, increment=[0.0], inhibition=inhibition)
        rates.append(finish(plugin, awake(), digits.benchmark.train_stream[0]).take_log())
        assert [p.inhibition for p in seen[-1][0]] == [inhibition, inhibition]
    assert len({rate["sleep/firing_rate_layer_1"] for rate in rates}) == 3


def test_the_torch_path_gives_the_same_weights(monkeypatch, digits, finish):
    """What runs on GPUs, here on the CPU; float32 sums in another order."""
    results = []
    for simulate in (sleep_replay.simulation, TorchSimulation):
        monkeypatch.setattr(sleep_replay, "simulation", simulate)
        network = awake()
        options = {"symmetric": True, "shuffled": True, "inhibition": 0.2, "membrane": "time_steps"}
        plugin = published(steps=1100, feedback=0.2, **options)
        finish(plugin, network, digits.benchmark.train_stream[0])
        results.append((weights_of(network), plugin.take_log()))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, rtol=1e-5, atol=1e-6)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-3, abs=1e-6)


# parameters


def test_values_per_layer_are_one_for_all_two_for_hidden_and_output_or_one_each():
    assert per_layer("x", [1.0], 3) == [1.0, 1.0, 1.0]
    assert per_layer("x", [1.0, 2.0], 3) == [1.0, 1.0, 2.0]
    assert per_layer("x", [1.0, 2.0], 2) == [1.0, 2.0]
    assert per_layer("x", [1.0, 2.0], 1) == [2.0]
    assert per_layer("x", [1.0, 2.0, 3.0], 3) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["threshold", "increment", "decrement_ratio"])
@pytest.mark.parametrize("values", [[], [0.1] * 3])
def test_another_number_of_values_is_refused_before_anything_is_trained(name, values, digits):
    network = awake()
    before = weights_of(network)
    message = rf"^strategy\.sleep_replay\.{name}: expected 1 or 2 values for 2 layers, got {len(values)}$"
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [published(steps=5, **{name: values})]).run(digits)
    assert unchanged(network, before)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("steps", -1, "an integer of at least 0"),
        ("steps_per_experience", -1, "an integer of at least 0"),
        ("rate", 0.0, "a number above 0"),
        ("decay", 1.01, "a number in [0, 1]"),
        ("threshold", [0.1, 0.0], "a list of numbers above 0"),
        ("increment", [-0.1], "a list of numbers of at least 0"),
        ("decrement_ratio", [-0.1], "a list of numbers of at least 0"),
        ("gate_width", 0.0, "a number above 0"),
        ("patch", 0.0, "a number in (0, 1]"),
        ("patch", 1.1, "a number in (0, 1]"),
        ("feedback", -0.1, "a number of at least 0"),
        ("bounds", 0.0, "a number above 0 or null"),
        ("inhibition", -0.1, "a number of at least 0"),
        ("every", -1, "an integer of at least 0"),
        ("threshold", 0.1, "a list of numbers above 0"),
        ("steps", 10.0, "an integer of at least 0"),
        ("symmetric", 1, "true or false"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key_in_python_too(key, value, expected):
    text = rf"{key}: expected {re.escape(expected)}, got {re.escape(str(value))}$"
    with pytest.raises(ConfigError, match=rf"^strategy\.sleep_replay\.{text}"):
        build(["sleep_replay"], {"sleep_replay": {key: value}})
    with pytest.raises(ConfigError, match=rf"^{text}"):
        published(**{key: value})


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"stepz": 1}, "stepz: unknown argument `stepz`; did you mean `steps`?"),
        ({"gate": "mattlab"}, "gate: unknown value `mattlab`; did you mean `matlab`? Valid values: matlab, none"),
        ({"statistics": "poisson"}, "statistics: unknown value `poisson`. Valid values: current, seen"),
        ({"membrane": "time"}, "membrane: unknown value `time`"),
    ],
)
def test_an_unknown_option_or_choice_is_refused_with_the_nearest(option, text):
    with pytest.raises(ConfigError, match=rf"^{re.escape(text)}"):
        published(**option)


def test_every_option_is_an_attribute():
    options = SleepReplayOptions(calibration="published", steps=5, threshold=[0.2], membrane="time_steps")
    plugin = published(steps=5, threshold=(0.2,), membrane="time_steps")
    plain = {name: getattr(plugin, name) for name in SleepReplayOptions.names()}
    assert plain == options.plain() | {"bounds": np.inf, "statistics": "seen"}
    plugin.threshold.append(1.0)
    assert SleepReplay().threshold == SleepReplayOptions.default("threshold")
