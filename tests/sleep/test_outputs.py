"""Output units in sleep: what lifts them, which ones lose, and where it ends."""

import pytest
import torch
from torch import nn

from clep.sleep import Held, balance, centre


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
    factors = balance(held, activity, range(4), least=0.0)
    assert ((shares(model, activity) - 0.25).abs() < 0.3 * 0.25).all()
    torch.testing.assert_close(model.weight, factors[:, None] * before)
    assert float(factors[3]) == 1.0
    assert (factors <= 1.0).all()


def test_waves_that_die_out_below_say_nothing(activity):
    """Of nine in ten, which excite no unit, the first unit is not the loudest."""
    rows, x = [[1.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]], torch.cat([activity, torch.zeros(9000, 4)])
    expected = balance(Held(reading(*rows), torch.eye(4)[:2], torch.arange(2)), activity, [0, 1], least=0.0)
    factors = balance(Held(reading(*rows), torch.eye(4)[:2], torch.arange(2)), x, [0, 1], least=0.0)
    assert torch.equal(factors, expected)
    assert factors[0] == 1.0
    silent = balance(Held(reading(*rows), torch.eye(4)[:2], torch.arange(2)), torch.zeros(9, 4), [0, 1], least=0.0)
    assert torch.equal(silent, torch.ones(2))


def test_units_of_classes_that_there_were_not_stay_and_do_not_count(activity):
    model = reading([2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0])
    factors = balance(Held(model, torch.eye(4)[:2], torch.arange(2)), activity, [0, 1], least=0.0)
    assert model.weight[2, 2] == 9.0
    assert len(factors) == 2
    assert factors[0] < 1.0


def test_it_ends_before_less_is_kept_of_what_was_just_learned(activity):
    model = reading([3.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    held = Held(model, torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.45, 0.0, 0.0]]), torch.tensor([0, 0]))
    balance(held, activity, [0, 1], least=1.0)
    assert held.accuracy() == 1.0
    assert shares(model, activity)[0] > 0.65  # 0.65 is near enough to a half without the limit
    balance(held, activity, [0, 1], least=0.0)
    assert held.accuracy() < 1.0


def test_a_unit_below_zero_whatever_comes_answers_after_it_was_centred_and_not_by_scaling_alone(activity):
    model = reading([3.0, 1.0, 0.0, 0.0], [-3.0, -1.0, -2.0, 0.0], [5.0, 5.0, 5.0, 5.0])
    start, held = model.weight.detach().clone(), Held(model, torch.eye(4)[:1], torch.tensor([0]))
    balance(held, activity, [0, 1], least=0.0)
    assert shares(model, activity)[1] == 0.0
    model.weight.data.copy_(start)
    centre(held, activity, [0, 1], least=0.0)
    torch.testing.assert_close((activity @ model.weight.T).mean(0)[:2], torch.zeros(2), rtol=0, atol=1e-6)
    change = start - model.weight
    for unit in (0, 1):  # in proportion to the activity below
        torch.testing.assert_close(change[unit] / change[unit, 0], activity.mean(0) / activity.mean(0)[0])
    assert torch.equal(model.weight[2], start[2])  # of a class that there was not
    balance(held, activity, [0, 1], least=0.0)
    assert 0.35 < (activity @ model.weight[:2].T).argmax(1).float().mean() < 0.65


def test_units_go_only_a_part_of_the_way_to_the_centre_where_the_whole_takes_too_much(activity):
    """The first unit answers its sample by 2, the second is at -1; the centres are 1 and -0.5."""
    model = reading([2.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0])
    samples = torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    held = Held(model, samples, torch.tensor([0, 0]))
    assert held.before == 1.0
    centre(held, activity, [0, 1], least=1.0)
    assert held.accuracy() == 1.0
    assert torch.equal(model.weight, torch.tensor([[2.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]))
    centre(held, activity, [0, 1], least=0.5)
    assert held.accuracy() == 0.5
