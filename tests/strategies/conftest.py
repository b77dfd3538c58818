"""What the tests of strategies share: a short stream of real digits, and a template that only stands there."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from clep.strategies import sleep_replay
from torch import nn

import clep
from clep.sleep import CompiledSimulation
from clep.streams import Experience, Samples, Stream


@pytest.fixture(scope="session")
def digits():
    """Three experiences of 40 digits."""
    return clep.stream("digits", experiences=3, samples_per_experience=40)


@pytest.fixture(scope="session")
def pair():
    """Two experiences of 40 digits, five classes each."""
    return clep.stream("digits", experiences=2, samples_per_experience=40)


def make_mlp(*sizes, bias=True, seed=7):
    torch.manual_seed(seed)
    layers = [nn.Flatten()]
    for below, above in pairwise(sizes):
        layers += [nn.Linear(below, above, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.fixture
def mlp():
    """`mlp(64, 20, 10)`: an ordinary stack of linear layers with ReLU between them, the same in every call."""
    return make_mlp


@pytest.fixture
def one_experience():
    """`one_experience(x, y)`: samples as an experience of Avalanche; without `y`, of classes 0 and 1 in turns."""

    def make(x, y=None):
        samples = Samples(x, torch.arange(len(x)) % 2 if y is None else y)
        classes = tuple(samples.y.unique().tolist())
        only = Experience(0, classes, samples, tuple(range(len(x))))
        return Stream("made", classes, samples, (only,), (), (only,)).benchmark.train_stream[0]

    return make


@pytest.fixture
def finish():
    """`finish(plugin, model, experience)`: fire the event that ends the training of an experience, untrained."""

    def fire(plugin, model, experience):
        plugin.after_training_exp(
            SimpleNamespace(
                model=model, experience=experience, device=torch.device("cpu"), _criterion=nn.CrossEntropyLoss()
            )
        )
        return plugin

    return fire


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


@pytest.fixture
def seen(monkeypatch):
    """The constants of each sleep and its options: [([SpikingParameters], {})]."""
    calls, simulate = [], sleep_replay.simulation

    def watched(weights, parameters, **options):
        calls.append((parameters, options))
        return simulate(weights, parameters, **options)

    monkeypatch.setattr(sleep_replay, "simulation", watched)
    return calls
