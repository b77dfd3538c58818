"""The feed-forward network: ordinary layers, reproducible from its arguments, and able to sleep."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import clep
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.learner import Learner
from clep.specs.neurons import FEEDFORWARD_ACTIVATIONS


@pytest.mark.parametrize("activation", FEEDFORWARD_ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_equal_those_of_torchs_own_layers(activation, bias):
    network = Feedforward([6, 5, 4, 3], activation=activation, bias=bias, seed=1)
    module = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[activation]
    first, second, third = (nn.Linear(a, b, bias=bias) for a, b in ((6, 5), (5, 4), (4, 3)))
    for own, theirs in zip(network.layers, (first, second, third), strict=True):
        theirs.load_state_dict(own.state_dict())
    stack = nn.Sequential(nn.Flatten(), first, module(), second, module(), third)
    x = torch.rand(4, 2, 3)
    assert_close(network(x), stack(x), rtol=0.0, atol=0.0)
    network(x).square().sum().backward()
    stack(x).square().sum().backward()
    for p, q in zip(network.parameters(), stack.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_the_seed_decides_the_weights_and_nothing_else_does():
    torch.manual_seed(1)
    first = Feedforward([400, 100, 3], seed=4)
    torch.manual_seed(2)
    same, other = Feedforward([400, 100, 3], seed=4), Feedforward([400, 100, 3], seed=5)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
    largest = float(first.layers[0].weight.detach().abs().max())
    assert 0.99 / math.sqrt(400) < largest <= 1 / math.sqrt(400)


def test_glorot_weights_have_the_variance_of_both_sides_and_biases_that_of_the_inputs():
    layer = Feedforward([400, 100], bias=True, init="glorot", seed=4).layers[0]
    bound = math.sqrt(6.0 / 500)
    assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
    assert float(layer.weight.detach().std()) == pytest.approx(bound / math.sqrt(3.0), rel=0.01)
    assert float(layer.bias.detach().abs().max()) <= 1.0 / math.sqrt(400)


def test_a_checkpoint_brings_it_back(tmp_path):
    """Other modules have to be given again when a checkpoint is loaded; this one is in it."""
    learner = Learner(Feedforward([6, 5, 3], bias=False, init="glorot", seed=1), loss="cross_entropy")
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt")
    x = torch.rand(2, 6)
    assert torch.equal(loaded(x), learner(x))
    assert loaded.network.arguments() == learner.network.arguments()


def test_it_runs_by_name_sleeps_and_its_run_can_be_loaded():
    overrides = ["network=feedforward", "network.hidden=[24]", "strategies=sleep_replay", "learner.epochs=1"]
    result = clep.run(None, [*overrides, "stream.samples_per_experience=64"])
    network = clep.load(result.run_id).network
    assert isinstance(network, Feedforward)
    assert [tuple(weight.shape) for weight in network.dense_stack().weights] == [(24, 64), (10, 24)]
    below = network.dense_stack().presynaptic(torch.rand(2, 64))
    assert [state.shape for state in below] == [(2, 64), (2, 24)]
    assert float(below[1].detach().min()) >= 0.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Feedforward([5]), ["sizes: ", "[5]"]),
        (lambda: Feedforward([5, 0, 2]), ["sizes: ", "[5, 0, 2]"]),
        (lambda: Feedforward([5, 2], init="zeros"), ["init: ", "`zeros`", "glorot"]),
        (lambda: Feedforward([5, 2], activation="hard_sigmoid"), ["activation: ", "`hard_sigmoid`", "relu"]),
    ],
)
def test_bad_arguments_are_refused_with_their_name(make, words):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words)
