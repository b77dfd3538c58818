"""Where forgetting sits: hidden states that tell classes apart under an output that does not."""

import math

import pytest
import torch
from clep.strategies.class_means import ClassMeans
from sklearn.neighbors import NearestCentroid
from torch import nn

import clep
from clep.diagnostics.hidden import hidden_states
from clep.feedforward import Feedforward
from clep.separability import accuracy_of_hidden_means

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=5, samples_per_experience=60, evaluation_samples=200)


@pytest.mark.parametrize("network", [clep.Network([64, 20, 15, 10], free_steps=6), Feedforward([64, 20, 15, 10])])
def test_it_is_the_accuracy_of_the_nearest_centroid_of_the_highest_hidden_layer(network, stream):
    learned = stream.samples.rows([row for experience in stream.train for row in experience.rows])
    states = hidden_states(network, learned.x)
    assert states.shape[1] == 15
    known = NearestCentroid().fit(states.numpy(), learned.y.numpy())
    parts = [experience.samples for experience in stream.evaluation]
    tested, labels = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    expected = known.score(hidden_states(network, tested).numpy(), labels.numpy())
    found = accuracy_of_hidden_means(network, stream.train, stream.evaluation, CPU)
    assert found == pytest.approx(expected, abs=0.006)  # a sample at the same distance from two


def test_it_is_logged_beside_the_accuracy_and_knows_only_the_classes_seen_so_far(stream):
    """Sets the output layer to zero: argmax then knows one class, and the states know as much as before."""

    class Forgets(clep.Strategy):
        @torch.no_grad()
        def after_training_exp(self, strategy, **kwargs):
            for parameter in strategy.model.layers[-1].parameters():
                parameter.zero_()

    training = clep.Training(clep.Learner(Feedforward([64, 30, 10]), lr=0.1), [Forgets()], epochs=1, seed=0)
    logged = [report.numbers["accuracy/seen_by_hidden_means"] for report in training.run(stream).reports]
    assert logged[0] > 0.9
    assert 0.6 < logged[-1] < 1.0
    assert logged[-1] < logged[0]


def test_without_a_hidden_layer_or_training_there_is_nothing_to_look_at(stream):
    assert math.isnan(accuracy_of_hidden_means(nn.Flatten(), stream.train, stream.evaluation, CPU))
    training = clep.Training(clep.Learner(clep.Network([64, 8, 10])), [ClassMeans()], epochs=1)
    assert "accuracy/seen_by_hidden_means" not in training.run(stream).reports[-1].numbers


def test_hidden_states_leave_the_mode_of_the_network_and_its_draws_alone():
    network = clep.Network([8, 6, 3], dynamics="bernoulli", neuron="hard_sigmoid").train()
    before = str(network._spike_seeds.bit_generator.state)
    first, second = (hidden_states(network, torch.rand(4, 8, generator=torch.Generator().manual_seed(0))) for _ in "ab")
    assert torch.equal(first, second)
    assert network.training
    assert str(network._spike_seeds.bit_generator.state) == before
