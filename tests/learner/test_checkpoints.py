"""Checkpoints of a learner: what comes back, with the same numbers, and what has to be given again."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader

from clep.equilibrium import (
    Backpropagation,
    Clamping,
    CostNudging,
    LinearNudging,
    Network,
)
from clep.errors import ConfigError
from clep.learner import Learner
from tests.learner.builders import network, trainer

SAVED = [
    LinearNudging(0.3, "random_sign"),
    CostNudging(-0.7, "one_sided", nudge="outside"),
    Backpropagation(bptt_steps=3),
    Clamping(restart=True),
    None,
]


@pytest.mark.parametrize("gradient", SAVED)
def test_a_saved_learner_comes_back_with_the_same_numbers_and_arguments(gradient, digits, tmp_path):
    """Outputs are equal to the bit, so time steps came back too, although the seed did not."""
    train, test = digits
    original = network(neuron="half_hard_sigmoid", free_steps=11, nudged_steps=3, gradient=LinearNudging(0.8), seed=12)
    arguments = {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-4, "lr_scale": [1.0, 0.5], "schedule": "cosine"}
    learner = Learner(original, gradient=gradient, **arguments)
    trainer().fit(learner, DataLoader(train, batch_size=200))
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt")
    x, y = test.tensors
    assert torch.equal(loaded(x), learner(x))
    assert loaded.network.arguments() == original.arguments()
    assert loaded.gradient == learner.gradient == (gradient or LinearNudging(0.8))
    assert loaded.hparams == learner.hparams
    assert {key: loaded.hparams[key] for key in arguments} == arguments
    if gradient != SAVED[0]:  # random signs are drawn, and not part of a checkpoint
        for one in (learner, loaded):
            one.zero_grad()
            one.loss(one.predict(x), y).backward()
        for p, q in zip(learner.parameters(), loaded.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad)


def test_a_convolutional_network_with_a_read_out_comes_back_from_its_checkpoint(digits, tmp_path):
    """Its layers are plain values in the checkpoint, and its cost is the one that the loss names."""
    x, y = digits[1].tensors
    layers = [(1, 8, 8), {"channels": 4, "kernel": 3, "pooling": "average"}, 20, 10]
    original = Network(layers, neuron="tanh", readout="linear", feedback="untied", seed=2)
    gradient = CostNudging(0.4, "holomorphic", points=3, rule="vector_field")
    learner = Learner(original, gradient=gradient, loss="cross_entropy")
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt")
    assert loaded.network.arguments() == original.arguments()
    for one in (learner, loaded):
        one.loss(one.predict(x), y).backward()
    for p, q in zip(learner.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_saving_does_not_disturb_training(digits, tmp_path):
    train, _ = digits
    learners = [Learner(network(), lr=0.1) for _ in range(2)]
    for learner, saves in zip(learners, (False, True), strict=True):
        for _ in range(2):
            trainer().fit(learner, DataLoader(train, batch_size=200))
            if saves:
                learner.save(tmp_path / "learner.ckpt")
    assert_close(learners[0].state_dict(), learners[1].state_dict(), rtol=0.0, atol=0.0)


def test_a_checkpoint_of_the_trainer_loads_and_training_resumes_to_the_bit(digits, tmp_path):
    """Two epochs, saved after the first, equal two epochs without interruption: momentum and time steps are in it."""
    train, _ = digits
    loader = DataLoader(train, batch_size=200)
    whole, first = Learner(network(), lr=0.1), Learner(network(), lr=0.1)
    trainer(2).fit(whole, loader)
    half = trainer(1)
    half.fit(first, loader)
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = Learner.load_from_checkpoint(tmp_path / "half.ckpt")
    trainer(2).fit(resumed, loader, ckpt_path=tmp_path / "half.ckpt")
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)


def test_an_ordinary_module_is_given_again_when_its_checkpoint_is_loaded(tmp_path):
    def module():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    learner = Learner(module(), loss="cross_entropy")
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt", network=module())
    x = torch.rand(3, 64)
    assert torch.equal(loaded(x), learner(x))
    with pytest.raises(ConfigError, match=r"^network: expected a module .* got NoneType.*`network=`"):
        Learner.load_from_checkpoint(tmp_path / "learner.ckpt")


def test_a_network_can_be_given_by_its_arguments():
    learner = Learner(
        {"model": "equilibrium", "sizes": [64, 32, 10], "seed": 5}, gradient={"name": "cost", "beta": 0.3}
    )
    x = torch.rand(2, 64)
    assert torch.equal(learner(x), Network([64, 32, 10], seed=5)(x))
    assert learner.gradient == CostNudging(0.3)
