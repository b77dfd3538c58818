"""Sleep replay: its statistics, its input, its effect on the weights, and what it must not see or touch."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from clep.strategies import sleep_replay
from clep.strategies.awake_rehearsal import AwakeRehearsal
from clep.strategies.sleep_replay import SleepReplay, per_layer
from torch import nn

import clep
from clep.errors import ConfigError
from clep.spiking import SpikingParameters, SpikingState, spiking_step
from clep.strategy import Memory, Strategy, build
from clep.streams import Samples


def awake(bias=False, seed=1, sizes=(64, 20, 10)):
    return clep.Network(list(sizes), bias=bias, seed=seed)


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def unchanged(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.fixture
def watch(monkeypatch):
    """The steps of all sleeps: [(input spikes, [spikes of each layer])]."""
    steps = []

    def watched(weights, state, spikes, parameters):
        spiking_step(weights, state, spikes, parameters)
        steps.append((spikes.copy(), [z.copy() for z in state.z]))

    monkeypatch.setattr(sleep_replay, "spiking_step", watched)
    return steps


# what a sleep does


@pytest.mark.parametrize(("bias", "feedback"), [(False, 0.0), (True, 0.3)])
def test_two_sleeps_equal_the_rule_run_by_hand(bias, feedback, digits, finish):
    """Statistics, units of the constants and draws, put together again from the definitions.

    Constants in the wrong unit would still fire and still change weights; only results would be worse.
    """
    network, twin = awake(bias), awake(bias)
    plugin = SleepReplay(steps=1300, steps_per_experience=200, rate=0.5, feedback=feedback)
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
        state = SpikingState.rest([20, 10], np.float32)
        probability = 0.5 * seen.double().mean(0).float()
        for steps in (1000, 300 + 200 * sleep):
            for spikes in torch.rand((steps, 64), generator=draws) < probability:
                spiking_step(weights, state, spikes.numpy().astype(np.float32), parameters)
        for connection, expected in zip(network.connections, weights, strict=True):
            np.testing.assert_allclose(connection.weight.detach().numpy(), expected, rtol=0, atol=1e-6)
    assert not unchanged(network, weights_of(awake(bias)))


def test_rates_and_weight_changes_are_logged_as_seen_from_outside(digits, finish, watch):
    network = awake()
    before = weights_of(network)
    logged = finish(SleepReplay(steps=400), network, digits.benchmark.train_stream[0]).take_log()
    assert len(watch) == 400
    expected = {}
    for layer, (name, weight) in enumerate(network.named_parameters(), start=1):
        spikes = sum(int(z[layer - 1].sum()) for _, z in watch)
        assert spikes > 0
        expected[f"sleep/firing_rate_layer_{layer}"] = spikes / 400 / len(weight)
        change = (weight.detach() - before[name]).norm() / before[name].norm()
        assert change > 1e-6
        expected[f"sleep/weight_change_layer_{layer}"] = float(change)
    assert logged == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("still", [{"increment": [0.0]}, {"steps": 0}])
def test_without_increments_or_steps_no_weight_changes_by_a_bit(still, digits, finish, watch):
    """The control of every claim about sleep: all that changes weights is the rule."""
    network = awake()
    before = weights_of(network)
    logged = finish(SleepReplay(**({"steps": 300} | still)), network, digits.benchmark.train_stream[0]).take_log()
    assert unchanged(network, before)
    assert logged["sleep/weight_change_layer_1"] == logged["sleep/weight_change_layer_2"] == 0.0
    assert (logged["sleep/firing_rate_layer_1"] > 0) is ("steps" not in still)


def test_increments_act_in_their_own_layer_only(digits, finish):
    for layer in (0, 1):
        network = awake()
        before = weights_of(network)
        increment = [0.0, 0.0]
        increment[layer] = 0.05
        finish(SleepReplay(steps=400, increment=increment), network, digits.benchmark.train_stream[0])
        changed = [not torch.equal(value, before[name]) for name, value in network.named_parameters()]
        assert changed == [layer == 0, layer == 1]


def test_biases_are_left_alone(digits, finish, mlp):
    for model in (awake(bias=True), mlp(64, 20, 10)):
        nn.init.normal_(dict(model.named_parameters())[next(n for n, _ in model.named_parameters() if "bias" in n)])
        before = weights_of(model)
        finish(SleepReplay(steps=400), model, digits.benchmark.train_stream[0])
        for name, value in model.named_parameters():
            assert torch.equal(value, before[name]) is name.endswith("bias"), name


def test_feedback_makes_a_difference(digits, finish):
    results = []
    for feedback in (0.0, 2.0):
        network = awake()
        finish(SleepReplay(steps=400, feedback=feedback), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert not torch.equal(results[0]["connections.0.weight"], results[1]["connections.0.weight"])


def test_later_sleeps_are_longer_by_steps_per_experience(digits, finish, watch):
    plugin, network = SleepReplay(steps=30, steps_per_experience=11), awake()
    lengths = []
    for experience in digits.benchmark.train_stream:
        finish(plugin, network, experience)
        lengths.append(len(watch) - sum(lengths))
    assert lengths == [30, 41, 52]


# what it knows of the past


def test_statistics_run_over_all_experiences(finish, one_experience):
    """Mean over every sample ever seen, not over experiences; maxima over each experience under its own weights."""
    parts = [torch.rand(n, 1, 8, 8) * scale for n, scale in ((13, 0.5), (40, 1.0), (7, 0.2))]
    network, plugin = awake(), SleepReplay(steps=300)
    seen, maxima = [], []
    for part in parts:
        below = network.presynaptic(part)
        weights = [connection.weight.detach() for connection in network.connections]
        maxima.append([float((s @ w.T).max()) for s, w in zip(below, weights, strict=True)])
        finish(plugin, network, one_experience(part))
        seen.append(part)
        torch.testing.assert_close(plugin.mean, torch.cat(seen).mean(0), rtol=1e-6, atol=1e-7)
        assert plugin.count == sum(map(len, seen))
        assert plugin.maxima == pytest.approx(np.max(maxima, axis=0).tolist(), rel=1e-6)
    assert maxima[2][0] < maxima[1][0]  # the running maximum was not the latest one


@pytest.mark.parametrize("shape", [(1, 8, 8), (64,)])
def test_its_statistics_are_counted_in_bytes(shape, finish, one_experience):
    plugin = SleepReplay(steps=5)
    assert plugin.memory() == Memory()
    for _ in range(2):
        finish(plugin, awake(), one_experience(torch.rand(9, *shape)))
        assert plugin.memory() == Memory(statistics_bytes=64 * 4 + 8 + 2 * 8 + 2 * 8)  # mean, count, maxima, spreads


def test_units_are_frozen_at_the_first_sleep(digits, finish):
    """Else a sleep that lets weights grow would make the next one stronger."""
    plugin, network = SleepReplay(steps=5), awake()
    spread = [float(c.weight.detach().std()) for c in network.connections]
    finish(plugin, network, digits.benchmark.train_stream[0])
    with torch.no_grad():
        network.connections[0].weight.mul_(3.0)
    finish(plugin, network, digits.benchmark.train_stream[1])
    assert plugin.spread == pytest.approx(spread)


def test_validation_samples_are_in_no_statistics():
    stream = clep.stream("digits", experiences=2, validation_fraction=0.3, samples_per_experience=50)
    plugin = SleepReplay(steps=5)
    clep.Training(clep.Learner(awake()), [plugin]).run(stream)
    trained = torch.cat([experience.samples.x for experience in stream.train])
    assert plugin.count == len(trained) == 100
    torch.testing.assert_close(plugin.mean, trained.mean(0), rtol=1e-6, atol=1e-7)


def test_rehearsed_samples_are_counted_once_when_they_were_new(digits):
    plugin = SleepReplay(steps=5)
    clep.Training(clep.Learner(awake()), [AwakeRehearsal(memory_size=20), plugin]).run(digits)
    torch.testing.assert_close(
        plugin.mean, torch.cat([e.samples.x for e in digits.train]).mean(0), rtol=1e-6, atol=1e-7
    )


# its input


def test_inputs_fire_at_a_rate_proportional_to_their_mean(finish, one_experience, watch):
    """4 000 Bernoulli trials: five standard deviations are 0.04 at most."""
    mean = torch.linspace(0.0, 1.0, 64)
    finish(SleepReplay(steps=4000, rate=0.45), awake(), one_experience(mean.expand(3, 64).clone()))
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), 0.45 * mean, rtol=0, atol=0.04)
    assert all(s[0] == 0 for s, _ in watch)


def test_rates_above_one_fire_at_every_step(finish, one_experience, watch):
    mean = torch.full((64,), 0.3)
    mean[:10] = 0.0
    finish(SleepReplay(steps=50, rate=5.0), awake(), one_experience(mean.expand(2, 64).clone()))
    assert all(spikes[:10].sum() == 0 and (spikes[10:] == 1).all() for spikes, _ in watch)


@pytest.mark.parametrize(("patch", "side"), [(0.4, 3), (0.99, 8), (0.01, 1), (0.5, 4)])
def test_a_patch_is_one_square_anywhere_in_the_image(patch, side, finish, one_experience, watch):
    """Every input fires here, so what is seen is the mask: all positions equally often (chi square)."""
    finish(SleepReplay(steps=2500, rate=2.0, patch=patch), awake(), one_experience(torch.ones(2, 1, 8, 8)))
    corners = Counter()
    for spikes, _ in watch:
        rows, columns = np.nonzero(spikes.reshape(8, 8))
        assert len(rows) == side * side
        assert np.ptp(rows) == np.ptp(columns) == side - 1
        corners[rows.min(), columns.min()] += 1
    places = (8 - side + 1) ** 2
    assert len(corners) == places
    expected = 2500 / places
    chi_square = sum((n - expected) ** 2 / expected for n in corners.values())
    assert chi_square <= (places - 1) + 4 * (2 * (places - 1)) ** 0.5  # mean + 4 standard deviations


def test_a_patch_covers_all_channels_and_follows_both_sides_of_the_image(finish, one_experience, watch):
    network = awake(sizes=(2 * 4 * 10, 6, 10))
    finish(SleepReplay(steps=300, rate=2.0, patch=0.5), network, one_experience(torch.ones(2, 2, 4, 10)))
    for spikes, _ in watch:
        first, second = spikes.reshape(2, 4, 10)
        assert (first == second).all()
        rows, columns = np.nonzero(first)
        assert (len(rows), np.ptp(rows), np.ptp(columns)) == (2 * 5, 1, 4)


def test_vectors_and_whole_images_are_not_masked(finish, one_experience, watch):
    finish(SleepReplay(steps=20, rate=2.0, patch=0.2), awake(), one_experience(torch.ones(2, 64)))
    finish(SleepReplay(steps=20, rate=2.0, patch=1.0), awake(), one_experience(torch.ones(2, 1, 8, 8)))
    assert len(watch) == 40
    assert all((spikes == 1).all() for spikes, _ in watch)


# models


def test_it_works_on_a_stack_of_linear_layers(digits, finish, mlp):
    """Three layers with ReLU between them; maxima as a plain forward without biases finds them."""
    model, plugin = mlp(64, 15, 12, 10, bias=False), SleepReplay(steps=300)
    inputs, pre_activations = digits.train[0].samples.x, []
    hooks = [
        module.register_forward_hook(lambda *a: pre_activations.append(float(a[2].max())))
        for module in model
        if isinstance(module, nn.Linear)
    ]
    with torch.no_grad():
        model(inputs)
    for hook in hooks:
        hook.remove()
    before = weights_of(model)
    finish(plugin, model, digits.benchmark.train_stream[0])
    assert plugin.maxima == pytest.approx([max(0.0, v) for v in pre_activations], rel=1e-5)
    assert not torch.equal(model[1].weight, before["1.weight"])
    assert [len(plugin.maxima), len(plugin.spread)] == [3, 3]


def test_a_model_can_name_its_layers_itself(digits, finish):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.upper, self.lower = nn.Linear(20, 10), nn.Linear(64, 20)
            self.norm = nn.LayerNorm(10)

        def forward(self, x):
            return self.norm(self.upper(torch.tanh(self.lower(x.flatten(1)))))

        def sleep_layers(self):
            return [("lower", self.lower.weight), ("upper", self.upper.weight)]

    model = Own()
    before = weights_of(model)
    finish(SleepReplay(steps=300), model, digits.benchmark.train_stream[0])
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {"lower.weight"} <= changed <= {"lower.weight", "upper.weight"}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        return self.left(x.flatten(1)) + self.right(x.flatten(1))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10)),
        nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.LayerNorm(20), nn.Linear(20, 10)),
        Branches(),
    ],
    ids=["convolution below", "no linear layer", "normalisation between", "layers side by side"],
)
def test_a_model_without_a_stack_of_layers_is_refused_before_it_is_trained(model, digits):
    before = weights_of(model)
    with pytest.raises(
        ConfigError, match=r"cannot find a stack of layers in (Sequential|Branches); give it .*`sleep_layers\(\)`"
    ):
        clep.Training(clep.Learner(model), [SleepReplay(steps=5)]).run(digits)
    assert unchanged(model, before)


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
    message = rf"^strategy\.sleep_replay\.{name}: expected 1, 2 or 2 values, got {len(values)}\."
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [SleepReplay(steps=5, **{name: values})]).run(digits)
    assert unchanged(network, before)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", -1),
        ("steps_per_experience", -1),
        ("rate", 0.0),
        ("decay", 1.01),
        ("threshold", [0.1, 0.0]),
        ("increment", [-0.1]),
        ("decrement_ratio", [-0.1]),
        ("gate_width", 0.0),
        ("patch", 0.0),
        ("patch", 1.1),
        ("feedback", -0.1),
    ],
)
def test_values_out_of_range_are_refused_by_their_key(key, value):
    with pytest.raises(ConfigError, match=rf"^strategy\.sleep_replay\.{key}: expected a value "):
        build(["sleep_replay"], {"sleep_replay": {key: value}})


# what it must not touch


def test_it_draws_from_its_own_generator_alone(digits, finish):
    def slept(seed):
        network, plugin = awake(), SleepReplay(steps=200)
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
    for plugins in ([], [SleepReplay(steps=200)]):
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
        plugins = build(["awake_rehearsal", "sleep_replay"], {"sleep_replay": {"steps": 300}}, seed=0)
        training = clep.Training(clep.Learner(awake(), lr=0.1), plugins, epochs=2)
        result = training.run(stream)
        results.append((weights_of(training.template.model), result.matrix))
    for weights, matrix in results[1:]:
        assert not np.array_equal(matrix, results[0][1])
        assert all(torch.equal(value, results[0][0][name]) for name, value in weights.items())


def test_sleeping_keeps_what_naive_training_forgets():
    """The effect that the method is for: five pairs of digits, of which naive training knows the last at the end."""
    stream = clep.stream("digits", experiences=5)
    accuracy = []
    for names in (["naive"], ["sleep_replay"]):
        network = clep.Network([64, 128, 10], bias=False, free_steps=12, time_step=clep.TimeStep(mean=0.6))
        learner = clep.Learner(network, lr=0.011, momentum=0.9)
        training = clep.Training(learner, build(names, {"sleep_replay": {"steps": 3000}}), epochs=5)
        result = training.run(stream)
        accuracy.append(result.matrix[-1].mean())
    assert accuracy[1] > accuracy[0] + 0.2
