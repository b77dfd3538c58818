"""Optimisers and schedules: a learning rate for each layer, over the epochs of one `fit`."""

import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from clep.equilibrium import ConvLayer, Network
from clep.learner import Learner
from clep.specs.optimization import OPTIMIZERS, SCHEDULES
from tests.learner.builders import Losses, network, trainer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_the_one_asked_for(name):
    own = {"momentum": 0.7} if name == "sgd" else {}
    optimizer = Learner(network(), optimizer=name, lr=0.2, weight_decay=0.1, **own).make_optimizer()
    assert type(optimizer).__name__.lower() == name
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.1)
    assert len(group["params"]) == 4
    if name == "sgd":
        assert group["momentum"] == 0.7


def test_each_layer_has_its_learning_rate():
    """A factor at the wrong layer, or a parameter left out of all groups, would only show as worse learning."""
    learner = Learner(network(), lr=0.2, lr_scale=[1.0, 0.25])
    groups = learner.make_optimizer().param_groups
    assert [group["lr"] for group in groups] == [0.2, 0.05]
    for group, connection in zip(groups, learner.network.connections, strict=True):
        assert [id(p) for p in group["params"]] == [id(connection.weight), id(connection.bias)]


@pytest.mark.parametrize(
    ("scales", "rates"), [([], [0.02, 0.02, 0.2, 0.2]), ([1.0, 0.5, 1.0, 0.25], [0.02, 0.01, 0.2, 0.05])]
)
def test_convolutions_have_a_factor_of_their_own(scales, rates):
    """Counted from the wrong end, it would slow the read-out down and leave the kernels quick."""
    layers = [(1, 8, 8), ConvLayer(2, kernel=3), ConvLayer(3, kernel=2), 5, 4]
    learner = Learner(Network(layers, bias=True), lr=0.2, lr_scale=scales, conv_lr_scale=0.1)
    groups = learner.make_optimizer().param_groups
    assert [group["lr"] for group in groups] == pytest.approx(rates)
    for group, connection in zip(groups, learner.network.connections, strict=True):
        assert [id(p) for p in group["params"]] == [id(connection.weight), id(connection.bias)]


def test_a_factor_of_zero_freezes_convolutions_alone(digits):
    """Neither momentum nor decay of weights moves them, and the dense layers above learn."""
    train, _ = digits
    network = Network([(1, 8, 8), ConvLayer(2, kernel=3), 10])
    learner = Learner(network, lr=0.2, weight_decay=0.1, conv_lr_scale=0.0)
    kernels, dense = (connection.weight.detach().clone() for connection in network.connections)
    trainer(1).fit(learner, DataLoader(train, batch_size=500))
    assert torch.equal(network.connections[0].weight, kernels)
    assert not torch.equal(network.connections[1].weight, dense)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_runs_from_each_learning_rate_to_zero_in_one_fit(schedule, digits):
    """Cosine: lr_e = lr (1 + cos(pi e / epochs)) / 2, for each connection, and again from the start in the next fit."""
    train, _ = digits
    learner, record = Learner(network(), lr=0.2, lr_scale=[1.0, 0.5], schedule=schedule), Losses()
    for _ in range(2):
        trainer(4, callbacks=[record]).fit(learner, DataLoader(train, batch_size=500))
    cosine = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    factors = cosine if schedule == "cosine" else [1.0] * 4
    expected = [[0.2 * factor, 0.1 * factor] for factor in factors * 2]
    assert_close(torch.tensor(record.rates), torch.tensor(expected))


def test_a_schedule_starts_afresh_on_an_optimizer_that_is_kept():
    learner = Learner(network(), lr=0.2, lr_scale=[1.0, 0.5], schedule="cosine")
    optimizer = learner.make_optimizer()
    for _ in range(2):
        schedule = learner.make_schedule(optimizer, epochs=3)
        assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.1]
        for _ in range(3):
            optimizer.step()
            schedule.step()
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0, 0.0], abs=1e-12)
