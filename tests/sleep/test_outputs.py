"""Output units in sleep: which ones lose, and where it ends."""

import pytest
import torch
from torch import nn

from clep.equilibrium.stack import stack_of
from clep.sleep import Held, balance


@pytest.fixture
def activity():
    return torch.rand(1000, 4, generator=torch.Generator().manual_seed(0))


def reading(*rows):
    model = nn.Linear(4, len(rows), bias=False)
    model.weight.data.copy_(torch.tensor(rows))
    return model


def shares(model, x):
    return torch.bincount((x @ model.weight.T).argmax(1), minlength=len(model.weight)) / len(x)


def test_units_answer_about_equally_often_afterwards_and_only_loud_ones_have_lost(activity):
    model = reading([3.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.4])
    before, held = model.weight.clone(), Held(model, torch.eye(4), torch.arange(4))
    assert shares(model, activity)[0] > 0.7
    found = balance(stack_of(model), held, activity, range(4), least=0.0)
    assert ((shares(model, activity) - 0.25).abs() < 0.3 * 0.25).all()
    torch.testing.assert_close(model.weight, found.factors[:, None] * before)
    assert float(found.factors[3]) == 1.0
    assert (found.factors <= 1.0).all()
    assert found.others == 1.0  # all classes are those of the experience


def test_units_of_classes_that_there_were_not_stay_and_do_not_count(activity):
    model = reading([2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0])
    found = balance(stack_of(model), Held(model, torch.eye(4)[:2], torch.arange(2)), activity, [0, 1], least=0.0)
    assert model.weight[2, 2] == 9.0
    assert len(found.factors) == 2
    assert found.factors[0] < 1.0


def test_it_ends_before_less_is_kept_of_what_was_just_learned(activity):
    model = reading([3.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    held = Held(model, torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.45, 0.0, 0.0]]), torch.tensor([0, 0]))
    balance(stack_of(model), held, activity, [0, 1], least=1.0)
    assert held.accuracy() == 1.0
    assert shares(model, activity)[0] > 0.65  # 0.65 is near enough to a half without the limit
    balance(stack_of(model), held, activity, [0, 1], least=0.0)
    assert held.accuracy() < 1.0


def test_units_of_older_classes_that_never_answer_are_told(activity):
    model = reading([3.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, -1.0])
    found = balance(stack_of(model), Held(model, torch.eye(4)[:1], torch.tensor([0])), activity, [0, 1], least=0.0)
    assert found.others == 0.0


@pytest.mark.parametrize(("least", "free"), [(0.0, True), (1.0, False)])
def test_whether_more_could_have_been_lost_is_told(least, free, activity):
    model = reading([3.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0])
    held = Held(model, torch.tensor([[1.0, 2.9, 0.0, 0.0]]), torch.tensor([0]))
    assert balance(stack_of(model), held, activity, [0, 1], least).free is free
