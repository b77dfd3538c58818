"""Sleep replay: its statistics, its input, its effect on the weights, and what it must not see or touch."""

import dataclasses
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clep.strategies import sleep_replay
from clep.strategies.awake_rehearsal import AwakeRehearsal
from clep.strategies.sleep_replay import SleepReplay, per_layer
from torch import nn

import clep
from clep.equilibrium import Backpropagation, ConvLayer
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.spiking import CompiledSimulation, SpikingParameters, TorchSimulation, bernoulli_spikes
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
    steps, run = [], CompiledSimulation.run

    def watched(asleep, spikes):
        for step in range(len(spikes)):
            before = [count.copy() for count in asleep.counts]
            run(asleep, spikes[step : step + 1])
            fired = [(now - then).astype(float) for now, then in zip(asleep.counts, before, strict=True)]
            steps.append((spikes[step : step + 1].dense()[0].astype(float), fired))

    monkeypatch.setattr(CompiledSimulation, "run", watched)
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
    network.free_phase(x)
    expected = {"sleep/residual_before": float(network.residual)}
    logged = finish(SleepReplay(steps=400), network, digits.benchmark.train_stream[0]).take_log()
    assert len(watch) == 400
    network.free_phase(x)
    expected["sleep/residual_after"] = float(network.residual)
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


def test_without_decrements_no_weight_falls(digits, finish):
    """The other half of the rule alone; and no weight changes where no lower neuron fired."""
    network = awake()
    before = weights_of(network)
    finish(SleepReplay(steps=400, decrement_ratio=[0.0]), network, digits.benchmark.train_stream[0])
    for name, after in weights_of(network).items():
        assert (after >= before[name]).all()
        assert (after > before[name]).any()


@pytest.mark.parametrize("symmetric", [False, True])
def test_same_seed_same_weights(symmetric, digits, finish):
    results = []
    for seed in (3, 3, 4):
        network, plugin = awake(), SleepReplay(steps=1500, symmetric=symmetric, shuffled=True, patch=0.5)
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
    finish(SleepReplay(steps=2300), awake(), digits.benchmark.train_stream[0])
    assert steps == [1000, 1000, 300]
    assert any("compiling" in text for text, before in said if before == 0) is not compiled
    assert said[-1] == ("sleep", 2)


# options of the rule


@pytest.fixture
def seen(monkeypatch):
    """The constants of each sleep and its options: [([SpikingParameters], {})]."""
    calls, simulate = [], sleep_replay.simulation

    def watched(weights, parameters, **options):
        calls.append((parameters, options))
        return simulate(weights, parameters, **options)

    monkeypatch.setattr(sleep_replay, "simulation", watched)
    return calls


def test_the_gate_and_the_bounds_reach_the_rule_in_units_of_the_weights(seen, digits, finish):
    spread = [float(c.weight.detach().std()) for c in awake().connections]
    for options in ({}, {"gate": "none", "bounds": 3.0}, {"bounds": 3.0, "symmetric": True, "shuffled": True}):
        finish(SleepReplay(steps=1, **options), awake(), digits.benchmark.train_stream[0])
    assert [p.gate_width for p in seen[0][0]] == pytest.approx([0.2 * s for s in spread])
    assert [p.gate_width for p in seen[1][0]] == [np.inf, np.inf]
    assert [p.bound for p in seen[0][0]] == [np.inf, np.inf]
    assert [p.bound for p in seen[2][0]] == pytest.approx([3.0 * s for s in spread])
    assert [(o["symmetric"], o["shuffled"]) for _, o in seen] == [(False, False), (False, False), (True, True)]


def test_no_gate_without_bounds():
    """Its weights would overflow in the middle of a run."""
    with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.gate: .*set `bounds`"):
        build(["sleep_replay"], {"sleep_replay": {"gate": "none"}})
    build(["sleep_replay"], {"sleep_replay": {"gate": "none", "bounds": 2.0}})


def test_bounds_hold_and_are_reached(digits, finish):
    network = awake()
    spread = [float(c.weight.detach().std()) for c in network.connections]
    before = weights_of(network)
    plugin = SleepReplay(steps=3000, gate="none", bounds=2.5, increment=[0.5], decrement_ratio=[0.1])
    finish(plugin, network, digits.benchmark.train_stream[0])
    for connection, s, old in zip(network.connections, spread, before.values(), strict=True):
        changed = connection.weight.detach()[connection.weight.detach() != old]
        assert float(changed.abs().max()) == pytest.approx(2.5 * s, rel=1e-6)


def test_the_symmetric_rule_concerns_synapses_between_neurons_that_both_learn(digits, finish):
    """Those of the input have one end: bottom-up, where layers below do not hear of it, they stay as they are."""
    results = []
    for symmetric in (False, True):
        network = awake()
        finish(SleepReplay(steps=400, symmetric=symmetric), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert torch.equal(results[0]["connections.0.weight"], results[1]["connections.0.weight"])
    assert not torch.equal(results[0]["connections.1.weight"], results[1]["connections.1.weight"])


def test_shuffled_sleep_drives_the_network_as_ever_until_weights_differ(digits, finish, watch):
    """The same input spikes; the same spikes of the first layer up to and with its first one; then other weights."""
    networks = awake(), awake()
    for network, shuffled in zip(networks, (False, True), strict=True):
        finish(SleepReplay(steps=400, shuffled=shuffled), network, digits.benchmark.train_stream[0])
    plain, control = watch[:400], watch[400:]
    first = next(step for step, (_, layers) in enumerate(plain) if layers[0].any())
    for step, (ours, theirs) in enumerate(zip(plain, control, strict=True)):
        assert (ours[0] == theirs[0]).all()
        assert step > first or (ours[1][0] == theirs[1][0]).all()
    assert not torch.equal(networks[0].connections[0].weight, networks[1].connections[0].weight)


def test_a_membrane_of_time_steps_leaks_as_fast_as_its_neuron_moves_and_on_the_mean_as_any(seen, digits, finish):
    """-log decay_i proportional to dt_i, with mean -log decay in every layer; a read-out has no dt."""
    network = clep.Network([64, 20, 15, 10], bias=False, seed=1, readout="linear")
    finish(SleepReplay(steps=300, decay=0.9, membrane="time_steps"), network, digits.benchmark.train_stream[0])
    *hidden, top = [p.decay for p in seen[0][0]]
    assert top == 0.9
    for decay, dt in zip(hidden, network.time_steps, strict=True):
        leak = -np.log(decay)
        np.testing.assert_allclose(leak / leak.mean(), dt.double() / dt.double().mean(), rtol=1e-6)
        assert leak.mean() == pytest.approx(-np.log(0.9))
        assert leak.max() > 1.5 * leak.min()


def test_above_convolutions_the_time_steps_are_those_of_the_layers_that_sleep(seen, digits, finish):
    network = clep.Network([(1, 8, 8), ConvLayer(3, kernel=3), 12, 10], bias=False)
    finish(SleepReplay(steps=5, membrane="time_steps"), network, digits.benchmark.train_stream[0])
    assert [len(p.decay) for p in seen[0][0]] == [12, 10]


@pytest.mark.parametrize("mean", [0.6, 1.0])
def test_with_equal_time_steps_a_membrane_of_time_steps_is_the_uniform_one_to_the_bit(mean, digits, finish):
    step, results = clep.TimeStep("scalar", mean), []
    for membrane in ("uniform", "time_steps"):
        network = clep.Network([64, 20, 10], bias=False, seed=1, time_step=step)
        finish(SleepReplay(steps=400, membrane=membrane), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_membrane_of_time_steps_changes_a_network_that_has_them(digits, finish):
    results = []
    for membrane in ("uniform", "time_steps"):
        network = awake()
        finish(SleepReplay(steps=400, membrane=membrane), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network)["connections.0.weight"])
    assert not torch.equal(*results)


def test_a_membrane_of_time_steps_is_refused_where_there_are_none_before_it_is_trained(digits, mlp):
    for model in (mlp(64, 20, 10), Feedforward([64, 20, 10])):
        before = weights_of(model)
        with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.membrane: .* has none; use membrane=uniform"):
            clep.Training(clep.Learner(model), [SleepReplay(steps=5, membrane="time_steps")]).run(digits)
        assert unchanged(model, before)


def test_inhibition_reaches_every_layer_and_changes_who_fires(seen, digits, finish):
    rates = []
    for inhibition in (0.0, 0.5, 1.0):
        plugin = SleepReplay(steps=400, increment=[0.0], inhibition=inhibition)
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
        plugin = SleepReplay(steps=1100, feedback=0.2, **options)
        finish(plugin, network, digits.benchmark.train_stream[0])
        results.append((weights_of(network), plugin.take_log()))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, rtol=1e-5, atol=1e-6)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-3, abs=1e-6)


# when it sleeps


def slept(plugin, stream):
    """The experiences after which a whole run slept, and the log of each experience."""
    logs = [report.numbers for report in clep.Training(clep.Learner(awake()), [plugin]).run(stream).reports]
    return [i for i, log in enumerate(logs) if "sleep/firing_rate_layer_1" in log], logs


@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2]), (2, [1]), (3, [2]), (4, []), (0, [2])])
def test_it_sleeps_after_every_so_many_experiences_or_after_the_last(every, expected, digits):
    plugin = SleepReplay(steps=5, every=every)
    when, logs = slept(plugin, digits)
    assert when == expected
    assert all(("sleep/residual_before" in log) is (i in expected) for i, log in enumerate(logs))
    assert plugin.count == 120  # experiences without a sleep are in its statistics


def test_the_length_of_a_sleep_follows_the_experiences_not_the_sleeps(digits, watch):
    slept(SleepReplay(steps=30, steps_per_experience=11, every=2), digits)
    assert len(watch) == 41


def test_the_last_experience_is_known_in_plain_avalanche_too(digits, finish):
    plugin, network = SleepReplay(steps=50, every=0), awake()
    logs = [finish(plugin, network, e.train()).take_log() for e in digits.benchmark.train_stream]
    assert [bool(log) for log in logs] == [False, False, True]


def test_a_stream_without_an_end_is_refused_before_anything_is_trained(digits):
    (first, *_) = digits.benchmark.train_stream
    strategy = SimpleNamespace(model=awake(), experience=SimpleNamespace(dataset=first.dataset))
    with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.every: 0 sleeps after the last experience"):
        SleepReplay(every=0).before_training_exp(strategy)
    SleepReplay(every=2).before_training_exp(strategy)


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


def test_current_statistics_are_those_of_the_latest_experience_alone(finish, one_experience):
    """Maxima too: all that is left of the past is in the weights and in the units."""
    network, plugin = awake(), SleepReplay(steps=5, statistics="current")
    for scale in (1.0, 0.2):
        part = torch.rand(11, 1, 8, 8) * scale
        below = network.presynaptic(part)
        maxima = [float((s @ c.weight.detach().T).max()) for s, c in zip(below, network.connections, strict=True)]
        finish(plugin, network, one_experience(part))
        torch.testing.assert_close(plugin.mean, part.mean(0), rtol=1e-6, atol=1e-7)
        assert plugin.count == 11
        assert plugin.maxima == pytest.approx(maxima, rel=1e-6)


# its input


def test_poisson_inputs_fire_unless_their_count_is_zero(finish, one_experience, watch):
    """1 - exp(-rate mean), which stays below one at any rate; five standard deviations of 4 000 trials."""
    mean = torch.linspace(0.0, 1.0, 64)
    plugin = SleepReplay(steps=4000, rate=2.0, statistics="poisson")
    finish(plugin, awake(), one_experience(mean.expand(3, 64).clone()))
    expected = 1.0 - np.exp(-2.0 * mean.numpy())
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), expected, rtol=0, atol=0.04)


def test_a_negative_mean_never_fires(finish, one_experience, watch):
    for statistics in ("seen", "poisson"):
        plugin = SleepReplay(steps=20, statistics=statistics)
        finish(plugin, awake(), one_experience(torch.full((3, 64), -1.0)))
    assert len(watch) == 40
    assert not any(spikes.any() for spikes, _ in watch)


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


def convolutional(**options):
    layer = ConvLayer(3, kernel=3, padding=1)
    return clep.Network([(1, 8, 8), layer, 12, 10], bias=True, seed=1, **options)


def test_dense_layers_sleep_above_convolutions_that_are_frozen(digits, finish, watch):
    """Its input is the mean activity below the first dense layer, 3 x 4 x 4 values, never masked by a patch."""
    network = convolutional()
    before = weights_of(network)
    plugin = SleepReplay(steps=600, increment=[0.01], patch=0.3)
    x = digits.train[0].samples.x
    states = network.free_phase(x).states
    rates = 0.45 * states[0].flatten(1).mean(0)
    pairs = zip(states[:2], network.connections[1:], strict=True)
    maxima = [float((s.flatten(1) @ c.weight.detach().T).max()) for s, c in pairs]
    finish(plugin, network, digits.benchmark.train_stream[0])
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"connections.1.weight", "connections.2.weight"}
    assert plugin.mean.shape == (48,)
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), rates, rtol=0, atol=0.1)
    assert plugin.maxima == pytest.approx(maxima, rel=1e-5)
    assert {"sleep/residual_before", "sleep/firing_rate_layer_2"} <= set(plugin.take_log())


def test_a_linear_read_out_is_the_top_layer(digits, finish):
    network = clep.Network([64, 20, 10], bias=False, seed=1, readout="linear")
    before = weights_of(network)
    plugin = SleepReplay(steps=600, increment=[0.01])
    x = digits.train[0].samples.x
    maxima = [float(network.drive(x.flatten(1)).detach().max()), float(network(x).detach().max())]
    finish(plugin, network, digits.benchmark.train_stream[0])
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"connections.0.weight", "readout.weight"}
    assert plugin.maxima == pytest.approx(maxima, rel=1e-5)


def test_a_network_trained_by_backpropagation_sleeps_alike(digits, finish):
    results = []
    for nudging in (None, Backpropagation()):
        network = clep.Network([64, 20, 10], seed=1, nudging=nudging)
        finish(SleepReplay(steps=300), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_model_without_a_free_phase_has_no_residual(digits, finish, mlp):
    logged = finish(SleepReplay(steps=5), mlp(64, 20, 10), digits.benchmark.train_stream[0]).take_log()
    assert not [name for name in logged if "residual" in name]


def test_residual_links_are_refused_with_the_reason():
    with pytest.raises(
        ConfigError, match="sleep_replay needs a chain of dense layers; this network has residual links"
    ):
        sleep_replay.sleep_layers(clep.Network([5, 4, 4, 4, 3], residual_links=2))


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
        ("bounds", 0.0),
        ("every", -1),
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
