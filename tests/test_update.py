"""One training step: its moments in order, and the values that others may change at them."""

import pytest
import torch
from torch import nn

import clep
from clep.errors import DivergenceError
from clep.update import Batch

FIRST = ["before_forward", "after_forward", "before_backward"]


class Told(Batch):
    """An update that remembers its moments, and lets `acts` change it."""

    def __init__(self, x, y, optimizer=None, acts=None):
        super().__init__(x, y, optimizer)
        self.moments, self.acts = [], acts or {}

    def at(self, moment):
        self.moments.append(moment)
        self.acts.get(moment, lambda update: None)(self)


def batch():
    return torch.rand(6, 8), torch.arange(6) % 3


def test_backpropagation_and_ep_leave_the_later_moments_to_lightning():
    for network in (nn.Linear(8, 3), clep.Network([8, 5, 3])):
        learner, update = clep.Learner(network), Told(*batch())
        loss = learner.step(update, "here")
        assert update.moments == FIRST
        assert loss is update.loss
        assert loss.requires_grad


def test_c_ep_moves_the_weights_between_before_update_and_after_update():
    learner = clep.Learner(clep.Network([8, 5, 3]), gradient=clep.CEP(), lr=0.5, momentum=0.0)
    weight, seen = learner.network.connections[0].weight, []

    def look(update):
        seen.append(weight.detach().clone())

    update = Told(*batch(), learner.make_optimizer(), {"before_update": look, "after_update": look})
    learner.step(update, "here")
    assert update.moments == [*FIRST, "after_backward", "before_update", "after_update"]
    assert not torch.equal(*seen)


def test_what_is_changed_at_a_moment_is_what_the_step_goes_on_with():
    """A batch replaced before the forward pass, an output changed after it, a penalty added before the backward."""
    x, y = batch()
    learner = clep.Learner(nn.Linear(8, 3), loss="cross_entropy")

    def swap(update):
        update.mb_x, update.mb_y = x[:2], y[:2]

    def double(update):
        update.mb_output = 2.0 * update.mb_output

    def penalise(update):
        update.loss = update.loss + 7.0

    update = Told(x, y, acts={"before_forward": swap, "after_forward": double, "before_backward": penalise})
    loss = learner.step(update, "here")
    by_hand = nn.functional.cross_entropy(2.0 * learner.network(x[:2]), y[:2]) + 7.0
    torch.testing.assert_close(loss, by_hand)


def test_a_loss_that_is_not_finite_stops_the_step_before_any_weight_moves():
    learner = clep.Learner(clep.Network([8, 5, 3]), gradient=clep.CEP(), momentum=0.0)
    before = learner.network.connections[0].weight.detach().clone()

    def break_it(update):
        update.loss = update.loss + float("inf")

    update = Told(*batch(), learner.make_optimizer(), {"before_backward": break_it})
    with pytest.raises(DivergenceError, match=r"diverged at experience 3, batch 1"):
        learner.step(update, "experience 3, batch 1")
    assert torch.equal(before, learner.network.connections[0].weight)


def test_double_precision_stays_double():
    learner = clep.Learner(nn.Linear(8, 3).double())
    x, y = batch()
    assert learner.step(Batch(x.double(), y), "here").dtype == torch.float64


def test_numbers_are_of_training_batches_alone_and_are_taken_once():
    """A free phase for another purpose, such as an evaluation, changes nothing of what is told of training."""
    learner = clep.Learner(clep.Network([8, 5, 3], free_steps=7))
    learner.step(Batch(*batch()), "here")
    learner.unsettled.bad = learner.unsettled.batches  # as if the free phase had not settled
    residual = float(learner.unsettled.latest[0])
    assert float(learner.network.free_phase(10.0 * torch.rand(4, 8)).residual) != residual
    numbers = learner.take_numbers()
    assert numbers == {
        "train/residual": residual,
        "train/free_steps": 7.0,
        "train/unsettled": numbers["train/unsettled"],
    }
    assert numbers["train/unsettled"] == 1.0
    assert learner.take_numbers()["train/unsettled"] == 0.0


def test_an_ordinary_module_notices_nothing():
    learner = clep.Learner(nn.Linear(8, 3))
    learner.step(Batch(*batch()), "here")
    assert learner.take_numbers() == {}


def test_untied_feedback_has_an_angle_for_each_connection_above_the_first():
    numbers = clep.Learner(clep.Network([8, 6, 5, 3], feedback="untied")).take_numbers()
    angles = {name: value for name, value in numbers.items() if "angle" in name}
    assert set(angles) == {"train/feedback_angle_layer_2", "train/feedback_angle_layer_3"}
    assert all(0.0 < angle < 180.0 for angle in angles.values())
