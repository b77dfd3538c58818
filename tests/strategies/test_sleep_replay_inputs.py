"""What sleep knows of the inputs, and how they fire."""

from collections import Counter

import numpy as np
import pytest
import torch
from clep.strategies.awake_rehearsal import AwakeRehearsal

import clep
from clep.strategy import Memory
from tests.strategies.builders import awake, published

# what it knows of the past


def test_statistics_run_over_all_experiences(finish, one_experience):
    """Mean over every sample ever seen, not over experiences; maxima over each experience under its own weights."""
    parts = [torch.rand(n, 1, 8, 8) * scale for n, scale in ((13, 0.5), (40, 1.0), (7, 0.2))]
    network, plugin = awake(), published(steps=300)
    seen, maxima = [], []
    for part in parts:
        below = network.dense_stack().presynaptic(part)
        weights = [connection.weight.detach() for connection in network.connections]
        maxima.append([float((s @ w.T).max()) for s, w in zip(below, weights, strict=True)])
        finish(plugin, network, one_experience(part))
        seen.append(part)
        torch.testing.assert_close(plugin.inputs.mean, torch.cat(seen).mean(0), rtol=1e-6, atol=1e-7)
        assert plugin.inputs.count == sum(map(len, seen))
        assert plugin.inputs.maxima == pytest.approx(np.max(maxima, axis=0).tolist(), rel=1e-6)
    assert maxima[2][0] < maxima[1][0]  # the running maximum was not the latest one


@pytest.mark.parametrize("shape", [(1, 8, 8), (64,)])
def test_its_statistics_are_counted_in_bytes(shape, finish, one_experience):
    plugin = published(steps=5)
    assert plugin.memory() == Memory()
    for _ in range(2):
        finish(plugin, awake(), one_experience(torch.rand(9, *shape)))
        assert plugin.memory() == Memory(statistics_bytes=64 * 4 + 8 + 2 * 8 + 2 * 8)  # mean, count, maxima, spreads


def test_units_are_frozen_at_the_first_sleep(digits, finish):
    """Else a sleep that lets weights grow would make the next one stronger."""
    plugin, network = published(steps=5), awake()
    spread = [float(c.weight.detach().std()) for c in network.connections]
    finish(plugin, network, digits.benchmark.train_stream[0])
    with torch.no_grad():
        network.connections[0].weight.mul_(3.0)
    finish(plugin, network, digits.benchmark.train_stream[1])
    assert plugin.weight_scales == pytest.approx(spread)


def test_validation_samples_are_in_no_statistics():
    stream = clep.stream("digits", experiences=2, validation_fraction=0.3, samples_per_experience=50)
    plugin = published(steps=5)
    clep.Training(clep.Learner(awake()), [plugin], epochs=1).run(stream)
    trained = torch.cat([experience.samples.x for experience in stream.train])
    assert plugin.inputs.count == len(trained) == 100
    torch.testing.assert_close(plugin.inputs.mean, trained.mean(0), rtol=1e-6, atol=1e-7)


def test_rehearsed_samples_are_counted_once_when_they_were_new(digits):
    plugin = published(steps=5)
    clep.Training(clep.Learner(awake()), [AwakeRehearsal(memory_size=20), plugin], epochs=1).run(digits)
    torch.testing.assert_close(
        plugin.inputs.mean, torch.cat([e.samples.x for e in digits.train]).mean(0), rtol=1e-6, atol=1e-7
    )


def test_current_statistics_are_those_of_the_latest_experience_alone(finish, one_experience):
    """Maxima too: all that is left of the past is in the weights and in the units."""
    network, plugin = awake(), published(steps=5, statistics="current")
    for scale in (1.0, 0.2):
        part = torch.rand(11, 1, 8, 8) * scale
        below = network.dense_stack().presynaptic(part)
        maxima = [float((s @ c.weight.detach().T).max()) for s, c in zip(below, network.connections, strict=True)]
        finish(plugin, network, one_experience(part))
        torch.testing.assert_close(plugin.inputs.mean, part.mean(0), rtol=1e-6, atol=1e-7)
        assert plugin.inputs.count == 11
        assert plugin.inputs.maxima == pytest.approx(maxima, rel=1e-6)


# its input


def test_poisson_inputs_fire_unless_their_count_is_zero(finish, one_experience, watch):
    """1 - exp(-rate mean), which stays below one at any rate; five standard deviations of 4 000 trials."""
    mean = torch.linspace(0.0, 1.0, 64)
    plugin = published(steps=4000, rate=2.0, spikes="poisson")
    finish(plugin, awake(), one_experience(mean.expand(3, 64).clone()))
    expected = 1.0 - np.exp(-2.0 * mean.numpy())
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), expected, rtol=0, atol=0.04)


def test_a_negative_mean_never_fires(finish, one_experience, watch):
    for spikes in ("bernoulli", "poisson"):
        plugin = published(steps=20, spikes=spikes)
        finish(plugin, awake(), one_experience(torch.full((3, 64), -1.0)))
    assert len(watch) == 40
    assert not any(fired.any() for fired, _ in watch)


def test_inputs_fire_at_a_rate_proportional_to_their_mean(finish, one_experience, watch):
    """4 000 Bernoulli trials: five standard deviations are 0.04 at most."""
    mean = torch.linspace(0.0, 1.0, 64)
    finish(published(steps=4000, rate=0.45), awake(), one_experience(mean.expand(3, 64).clone()))
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), 0.45 * mean, rtol=0, atol=0.04)
    assert all(s[0] == 0 for s, _ in watch)


def test_rates_above_one_fire_at_every_step(finish, one_experience, watch):
    mean = torch.full((64,), 0.3)
    mean[:10] = 0.0
    finish(published(steps=50, rate=5.0), awake(), one_experience(mean.expand(2, 64).clone()))
    assert all(fired[:10].sum() == 0 and (fired[10:] == 1).all() for fired, _ in watch)


@pytest.mark.parametrize(("patch", "side"), [(0.4, 3), (0.99, 8), (0.01, 1), (0.5, 4)])
def test_a_patch_is_one_square_anywhere_in_the_image(patch, side, finish, one_experience, watch):
    """Every input fires here, so what is seen is the mask: all positions equally often (chi square)."""
    finish(published(steps=2500, rate=2.0, patch=patch), awake(), one_experience(torch.ones(2, 1, 8, 8)))
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
    finish(published(steps=300, rate=2.0, patch=0.5), network, one_experience(torch.ones(2, 2, 4, 10)))
    for spikes, _ in watch:
        first, second = spikes.reshape(2, 4, 10)
        assert (first == second).all()
        rows, columns = np.nonzero(first)
        assert (len(rows), np.ptp(rows), np.ptp(columns)) == (2 * 5, 1, 4)


def test_vectors_and_whole_images_are_not_masked(finish, one_experience, watch):
    finish(published(steps=20, rate=2.0, patch=0.2), awake(), one_experience(torch.ones(2, 64)))
    finish(published(steps=20, rate=2.0, patch=1.0), awake(), one_experience(torch.ones(2, 1, 8, 8)))
    assert len(watch) == 40
    assert all((fired == 1).all() for fired, _ in watch)
