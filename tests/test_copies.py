"""Copies by `copy.deepcopy` and `pickle`: equal outputs, and nothing shared with what was copied."""

import copy
import pickle

import pytest
import torch
from clep.strategies.awake_rehearsal import AwakeRehearsal

import clep

WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}
X = torch.linspace(0, 1, 128).reshape(2, 64)


@pytest.fixture(params=WAYS)
def copied(request):
    return WAYS[request.param]


@pytest.mark.parametrize("options", [{}, {"feedback": "dendritic"}, {"dynamics": "bernoulli"}, {"readout": "linear"}])
def test_a_copy_of_a_network_has_its_outputs_and_weights_of_its_own(copied, options):
    network = clep.Network([64, 8, 10], seed=1, **options).eval()
    before, twin = network(X), copied(network)
    assert torch.equal(twin(X), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(network(X), before)


def test_a_copy_of_a_learner_predicts_as_it_does(copied):
    learner = clep.Learner(clep.Network([64, 8, 10], seed=1), gradient=clep.CostNudging(beta=0.3)).eval()
    twin = copied(learner)
    assert torch.equal(twin(X), learner(X))
    assert (twin.gradient, twin.spec) == (learner.gradient, learner.spec)


def test_a_copy_of_a_training_runs_to_the_same_matrix(copied):
    stream = clep.stream("digits", experiences=2, samples_per_experience=32)
    learner = clep.Learner(clep.Network([64, 8, 10], seed=1), lr=0.1)
    training = clep.Training(learner, strategies=[AwakeRehearsal(memory_size=10)], epochs=1)
    twin = copied(training)
    assert training.run(stream).matrix.tolist() == twin.run(stream).matrix.tolist()
    again = copied(training)  # after its run
    assert again.evaluate(stream.test).tolist() == training.evaluate(stream.test).tolist()
