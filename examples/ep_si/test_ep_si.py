"""The mathematics of EP-SI against closed forms; clep's own checks of the contract."""

from types import SimpleNamespace

import pytest
import torch
from ep_si import EPSI
from torch import nn

import clep
from clep.testing import strategy_tests

TestContract = strategy_tests("ep_si:EPSI", strength=100.0)


def training(model, rate):
    """What hooks see of a training loop."""
    return SimpleNamespace(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=rate))


def learn(strategy, loop, loss, steps):
    """An experience of some updates of the whole data."""
    strategy.before_training_exp(loop)
    for _ in range(steps):
        loop.optimizer.zero_grad()
        loss().backward()
        strategy.before_update(loop)
        loop.optimizer.step()
        strategy.after_update(loop)


def falls(network, rate, steps):
    """The fall of the loss on a batch, and the sum of the paths of all weights."""
    x, y = torch.rand(16, 6, generator=torch.Generator().manual_seed(0)), torch.eye(3)[torch.arange(16) % 3]
    strategy, loop = EPSI(), training(network, rate)

    def loss():
        return 0.5 * (network(x) - y).square().sum(1).mean()

    before = loss().item()
    learn(strategy, loop, loss, steps)
    return before - loss().item(), sum(float(path.sum()) for path in strategy.state["path"].values())


def test_the_paths_of_a_linear_network_add_up_to_the_fall_of_the_loss():
    fall, paths = falls(nn.Linear(6, 3), 0.002, 300)
    assert fall > 0.1
    assert paths == pytest.approx(fall, rel=0.01)


def test_the_paths_add_up_to_the_fall_of_the_loss_when_equilibrium_propagation_estimates_the_gradient():
    gradient = clep.LinearNudging(beta=0.01, phases="centered")
    network = clep.Network([6, 8, 3], seed=1, neuron="tanh", free_steps=30, nudged_steps=30, gradient=gradient)
    fall, paths = falls(network, 0.02, 25)
    assert fall > 0.02
    assert paths == pytest.approx(fall, rel=0.05)


def test_the_importance_of_one_weight_is_as_by_hand():
    """Loss (w - 1)^2 / 2 from w = 0, one step of 0.5: gradient -1, moved 0.5, so 0.5 / (0.5^2 + 0.25) = 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    strategy, loop = EPSI(damping=0.25), training(model, 0.5)
    learn(strategy, loop, lambda: 0.5 * (model.weight - 1.0).square().sum(), 1)
    strategy.after_training_exp(loop)
    assert strategy.state["importance"]["weight"].item() == pytest.approx(1.0)
    assert strategy.take_log() == {"ep_si/fall": pytest.approx(0.5)}


def test_a_path_uphill_gives_no_importance():
    model = nn.Linear(1, 1, bias=False)
    strategy, loop = EPSI(), training(model, 0.1)
    strategy.before_training_exp(loop)
    model.weight.sum().backward()
    strategy.before_update(loop)
    with torch.no_grad():
        model.weight += 1.0  # as momentum may, against the gradient
    strategy.after_update(loop)
    assert strategy.state["path"]["weight"].item() == pytest.approx(-1.0)
    strategy.after_training_exp(loop)
    assert strategy.state["importance"]["weight"].item() == 0.0


def test_the_pull_is_the_implicit_step_of_the_penalty():
    """w solves w = v - rate * strength * importance * (w - anchor), with v where training has moved the weight."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    strategy, loop = EPSI(strength=3.0), training(model, 0.5)
    strategy.state["importance"] = {"weight": torch.tensor([[4.0]])}
    learn(strategy, loop, model.weight.sum, 1)
    w = model.weight.item()
    assert w == pytest.approx((2.0 - 0.5) - 0.5 * 3.0 * 4.0 * (w - 2.0))


def test_memory_is_anchor_and_importance_of_every_weight():
    model = nn.Linear(5, 4)
    strategy, loop = EPSI(), training(model, 0.1)
    learn(strategy, loop, lambda: model(torch.ones(1, 5)).sum(), 2)
    strategy.after_training_exp(loop)
    assert strategy.memory().statistics_bytes == 2 * 24 * 4
    assert strategy.memory().exemplars == 0


def test_without_strength_training_is_as_without_the_strategy_and_with_it_it_is_not():
    def final(*strategies):
        stream = clep.stream("digits", experiences=2, samples_per_experience=20, seed=0)
        network = clep.Network([64, 12, 10], free_steps=10, nudged_steps=4)
        clep.Training(clep.Learner(network, lr=0.05), list(strategies), epochs=1, seed=0).run(stream)
        return network.connections[0].weight.detach()

    plain = final()
    assert torch.equal(final(EPSI(strength=0.0)), plain)
    assert not torch.equal(final(EPSI(strength=100.0)), plain)
