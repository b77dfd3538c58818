"""The spiking simulation of sleep against a plain loop over neurons and synapses, and cases worked out by hand."""

import math
from itertools import pairwise, product

import numba
import numpy as np
import pytest
import torch

from clep.spiking import (
    CompiledSimulation,
    Spikes,
    SpikingParameters,
    TorchSimulation,
    bernoulli_spikes,
    kernels,
    patched,
    simulation,
)
from clep.spiking.compiled import compiled
from clep.spiking.kernels import gate

SIZES = (14, 10, 8, 5)


class PlainSimulation:
    """The rule as the papers state it, one neuron and one synapse at a time, every number rounded to the dtype."""

    def __init__(self, weights, parameters, symmetric=False, shuffled=False, rng=None):
        self.number = weights[0].dtype.type
        self.weights = [w.copy() for w in weights]
        self.parameters, self.symmetric, self.shuffled, self.rng = parameters, symmetric, shuffled, rng
        self.orders = [np.arange(w.shape[1]) for w in weights]
        self.potentials = [np.zeros(len(w), w.dtype) for w in weights]
        self.counts = [np.zeros(len(w), int) for w in weights]
        self.z = [[False] * len(w) for w in weights]

    def step(self, inputs):
        below = [bool(x) for x in inputs]
        for layer in range(len(self.weights)):
            self.integrate(layer, below)
            self.learn(layer, below, self.z[layer])
            below = self.z[layer]

    def integrate(self, layer, below):
        w, v, p = self.weights[layer], self.potentials[layer], self.parameters[layer]
        decay = np.broadcast_to(p.decay, len(v))
        drive = np.zeros_like(v)
        for i in range(len(v)):
            v[i] = v[i] * self.number(decay[i])
            drive[i] = 0.0 if p.inhibition else v[i]  # without inhibition input is added to the potential as it comes
            for j in range(len(below)):
                if below[j]:
                    drive[i] = drive[i] + w[i, j]
            if p.feedback and layer + 1 < len(self.weights) and any(self.z[layer + 1]):
                ratio = p.threshold / self.parameters[layer + 1].threshold
                total = self.number(0.0)
                for k, fired in enumerate(self.z[layer + 1]):
                    if fired:
                        total = total + self.weights[layer + 1][k, i]
                drive[i] = drive[i] + self.number(p.feedback * ratio) * total
        if p.inhibition:
            mean = sum(float(x) / len(v) for x in drive)
            v += np.array([float(x) - float(self.number(p.inhibition)) * mean for x in drive])
        else:
            v[:] = drive
        self.z[layer] = [bool(potential >= self.number(p.threshold)) for potential in v]
        for i, fired in enumerate(self.z[layer]):
            if fired:
                v[i] = 0.0
                self.counts[layer][i] += 1

    def learn(self, layer, below, here):
        w, p = self.weights[layer], self.parameters[layer]
        both_ends = self.symmetric and layer > 0
        if not (p.increment or p.decrement) or not (any(here) or (both_ends and any(below))):
            return
        if self.shuffled:
            chosen = kernels.subset.py_func(self.orders[layer], sum(below), self.rng)
            below = [j in chosen for j in range(len(below))]

        def rule(post, pre):
            return 0.0 if not post else p.increment if pre else -p.decrement

        for i in range(len(here)):
            for j in range(len(below)):
                change = rule(here[i], below[j])
                if both_ends:
                    change = 0.5 * (change + rule(below[j], here[i]))
                if here[i] or (both_ends and below[j]):
                    new = float(w[i, j]) + change * gate.py_func(float(w[i, j]), p.gate_width)
                    w[i, j] = min(max(new, -p.bound), p.bound)


def constants(**changes):
    """A layer without gate and without learning, if nothing else is asked for."""
    values = {"decay": 1.0, "threshold": 1.0, "increment": 0.0, "decrement": 0.0, "gate_width": math.inf}
    return SpikingParameters(**(values | changes))


def made(sizes=SIZES, dtype=np.float64, uneven_decay=False, **changes):
    """Weights and constants with which every layer fires now and then."""
    rng = np.random.default_rng(len(sizes))
    weights = [rng.normal(0.1, 0.3, (n, m)).astype(dtype) for m, n in pairwise(sizes)]
    values = {"decay": 0.9, "increment": 0.02, "decrement": 0.013, "gate_width": 0.15} | changes
    decays = [rng.uniform(0.8, 1.0, n) if uneven_decay else values["decay"] for n in sizes[1:]]
    thresholds = np.linspace(1.4, 0.9, len(sizes) - 1)
    return weights, [
        constants(**values | {"threshold": t, "decay": d}) for t, d in zip(thresholds, decays, strict=True)
    ]


def inputs(steps, size=SIZES[0], share=0.1, seed=7):
    return np.random.default_rng(seed).random((steps, size)) < share


def uneven(steps):
    """Steps with no spikes, a few, and many."""
    return inputs(steps, share=np.random.default_rng(8).choice([0.0, 0.1, 0.1, 0.7], (steps, 1)))


def torch_of(weights, parameters, **options):
    return TorchSimulation([torch.from_numpy(w) for w in weights], parameters, **options)


def go(sim, *rows):
    """Steps with these input spikes; what every layer fired in the last of them, as lists of 0 and 1."""
    before = sim.counts
    for row in np.atleast_2d(rows):
        before = [count.copy() for count in sim.counts]
        sim.run(Spikes.of(row[None]))
    return [(now - then).tolist() for now, then in zip(sim.counts, before, strict=True)]


BOTH = pytest.mark.parametrize("made_by", [CompiledSimulation, torch_of], ids=["compiled", "torch"])


# ---------------------------------------------------------------- against the plain loop

OPTIONS = [
    {"feedback": feedback, "symmetric": symmetric, "shuffled": shuffled, **rule}
    for feedback, symmetric, shuffled, rule in product(
        (0.0, 0.4),
        (False, True),
        (False, True),
        (
            {},
            {"bound": 0.4},
            {"gate_width": math.inf, "bound": 0.6},
            {"inhibition": 0.3},
            {"inhibition": 0.3, "uneven_decay": True},
        ),
    )
]


def both_sides(dtype, options, made_by=CompiledSimulation):
    options = dict(options)
    switches = {name: options.pop(name, False) for name in ("symmetric", "shuffled")}
    weights, parameters = made(dtype=dtype, **options)
    fast = made_by(weights, parameters, **switches, rng=np.random.default_rng(3))
    return weights, fast, PlainSimulation(weights, parameters, **switches, rng=np.random.default_rng(3))


@pytest.mark.parametrize(
    ("dtype", "options"),
    [("float32", options) for options in OPTIONS] + [("float64", OPTIONS[i]) for i in (0, 9, 12, 20, 31, 34)],
    ids=str,
)
def test_a_sleep_equals_a_plain_loop_over_neurons_and_synapses_to_the_bit(dtype, options):
    """Columns of spikes added in the order of the inputs, and every layer decayed in every step.

    A sleep is thousands of steps; an error of one sign or one index would still fire, and learn something else. What
    is skipped because it is silent must be what would not have changed anything.
    """
    weights, fast, plain = both_sides(dtype, options)
    silent = np.zeros(len(weights))
    for row in uneven(150):
        fast.run(Spikes.of(row[None]))
        plain.step(row)
        silent += [not any(z) for z in plain.z]
        for ours, theirs in zip(fast.potentials, plain.potentials, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(fast.counts, plain.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for start, ours, theirs in zip(weights, fast.weights, plain.weights, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(ours, start)
    assert (silent > 10).all()
    assert (silent < 145).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_torch_path_computes_the_same(options):
    """Its sums are taken in another order, so equal up to rounding; float64, so that no spike hangs on it."""
    weights, ours, plain = both_sides("float64", options, made_by=torch_of)
    rows = uneven(150)
    ours.run(Spikes.of(rows))
    for row in rows:
        plain.step(row)
    for layer in range(len(weights)):
        np.testing.assert_array_equal(ours.counts[layer], plain.counts[layer])
        np.testing.assert_allclose(ours.weights[layer], plain.weights[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.potentials[layer], plain.potentials[layer], rtol=0, atol=1e-12)


@pytest.mark.parametrize("inhibition", [0.0, 0.5])
def test_a_sleep_of_a_large_network_stays_near_matrix_products(inhibition):
    """Whole matrices times whole vectors, in float32: after 100 steps the same spikes, weights within 1e-5."""
    rng = np.random.default_rng(1)
    start = [(rng.uniform(-1, 1, (n, m)) / m**0.5).astype(np.float32) for m, n in pairwise((784, 300, 200, 10))]
    rule = {"increment": 1e-3, "decrement": 4e-4, "gate_width": 0.02, "inhibition": inhibition}
    parameters = [
        constants(decay=rng.uniform(0.9, 1.0, len(w)), threshold=t, **rule)
        for t, w in zip((0.7, 0.15, 0.05), start, strict=True)
    ]
    fast, dense = CompiledSimulation(start, parameters), [w.copy() for w in start]
    v, counts = [np.zeros(len(w), np.float32) for w in start], [np.zeros(len(w), int) for w in start]
    rows = inputs(100, 784, 13 / 784)
    fast.run(Spikes.of(rows))
    for row in rows:
        below = row.astype(np.float32)
        for layer, (w, p) in enumerate(zip(dense, parameters, strict=True)):
            drive = w @ below
            v[layer] = np.float32(p.decay) * v[layer] + (drive - np.float32(inhibition) * drive.mean())
            z = v[layer] >= p.threshold
            signs = (
                np.where(below > 0, p.increment, -p.decrement) * 2.0 / (1.0 + np.exp(w[z] / p.gate_width, dtype=float))
            )
            w[z] = (w[z] + signs).astype(np.float32)
            v[layer][z] = 0.0
            counts[layer] += z
            below = z.astype(np.float32)
    for layer in range(3):
        np.testing.assert_array_equal(fast.counts[layer], counts[layer])
        assert counts[layer].sum() > 0
        np.testing.assert_allclose(fast.weights[layer], dense[layer], rtol=1e-5, atol=1e-7)


@BOTH
def test_a_sleep_in_pieces_is_the_same_sleep(made_by):
    """Potentials, the spikes that feed back and the shuffles must outlive a piece."""
    weights, parameters = made(feedback=0.4)
    spikes = Spikes.of(inputs(120))
    whole, pieces = (made_by(weights, parameters, shuffled=True, rng=np.random.default_rng(3)) for _ in range(2))
    whole.run(spikes)
    for start, end in pairwise([0, 1, 50, 50, 120]):
        pieces.run(spikes[start:end])
    for ours, theirs in zip(whole.weights, pieces.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_weights_that_come_in_are_left_alone():
    weights, parameters = made()
    copies = [w.copy() for w in weights]
    for made_by in (CompiledSimulation, torch_of):
        made_by(weights, parameters).run(Spikes.of(inputs(100)))
        assert all(np.array_equal(a, b) for a, b in zip(weights, copies, strict=True))


def test_weights_on_the_cpu_sleep_in_compiled_loops():
    weights, parameters = made()
    assert isinstance(simulation([torch.from_numpy(w) for w in weights], parameters), CompiledSimulation)


# ---------------------------------------------------------------- by hand


@BOTH
def test_feedback_is_of_the_step_before_and_in_units_of_the_thresholds(made_by):
    weights = [np.array([[10.0, 2.0]]), np.array([[3.0]])]
    asleep = made_by(weights, [constants(threshold=10.0, feedback=0.5), constants(threshold=2.5)])
    assert go(asleep, [1, 0]) == [[1], [1]]
    assert asleep.potentials[0][0] == 0.0
    assert go(asleep, [0, 1]) == [[0], [0]]
    assert asleep.potentials[0][0] == 2.0 + 0.5 * (10.0 / 2.5) * 3.0
    go(asleep, [0, 0])
    assert asleep.potentials[0][0] == 8.0  # nothing fired above in the step before


@BOTH
def test_feedback_alone_can_fire_a_neuron(made_by):
    """Skipping layers that got nothing from below must not skip those that get something from above."""
    weights = [np.array([[10.0]]), np.array([[3.0]])]
    asleep = made_by(weights, [constants(threshold=10.0, feedback=1.0), constants(threshold=3.0)])
    assert go(asleep, [1], [0]) == [[1], [1]]


@BOTH
@pytest.mark.parametrize(
    ("potential", "fires"), [(1.0, True), (np.nextafter(1.0, 0.0), False), (1.5, True), (0.0, False), (-1.0, False)]
)
def test_a_neuron_fires_at_exactly_its_threshold_and_falls_to_zero(potential, fires, made_by):
    asleep = made_by([np.array([[potential]])], [constants()])
    assert go(asleep, [1]) == [[fires]]
    assert asleep.potentials[0][0] == (0.0 if fires else potential)


@BOTH
def test_potentials_add_up_and_decay_between_spikes(made_by):
    """0.4, 0.4 + 0.2, 0.4 + 0.3 (fires at 0.7), then from zero again; 0.6 halves in a step without a spike."""
    asleep, seen = made_by([np.array([[0.4]])], [constants(decay=0.5, threshold=0.7)]), []
    for x in (1, 1, 1, 1, 1, 0):
        z = go(asleep, [x])
        seen.append((round(float(asleep.potentials[0][0]), 12), z[0][0]))
    assert seen == [(0.4, 0), (0.6, 0), (0.0, 1), (0.4, 0), (0.6, 0), (0.3, 0)]


@BOTH
def test_neurons_of_a_layer_leak_at_their_own_rates(made_by):
    asleep = made_by([np.array([[0.8], [0.8], [0.8]])], [constants(decay=np.array([0.0, 0.5, 1.0]))])
    go(asleep, [1], [0])
    assert asleep.potentials[0].tolist() == [0.0, 0.4, 0.8]


@BOTH
def test_inhibition_takes_a_share_of_the_mean_input_from_every_neuron(made_by):
    """Half of the mean of 3.0, 1.0 and -1.0; in a step without input there is none."""
    asleep = made_by([np.array([[3.0], [1.0], [-1.0]])], [constants(threshold=9.0, inhibition=0.5)])
    for inputs_, expected in (([1], [2.5, 0.5, -1.5]), ([0], [2.5, 0.5, -1.5]), ([1], [5.0, 1.0, -3.0])):
        assert go(asleep, inputs_) == [[0, 0, 0]]
        assert asleep.potentials[0].tolist() == expected


@BOTH
def test_inhibition_of_one_leaves_only_differences_to_fire(made_by):
    """Three neurons driven alike stay silent whatever the input; the feedback of a step is input as well."""
    alike = made_by([np.full((3, 1), 100.0)], [constants(inhibition=1.0)])
    assert go(alike, [1], [1]) == [[0, 0, 0]]
    weights = [np.array([[10.0, 0.0], [0.0, 0.0]]), np.array([[8.0, 4.0]])]
    asleep = made_by(weights, [constants(threshold=5.0, feedback=0.5, inhibition=1.0), constants(threshold=5.0)])
    assert go(asleep, [1, 0]) == [[1, 0], [1]]
    assert asleep.potentials[0].tolist() == [0.0, -5.0]
    go(asleep, [0, 0])  # feedback 4 and 2, mean 3
    assert asleep.potentials[0].tolist() == [1.0, -6.0]


@BOTH
def test_a_spike_passes_all_layers_in_the_step_in_which_it_comes(made_by):
    asleep = made_by([np.eye(2), np.array([[1.0, 0.0], [0.0, 0.5]])], [constants(), constants()])
    assert go(asleep, [1, 1]) == [[1, 1], [1, 0]]
    assert go(asleep, [0, 0]) == [[0, 0], [0, 0]]
    assert asleep.potentials[1].tolist() == [0.0, 0.5]


@BOTH
def test_only_the_synapses_of_fired_neurons_change_up_where_both_fired_down_elsewhere(made_by):
    weights = [np.array([[0.7, 0.6], [0.2, 0.1]])]
    asleep = made_by(weights, [constants(threshold=0.5, increment=0.01, decrement=0.002)])
    go(asleep, [1, 0])
    np.testing.assert_allclose(asleep.weights[0], [[0.71, 0.598], [0.2, 0.1]], rtol=0, atol=1e-15)


@BOTH
def test_the_gate_moves_negative_weights_twice_zero_once_and_leaves_positive_ones(made_by):
    asleep = made_by([np.array([[-1.0, 0.0, 1.0, 9.0]])], [constants(increment=0.25, gate_width=0.01)])
    go(asleep, [1, 1, 1, 1])
    np.testing.assert_allclose(asleep.weights[0], [[-0.5, 0.25, 1.0, 9.0]], rtol=0, atol=1e-15)


@BOTH
def test_without_a_gate_all_weights_move_alike(made_by):
    asleep = made_by([np.array([[-1.0, 0.0, 1.0, 9.0]])], [constants(increment=0.25)])
    go(asleep, [1, 1, 1, 1])
    assert asleep.weights[0].tolist() == [[-0.75, 0.25, 1.25, 9.25]]


@BOTH
def test_a_bound_clips_what_the_rule_changes_and_nothing_else(made_by):
    weights = [np.array([[0.95, -0.95, 0.5], [-7.0, 0.0, 0.0]])]
    asleep = made_by(weights, [constants(threshold=0.9, increment=0.1, decrement=0.1, bound=1.0)])
    assert go(asleep, [1, 0, 0]) == [[1, 0]]
    assert asleep.weights[0].tolist() == [[1.0, -1.0, 0.4], [-7.0, 0.0, 0.0]]


@BOTH
def test_the_symmetric_rule_is_the_mean_of_the_rules_at_both_ends(made_by):
    """Of four pairs: both fired, 0.5 (inc + inc); one alone, 0.5 (-dec + 0); none, 0. The input's synapses: one end.

    Without the share of the lower end, what the feedback of a tied weight does to the layer below is never learned.
    """
    upper = np.array([[1.0, 0.25], [0.125, 0.5]])
    layer = constants(threshold=0.9, increment=0.04, decrement=0.02)
    asleep = made_by([np.eye(2), upper], [layer, layer], symmetric=True)
    assert go(asleep, [1, 0]) == [[1, 0], [1, 0]]
    np.testing.assert_allclose(asleep.weights[0], [[1.04, -0.02], [0.0, 1.0]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(asleep.weights[1], [[1.04, 0.24], [0.115, 0.5]], rtol=0, atol=1e-15)


@BOTH
def test_the_symmetric_rule_changes_synapses_of_lower_neurons_though_nothing_fires_above(made_by):
    layer = constants(threshold=0.9, decrement=0.02)
    asleep = made_by([np.eye(2), np.full((1, 2), 0.1)], [layer, layer], symmetric=True)
    assert go(asleep, [1, 0]) == [[1, 0], [0]]
    np.testing.assert_allclose(asleep.weights[1], [[0.09, 0.1]], rtol=0, atol=1e-15)


@BOTH
def test_shuffling_strengthens_as_many_synapses_at_other_places(made_by):
    """And all places alike: over many steps with one and the same input, chi square."""
    n, k, steps = 20, 3, 3000
    row = np.arange(n) < k
    asleep = made_by([np.full((1, n), 1.0)], [constants(increment=1e-3)], shuffled=True)
    gained = np.zeros(n)
    for _ in range(steps if made_by is CompiledSimulation else 200):
        before = np.asarray(asleep.weights[0][0].tolist())
        assert go(asleep, row) == [[1]]
        change = np.asarray(asleep.weights[0][0].tolist()) - before
        assert ((change == 0.0) | (abs(change - 1e-3) < 1e-12)).all()
        assert np.count_nonzero(change) == k
        gained += change > 0
    expected = gained.sum() / n
    assert (((gained - expected) ** 2).sum() / expected) < (n - 1) + 5 * (2 * (n - 1)) ** 0.5


@BOTH
@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"shuffled": True}])
def test_increments_of_zero_change_no_weight_by_a_bit(options, made_by):
    """A bound is one of changes; it does not come for weights by itself."""
    weights, parameters = made(increment=0.0, decrement=0.0, bound=0.01)
    asleep = made_by(weights, parameters, **options)
    asleep.run(Spikes.of(inputs(100)))
    assert all(count.sum() > 0 for count in asleep.counts)
    for before, after in zip(weights, asleep.weights, strict=True):
        np.testing.assert_array_equal(after, before)


def test_gate_values_and_symmetry():
    w = np.linspace(-3.0, 3.0, 41)
    g = np.array([gate(x, 0.7) for x in w])
    np.testing.assert_allclose(g, 2.0 / (1.0 + np.exp(w / 0.7)), rtol=1e-14, atol=0)
    np.testing.assert_allclose(g + g[::-1], 2.0, rtol=0, atol=1e-14)
    assert gate(0.0, 0.7) == 1.0
    assert gate(-5.0, math.inf) == gate(5.0, math.inf) == 1.0
    assert [gate.py_func(x, 0.7) for x in w] == g.tolist()


def test_the_gate_does_not_overflow():
    """exp(w / width) would, at w = 800 widths; a sleep with a NaN weight is lost."""
    assert [gate(w, 1.0) for w in (-1e6, -800.0, 800.0, 1e6)] == [2.0, 2.0, 0.0, 0.0]
    extreme = np.array([-1e6, -800.0, 800.0, 1e6, 10_000.0])[None]
    for made_by in (CompiledSimulation, torch_of):
        asleep = made_by([extreme], [constants(increment=1.0, gate_width=1.0)])
        go(asleep, [1] * 5)
        assert asleep.weights[0].tolist() == [[-1e6 + 2.0, -798.0, 800.0, 1e6, 10_000.0]]


# ---------------------------------------------------------------- input spikes


def test_spikes_are_lists_and_masks_at_once():
    rows = inputs(30, 9, 0.3)
    spikes = Spikes.of(rows)
    np.testing.assert_array_equal(spikes.dense(), rows)
    assert (len(spikes), len(spikes[4:9]), len(spikes[9:4]), len(spikes[25:99])) == (30, 5, 0, 5)
    np.testing.assert_array_equal(spikes[4:9].dense(), rows[4:9])
    even = spikes.where(spikes.index % 2 == 0)
    np.testing.assert_array_equal(even.dense(), rows & (np.arange(9) % 2 == 0))


PROBABILITY = np.array([0.0, 1e-300, 1e-3, 0.02, 0.3, 0.3, 0.9, 1.0])


def drawn(steps, pieces=1, seed=0):
    rng = np.random.default_rng(seed)
    return [bernoulli_spikes(PROBABILITY, steps, rng) for _ in range(pieces)]


def test_inputs_of_a_step_are_in_order_and_fire_once():
    (spikes,) = drawn(500)
    for start, end in pairwise(spikes.start):
        assert (np.diff(spikes.index[start:end]) > 0).all()


def test_each_input_fires_with_its_probability_in_every_step():
    """Mean over 40 000 steps, and in the first, second and last step of 4 000 pieces: six standard deviations.

    A sampler of gaps that starts a piece with a spike, or with a gap too many, shifts the ends of all pieces.
    """
    (spikes,) = drawn(40_000)
    samples = {"all": spikes.dense()}
    pieces = np.stack([s.dense() for s in drawn(10, 4000, seed=1)])
    samples |= {step: pieces[:, step] for step in (0, 1, -1)}
    for sample in samples.values():
        error = sample.mean(0) - PROBABILITY
        assert (abs(error) <= 6 * np.sqrt(PROBABILITY * (1 - PROBABILITY) / len(sample))).all()
        assert not sample[:, :2].any()
        assert sample[:, -1].all()


def test_the_number_of_spikes_varies_as_that_of_independent_trials():
    """Variance n p (1 - p) of the spikes in 50 steps: Poisson counts would have n p, a fixed number per piece 0."""
    counts = np.stack([s.dense().sum(0) for s in drawn(50, 4000)])
    variance = 50 * PROBABILITY * (1 - PROBABILITY)
    np.testing.assert_allclose(counts.var(0), variance, rtol=6 * (2 / 4000) ** 0.5 + 0.1, atol=1e-12)
    np.testing.assert_allclose(counts.var(0)[3:7], variance[3:7], rtol=6 * (2.2 / 4000) ** 0.5)


def test_spikes_are_independent_of_other_inputs_and_other_steps():
    """Correlations with every other input, and with all inputs one and two steps later: six standard deviations."""
    (spikes,) = drawn(40_000)
    x = spikes.dense()[:, 2:7].astype(float)
    x = (x - x.mean(0)) / x.std(0)
    for lag in (0, 1, 2):
        correlation = x[: len(x) - lag].T @ x[lag:] / (len(x) - lag)
        if lag == 0:
            np.fill_diagonal(correlation, 0.0)
        assert abs(correlation).max() < 6 / len(x) ** 0.5


def test_gaps_are_geometric():
    """P(k silent steps between two spikes) = p (1 - p)^k, in every bin."""
    p, rng = 0.2, np.random.default_rng(0)
    spikes = bernoulli_spikes(np.array([p]), 100_000, rng)
    silent = np.diff(spikes.step) - 1
    for k in range(15):
        expected = p * (1 - p) ** k
        assert abs((silent == k).mean() - expected) < 6 * (expected / len(silent)) ** 0.5


def test_a_draw_with_more_spikes_than_expected_goes_on():
    """Cut at the room that is usually enough, a chunk would end with silent inputs."""

    class Restless:
        def standard_exponential(self, n):
            return np.zeros(n)

    spikes = bernoulli_spikes(np.array([0.0, 1e-6, 1e-6]), 300, Restless())
    assert spikes.dense().all(0).tolist() == [False, True, True]


def test_a_draw_of_nothing():
    for spikes in (bernoulli_spikes(np.zeros(3), 5, np.random.default_rng(0)), drawn(0)[0]):
        assert len(spikes.index) == 0
    assert len(drawn(0)[0]) == 0


def test_a_patch_keeps_what_is_inside_and_drops_the_rest():
    """A spike is kept exactly if its step's square of 3 x 2 pixels holds it in its channel."""
    shape = (2, 6, 4)
    everywhere = Spikes.of(np.ones((800, 48)))
    mask = patched(everywhere, shape, 0.5, np.random.default_rng(5)).dense().reshape(-1, *shape)
    assert (mask[:, 0] == mask[:, 1]).all()
    some = Spikes.of(inputs(800, 48, 0.2))
    kept = patched(some, shape, 0.5, np.random.default_rng(5)).dense()
    np.testing.assert_array_equal(kept, some.dense() & mask.reshape(800, 48))
    corners = set()
    for square in mask[:, 0]:
        rows, columns = np.nonzero(square)
        assert (len(rows), np.ptp(rows), np.ptp(columns)) == (6, 2, 1)
        corners.add((rows.min(), columns.min()))
    assert len(corners) == 4 * 3


# ---------------------------------------------------------------- compiling


def test_code_compiles_where_nothing_can_be_kept_on_disk(monkeypatch):
    """As in a read-only installation without a home: numba then refuses to cache at all."""
    njit = numba.njit

    def refusing(*args, cache=False, **kwargs):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **kwargs)

    monkeypatch.setattr(numba, "njit", refusing)
    assert compiled(lambda x: x + 1)(2) == 3


def test_it_is_known_whether_the_loops_are_compiled():
    weights, parameters = made(dtype=np.float32)
    asleep = CompiledSimulation(weights, parameters)
    asleep.run(Spikes.of(inputs(1)))
    assert asleep.is_compiled()
    assert not CompiledSimulation([w.astype(np.float16) for w in weights], parameters).is_compiled()
