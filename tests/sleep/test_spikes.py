"""Input spikes: lists of those that fired, drawn as independent trials, and patches of an image."""

from itertools import pairwise

import numpy as np

from clep.sleep import (
    Spikes,
    bernoulli_spikes,
    patched,
)
from tests.oracles.asleep import input_rows


def test_spikes_are_lists_and_masks_at_once():
    rows = input_rows(30, 9, 0.3)
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
    some = Spikes.of(input_rows(800, 48, 0.2))
    kept = patched(some, shape, 0.5, np.random.default_rng(5)).dense()
    np.testing.assert_array_equal(kept, some.dense() & mask.reshape(800, 48))
    corners = set()
    for square in mask[:, 0]:
        rows, columns = np.nonzero(square)
        assert (len(rows), np.ptp(rows), np.ptp(columns)) == (6, 2, 1)
        corners.add((rows.min(), columns.min()))
    assert len(corners) == 4 * 3
