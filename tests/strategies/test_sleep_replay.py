"""Sleep replay: its effect on the weights, when it sleeps, and what it must not see or touch."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clep.strategies import sleep_replay
from clep.strategies.sleep_replay import SleepReplay
from torch import nn

import clep
from clep.errors import ConfigError
from clep.registry import build
from clep.sleep import CompiledSimulation, SpikingParameters, bernoulli_spikes
from clep.strategy import Strategy
from clep.streams import Samples
from tests.strategies.builders import awake, published, unchanged, weights_of

# what a sleep does


@pytest.mark.parametrize(("bias", "feedback"), [(False, 0.0), (True, 0.3)])
def test_two_sleeps_equal_the_rule_run_by_hand(bias, feedback, digits, finish):
    """Statistics, units of the constants and draws, put together again from the definitions.

    Constants in the wrong unit would still fire and still change weights; only results would be worse.
    """
    network, twin = awake(bias), awake(bias)
    plugin = published(steps=1300, steps_per_experience=200, rate=0.5, feedback=feedback)
    plugin.seed_with(5)
    draws = torch.Generator().manual_seed(5)
    weights = [c.weight.detach().numpy() for c in twin.connections]  # changed in place
    maxima, spread, seen = [0.0, 0.0], [float(w.std(ddof=1)) for w in weights], torch.empty(0, 64)
    for sleep, experience in enumerate(digits.train[:2]):
        finish(plugin, network, digits.benchmark.train_stream[sleep])
        x = experience.samples.x.flatten(1)
        seen = torch.cat([seen, x])
        hidden = twin.free_phase(x).states[0]
        largest = [float((s @ torch.from_numpy(w).T).max()) for s, w in zip((x, hidden), weights, strict=True)]
        maxima = [max(pair) for pair in zip(maxima, largest, strict=True)]
        parameters = [
            SpikingParameters(
                decay=0.98,
                threshold=(0.077, 0.73)[layer] * maxima[layer],
                increment=(0.003, 0.055)[layer] * spread[layer],
                decrement=(0.003 * 1.24, 0.055 * 0.31)[layer] * spread[layer],
                gate_width=0.2 * spread[layer],
                feedback=feedback,
            )
            for layer in range(2)
        ]
        probability = 0.5 * seen.double().mean(0).numpy()
        (seed,) = torch.randint(2**62, (1,), generator=draws).tolist()
        rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[0])
        asleep = CompiledSimulation(weights, parameters)
        for steps in (1000, 300 + 200 * sleep):
            asleep.run(bernoulli_spikes(probability, steps, rng))
        for connection, weight, expected in zip(network.connections, weights, asleep.weights, strict=True):
            np.testing.assert_allclose(connection.weight.detach().numpy(), expected, rtol=0, atol=1e-6)
            weight[:] = expected
    assert not unchanged(network, weights_of(awake(bias)))


def test_rates_and_weight_changes_are_logged_as_seen_from_outside(digits, finish, watch):
    network = awake()
    before = weights_of(network)
    x = digits.train[0].samples.x
    expected = {"sleep/residual_before": float(network.free_phase(x).residual)}
    logged = finish(published(steps=400), network, digits.benchmark.train_stream[0]).take_log()
    assert len(watch) == 400
    expected["sleep/residual_after"] = float(network.free_phase(x).residual)
    assert expected["sleep/residual_after"] != expected["sleep/residual_before"]
    for layer, (name, weight) in enumerate(network.named_parameters(), start=1):
        spikes = sum(int(z[layer - 1].sum()) for _, z in watch)
        assert spikes > 0
        expected[f"sleep/firing_rate_layer_{layer}"] = spikes / 400 / len(weight)
        change = (weight.detach() - before[name]).norm() / before[name].norm()
        assert change > 1e-6
        expected[f"sleep/weight_change_layer_{layer}"] = float(change)
    assert logged == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "still",
    [
        {"increment": [0.0]},
        {"increment": [0.0], "decrement_ratio": [0.0]},
        {"increment": [0.0], "symmetric": True, "shuffled": True, "gate": "none", "bounds": 0.1},
        {"steps": 0},
    ],
)
def test_without_increments_or_steps_no_weight_changes_by_a_bit(still, digits, finish):
    """The control of every claim about sleep: all that changes weights is the rule."""
    network = awake()
    before = weights_of(network)
    logged = finish(published(**({"steps": 300} | still)), network, digits.benchmark.train_stream[0]).take_log()
    assert unchanged(network, before)
    assert logged["sleep/weight_change_layer_1"] == logged["sleep/weight_change_layer_2"] == 0.0
    assert (logged["sleep/firing_rate_layer_1"] > 0) is ("steps" not in still)


def test_increments_act_in_their_own_layer_only(digits, finish):
    for layer in (0, 1):
        network = awake()
        before = weights_of(network)
        increment = [0.0, 0.0]
        increment[layer] = 0.05
        finish(published(steps=400, increment=increment), network, digits.benchmark.train_stream[0])
        changed = [not torch.equal(value, before[name]) for name, value in network.named_parameters()]
        assert changed == [layer == 0, layer == 1]


def test_biases_are_left_alone(digits, finish, mlp):
    for model in (awake(bias=True), mlp(64, 20, 10)):
        nn.init.normal_(dict(model.named_parameters())[next(n for n, _ in model.named_parameters() if "bias" in n)])
        before = weights_of(model)
        finish(published(steps=400), model, digits.benchmark.train_stream[0])
        for name, value in model.named_parameters():
            assert torch.equal(value, before[name]) is name.endswith("bias"), name


def test_feedback_makes_a_difference(digits, finish):
    results = []
    for feedback in (0.0, 2.0):
        network = awake()
        finish(published(steps=400, feedback=feedback), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert not torch.equal(results[0]["connections.0.weight"], results[1]["connections.0.weight"])


def test_later_sleeps_are_longer_by_steps_per_experience(digits, finish, watch):
    plugin, network = published(steps=30, steps_per_experience=11), awake()
    lengths = []
    for experience in digits.benchmark.train_stream:
        finish(plugin, network, experience)
        lengths.append(len(watch) - sum(lengths))
    assert lengths == [30, 41, 52]


def test_without_decrements_no_weight_falls(digits, finish):
    """The other half of the rule alone; and no weight changes where no lower neuron fired."""
    network = awake()
    before = weights_of(network)
    finish(published(steps=400, decrement_ratio=[0.0]), network, digits.benchmark.train_stream[0])
    for name, after in weights_of(network).items():
        assert (after >= before[name]).all()
        assert (after > before[name]).any()


@pytest.mark.parametrize("symmetric", [False, True])
def test_same_seed_same_weights(symmetric, digits, finish):
    results = []
    for seed in (3, 3, 4):
        network, plugin = awake(), published(steps=1500, symmetric=symmetric, shuffled=True, patch=0.5)
        plugin.seed_with(seed)
        finish(plugin, network, digits.benchmark.train_stream[0])
        results.append(weights_of(network)["connections.0.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("compiled", [False, True])
def test_the_progress_bar_counts_steps_and_says_why_the_first_ones_take_long(compiled, monkeypatch, digits, finish):
    """Seconds of compiling without a word look like a hanging program."""
    said, steps = [], []

    class Bar:
        def __init__(self, **options):
            self.total = options["total"]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            assert sum(steps) == self.total

        def set_description(self, text, refresh=True):
            said.append((text, len(steps)))

        def update(self, n):
            steps.append(n)

    monkeypatch.setattr(sleep_replay, "progress_bar", Bar)
    monkeypatch.setattr(CompiledSimulation, "is_compiled", lambda asleep: compiled)
    finish(published(steps=2300), awake(), digits.benchmark.train_stream[0])
    assert steps == [1000, 1000, 300]
    assert any("compiling" in text for text, before in said if before == 0) is not compiled
    assert said[-1] == ("sleep", 2)


# when it sleeps


def slept(plugin, stream):
    """The experiences after which a whole run slept, and the log of each experience."""
    logs = [report.numbers for report in clep.Training(clep.Learner(awake()), [plugin], epochs=1).run(stream).reports]
    return [i for i, log in enumerate(logs) if "sleep/firing_rate_layer_1" in log], logs


@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2]), (2, [1]), (3, [2]), (4, []), (0, [2])])
def test_it_sleeps_after_every_so_many_experiences_or_after_the_last(every, expected, digits):
    plugin = published(steps=5, every=every)
    when, logs = slept(plugin, digits)
    assert when == expected
    assert all(("sleep/residual_before" in log) is (i in expected) for i, log in enumerate(logs))
    assert plugin.inputs.count == 120  # experiences without a sleep are in its statistics


def test_the_length_of_a_sleep_follows_the_experiences_not_the_sleeps(digits, watch):
    slept(published(steps=30, steps_per_experience=11, every=2), digits)
    assert len(watch) == 41


def test_the_last_experience_is_known_in_plain_avalanche_too(digits, finish):
    plugin, network = published(steps=50, every=0), awake()
    logs = [finish(plugin, network, e.train()).take_log() for e in digits.benchmark.train_stream]
    assert [bool(log) for log in logs] == [False, False, True]


def test_a_stream_without_an_end_is_refused_before_anything_is_trained(digits):
    (first, *_) = digits.benchmark.train_stream
    strategy = SimpleNamespace(model=awake(), experience=SimpleNamespace(dataset=first.dataset))
    with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.every: 0 sleeps after the last experience"):
        published(every=0).before_training_exp(strategy)
    published(every=2).before_training_exp(strategy)


# what it must not touch


def test_it_draws_from_its_own_generator_alone(digits, finish):
    def slept(seed):
        network, plugin = awake(), published(steps=200)
        plugin.seed_with(seed)
        state = torch.get_rng_state()
        finish(plugin, network, digits.benchmark.train_stream[0])
        assert torch.equal(torch.get_rng_state(), state)
        return weights_of(network)["connections.0.weight"]

    first = slept(1)
    torch.manual_seed(1234)
    np.random.seed(1234)  # noqa: NPY002
    assert torch.equal(slept(1), first)
    assert not torch.equal(slept(2), first)


def test_it_changes_no_batch_of_the_first_experience(digits):
    """Weights after training and before the sleep are those without sleep; those after it are not."""

    class Before(Strategy):
        def after_training_exp(self, strategy, **kwargs):
            if strategy.clock.train_exp_counter == 0:
                self.weights = weights_of(strategy.model)

    snapshots = []
    for plugins in ([], [published(steps=200)]):
        probe = Before()
        seen = []
        training = clep.Training(clep.Learner(awake(), lr=0.1), [probe, *plugins], epochs=2)
        training.run(digits, lambda report, _, seen=seen, t=training: seen.append(weights_of(t.template.model)))
        assert torch.equal(seen[0]["connections.0.weight"], probe.weights["connections.0.weight"]) is not plugins
        snapshots.append(probe.weights)
    for name, value in snapshots[0].items():
        assert torch.equal(value, snapshots[1][name]), name


def test_it_sees_no_evaluation_data(digits):
    """Permuted test labels, or other test images, change accuracies and no weight."""
    parts = [e.samples for e in digits.test]
    permuted = [Samples(s.x, s.y[torch.randperm(len(s))]) for s in parts]
    replaced = [Samples(torch.rand_like(s.x), s.y) for s in parts]
    results = []
    for samples in (parts, permuted, replaced):
        test = tuple(dataclasses.replace(e, samples=s) for e, s in zip(digits.test, samples, strict=True))
        stream = dataclasses.replace(digits, test=test)
        plugins = build(["awake_rehearsal", "sleep_replay"], {"sleep_replay": {"keep": 0.5}}, seed=0)
        training = clep.Training(clep.Learner(awake(), lr=0.1), plugins, epochs=2)
        result = training.run(stream)
        results.append((weights_of(training.template.model), result.matrix))
    for weights, matrix in results[1:]:
        assert not np.array_equal(matrix, results[0][1])
        assert all(torch.equal(value, results[0][0][name]) for name, value in weights.items())


@pytest.mark.parametrize("sleep", [SleepReplay, lambda: published(steps=3000)], ids=["auto", "published"])
def test_sleeping_keeps_what_naive_training_forgets(sleep):
    """The effect that the method is for: five pairs of digits, of which naive training knows the last at the end."""
    network = clep.Network([64, 128, 10], bias=False, free_steps=12, time_step=clep.TimeStep(mean=0.6))
    training = clep.Training(clep.Learner(network, lr=0.011, momentum=0.9), [sleep()], epochs=5)
    result = training.run(clep.stream("digits", experiences=5))
    assert result.matrix[-1, :-1].mean() > 0.25
