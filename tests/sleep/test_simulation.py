"""The simulation of sleep against a plain loop over neurons and synapses, and steps worked out by hand."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from clep.sleep import (
    CompiledSimulation,
    Spikes,
    simulation,
)
from tests.oracles.asleep import BOTH, PlainSimulation, constants, go, input_rows, made, torch_of, uneven_rows

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
    for row in uneven_rows(150):
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
    rows = uneven_rows(150)
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
    rows = input_rows(100, 784, 13 / 784)
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
    spikes = Spikes.of(input_rows(120))
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
        made_by(weights, parameters).run(Spikes.of(input_rows(100)))
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


def test_it_is_known_whether_the_loops_are_compiled():
    weights, parameters = made(dtype=np.float32)
    asleep = CompiledSimulation(weights, parameters)
    asleep.run(Spikes.of(input_rows(1)))
    assert asleep.is_compiled()
    assert not CompiledSimulation([w.astype(np.float16) for w in weights], parameters).is_compiled()
