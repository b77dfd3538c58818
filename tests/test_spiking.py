"""The spiking simulation of sleep against a plain loop over neurons and synapses, and cases worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest

from clep.spiking import SpikingParameters, SpikingState, gate, spiking_step


def slow_step(weights, v, z, spikes, parameters):
    """The rule as the papers state it, one neuron and one synapse at a time, in Python's own floats."""
    below = spikes
    for layer, p in enumerate(parameters):
        w = weights[layer]
        for i in range(len(w)):
            v[layer][i] *= p.decay
            for j in range(len(below)):
                v[layer][i] += w[i][j] * below[j]
            if layer + 1 < len(weights):
                ratio = p.threshold / parameters[layer + 1].threshold
                for k in range(len(weights[layer + 1])):
                    v[layer][i] += p.feedback * ratio * weights[layer + 1][k][i] * z[layer + 1][k]
        for i in range(len(w)):
            z[layer][i] = 1.0 if v[layer][i] >= p.threshold else 0.0
            if z[layer][i]:
                v[layer][i] = 0.0
                for j in range(len(below)):
                    g = 2.0 / (1.0 + math.exp(w[i][j] / p.gate_width))
                    w[i][j] += p.increment * g if below[j] else -p.decrement * g
        below = z[layer]


def constants(**changes):
    """A layer with a gate so wide that g(w) is 1 up to 1e-9, if nothing else is asked for."""
    values = {"decay": 1.0, "threshold": 1.0, "increment": 0.0, "decrement": 0.0, "gate_width": 1e9}
    return SpikingParameters(**(values | changes))


def rest(*sizes, dtype=np.float64):
    return SpikingState.rest(sizes, dtype)


@pytest.mark.parametrize("sizes", [(12, 9, 6), (12, 9, 8, 5)])
@pytest.mark.parametrize("feedback", [0.0, 0.4])
def test_spikes_and_weights_equal_a_plain_loop_over_neurons_and_synapses(sizes, feedback):
    """A sleep is thousands of steps; an error of one sign or one index would still fire, and learn something else."""
    rng = np.random.default_rng(len(sizes))
    parameters = [
        constants(decay=0.9, threshold=t, increment=0.02, decrement=0.013, gate_width=0.15, feedback=feedback)
        for t in np.linspace(0.8, 0.5, len(sizes) - 1)
    ]
    fast = [rng.normal(0.1, 0.3, (n, m)) for m, n in pairwise(sizes)]
    slow = [w.tolist() for w in fast]
    start = [w.copy() for w in fast]
    state = rest(*sizes[1:])
    v = [[0.0] * n for n in sizes[1:]]
    z = [[0.0] * n for n in sizes[1:]]
    fired = np.zeros(len(fast))
    for step in range(400):
        spikes = (rng.random(sizes[0]) < 0.3).astype(float)
        slow_step(slow, v, z, spikes.tolist(), parameters)
        spiking_step(fast, state, spikes, parameters)
        for layer in range(len(fast)):
            assert state.z[layer].tolist() == z[layer], (step, layer)
            np.testing.assert_allclose(fast[layer], slow[layer], rtol=0, atol=1e-12)
            np.testing.assert_allclose(state.v[layer], v[layer], rtol=0, atol=1e-12)
            fired[layer] += sum(z[layer])
    assert (fired > 20).all()  # every layer was tested while firing
    for before, after in zip(start, fast, strict=True):
        assert (after > before).any()
        assert (after < before).any()


def test_feedback_is_of_the_step_before_and_in_units_of_the_thresholds():
    weights, state = [np.array([[2.0]]), np.array([[3.0]])], rest(1, 1)
    parameters = [constants(threshold=10.0, feedback=0.5), constants(threshold=4.0)]
    state.z[1][:] = 1.0
    spiking_step(weights, state, np.ones(1), parameters)
    assert state.v[0][0] == 2.0 + 0.5 * (10.0 / 4.0) * 3.0
    assert state.z[1][0] == 0.0  # nothing came from below now
    spiking_step(weights, state, np.zeros(1), parameters)
    assert state.v[0][0] == 5.75  # nothing from above either


@pytest.mark.parametrize(
    ("potential", "fires"), [(1.0, True), (np.nextafter(1.0, 0.0), False), (1.5, True), (0.0, False), (-1.0, False)]
)
def test_a_neuron_fires_at_exactly_its_threshold_and_falls_to_zero(potential, fires):
    state = rest(1)
    spiking_step([np.array([[potential]])], state, np.ones(1), [constants()])
    assert state.z[0][0] == fires
    assert state.v[0][0] == (0.0 if fires else potential)


def test_potentials_add_up_and_decay_between_spikes():
    """0.4, 0.4 + 0.2, 0.4 + 0.3 (fires at 0.7), then from zero again."""
    state, seen = rest(1), []
    for _ in range(5):
        spiking_step([np.array([[0.4]])], state, np.ones(1), [constants(decay=0.5, threshold=0.7)])
        seen.append((round(float(state.v[0][0]), 12), state.z[0][0]))
    assert seen == [(0.4, 0.0), (0.6, 0.0), (0.0, 1.0), (0.4, 0.0), (0.6, 0.0)]


def test_a_spike_passes_all_layers_in_the_step_in_which_it_comes():
    weights, state = [np.eye(2), np.array([[1.0, 0.0], [0.0, 0.5]])], rest(2, 2)
    spiking_step(weights, state, np.ones(2), [constants(), constants()])
    assert [z.tolist() for z in state.z] == [[1.0, 1.0], [1.0, 0.0]]
    spiking_step(weights, state, np.zeros(2), [constants(), constants()])
    assert [z.tolist() for z in state.z] == [[0.0, 0.0], [0.0, 0.0]]
    assert state.v[1].tolist() == [0.0, 0.5]


def test_only_the_synapses_of_fired_neurons_change_up_where_both_fired_down_elsewhere():
    weights = [np.array([[0.7, 0.6], [0.2, 0.1]])]
    spiking_step(weights, rest(2), np.array([1.0, 0.0]), [constants(threshold=0.5, increment=0.01, decrement=0.002)])
    np.testing.assert_allclose(weights[0], [[0.71, 0.598], [0.2, 0.1]], rtol=0, atol=1e-9)


def test_the_gate_moves_negative_weights_twice_zero_once_and_leaves_positive_ones():
    weights = [np.array([[-1.0, 0.0, 1.0]])]
    p = constants(threshold=-0.5, increment=0.25, gate_width=0.01)
    spiking_step(weights, rest(1), np.ones(3), [p])
    np.testing.assert_allclose(weights[0], [[-0.5, 0.25, 1.0]], rtol=0, atol=1e-15)


def test_gate_values_and_symmetry():
    w = np.linspace(-3.0, 3.0, 41)
    np.testing.assert_allclose(gate(w, 0.7), 2.0 / (1.0 + np.exp(w / 0.7)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(gate(w, 0.7) + gate(-w, 0.7), 2.0, rtol=0, atol=1e-14)
    assert gate(np.zeros(1), 0.7)[0] == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gate_does_not_overflow(dtype):
    """exp(w / width) would, at w = 800 widths; a sleep with a NaN weight is lost."""
    with np.errstate(all="raise"):
        assert gate(np.array([-1e6, -800.0, 800.0, 1e6], dtype), 1.0).tolist() == [2.0, 2.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sleep_keeps_the_dtype_of_its_weights(dtype):
    weights, state = [np.ones((3, 4), dtype)], rest(3, dtype=dtype)
    spiking_step(weights, state, np.ones(4, dtype), [constants(increment=0.1, decrement=0.1)])
    assert {a.dtype for a in (*weights, *state.v, *state.z)} == {np.dtype(dtype)}
    assert state.z[0].all()
