"""A sleep that calibrates itself: its thresholds, who learns, what is lost, and when it ends."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from clep.sleep import (
    DECAY,
    CalibratedSleep,
    Spikes,
    TorchSimulation,
    bernoulli_spikes,
    calibration,
)
from clep.sleep.calibration import GATE_WIDTH, RATE

SIZES = (30, 40, 20, 5)


def network(scale=1.0, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [scale * (torch.randn(n, m, generator=generator) + 0.2) / m**0.5 for m, n in pairwise(SIZES)]


def asleep(weights, depression=0.01, drive=1.0, **options):
    spread = [float(weight.std()) for weight in weights]
    return CalibratedSleep(
        weights,
        spread,
        [drive * s for s in spread],
        depression=depression,
        decays=[DECAY] * len(weights),
        **options,
    )


def drawing(seed=0, chance=0.4):
    rng = np.random.default_rng(seed)
    return lambda steps: bernoulli_spikes(np.full(SIZES[0], chance), steps, rng)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("drive", [0.01, 100.0])
def test_the_first_layer_fires_about_as_often_as_it_should_whatever_the_weights_and_the_start(scale, drive):
    """Without changes of weights: nothing but thresholds can have done it. Layers above get spikes in bursts."""
    sleep = asleep(network(scale), depression=1e-9, drive=drive)
    for _ in sleep.run(drawing()):
        pass
    assert 0.5 * RATE < sleep.counts[0].mean() / sleep.steps < 2.0 * RATE


def test_layers_below_the_output_lose_weight_and_the_output_stays():
    before = network()
    sleep = asleep(before)
    *hidden, output = next(sleep.run(drawing()))
    for old, new in zip(before, hidden, strict=False):
        change = torch.as_tensor(new) - old
        assert (change <= 0.0).all()
        assert (change < 0.0).any()
    assert torch.equal(torch.as_tensor(output), before[-1])


def test_a_single_layer_learns():
    (before, *_) = network()
    (after,) = next(asleep([before]).run(drawing()))
    assert not torch.equal(torch.as_tensor(after), before)


@pytest.mark.parametrize("hidden", [1, 2])
def test_one_spike_costs_every_synapse_its_gated_share_of_the_spread_which_hidden_layers_divide(hidden):
    """One neuron, driven by two inputs; by hand: w - depression / n * spread * 2 / (1 + exp(w / width))."""
    weights = torch.tensor([[5.0, -1.0, 0.0, 0.5]])
    spread = float(weights.std())
    further = [torch.ones(1, 1)] * hidden
    scales, drives, decays = [spread] + [1.0] * hidden, [5.0] + [1.0] * hidden, [DECAY] * (1 + hidden)
    sleep = CalibratedSleep([weights, *further], scales, drives, depression=0.1, decays=decays)
    spikes = Spikes.of(np.tile([[1, 0, 0, 1]], (25, 1)))
    (after, *_) = next(sleep.run(lambda steps: spikes[:steps]))
    expected = weights[0].double().clone()
    for _ in range(int(sleep.counts[0][0])):
        expected -= 0.1 / hidden * spread * 2.0 / (1.0 + torch.exp(expected / (GATE_WIDTH * spread)))
    np.testing.assert_allclose(after[0], expected, rtol=1e-5)
    assert after[0][3] < 0.5


@pytest.mark.parametrize("kind", [calibration.simulation, TorchSimulation], ids=["compiled", "torch"])
def test_a_mask_keeps_missing_synapses_at_zero(kind, monkeypatch):
    monkeypatch.setattr(calibration, "simulation", kind)
    weights = network()
    mask = (torch.rand(weights[0].shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    weights[0] *= mask
    *_, last = asleep(weights, masks=[mask, None, None]).run(drawing())
    after = torch.as_tensor(last[0])
    assert (after[mask == 0.0] == 0.0).all()
    assert not torch.equal(after, weights[0])


def test_it_ends_by_itself_where_nothing_fires_any_more():
    silent = [-weight.abs() for weight in network()]
    sleep = asleep(silent)
    assert list(sleep.run(drawing())) == []
    assert 0 < sleep.steps < 1000
    assert not any(count.any() for count in sleep.counts)
