"""The rule of sleep, by hand: which weights change, by how much, through the gate and up to the bound."""

import math

import numpy as np
import pytest

from clep.sleep import (
    CompiledSimulation,
    Spikes,
)
from clep.sleep.rule import gate
from tests.oracles.asleep import BOTH, constants, go, input_rows, made, torch_of


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
    asleep.run(Spikes.of(input_rows(100)))
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
