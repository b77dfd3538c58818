"""The arithmetic of the two memories; clep's own checks of the contract."""

from types import SimpleNamespace

import pytest
import torch
from dual_memory import DualMemory
from torch import nn

import clep
from clep.testing import strategy_tests

TestContract = strategy_tests("dual_memory:DualMemory", share=0.4)


def learn(strategy, model, values):
    """Experiences that leave the weight at each of the values; what it is after each sleep."""
    slept = []
    for value in values:
        loop = SimpleNamespace(model=model)
        strategy.before_training_exp(loop)
        nn.init.constant_(model.weight, value)
        strategy.after_training_exp(loop)
        slept.append(model.weight.item())
    return slept


def one_weight():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    return model


def test_slow_weights_are_a_moving_average_that_begins_with_the_whole_first_experience():
    assert learn(DualMemory(share=0.25), one_weight(), [2.0, 6.0, 11.0]) == pytest.approx([2.0, 3.0, 5.0])


def test_a_share_of_one_keeps_what_was_learned_and_a_share_of_zero_forgets_it():
    assert learn(DualMemory(share=1.0), one_weight(), [2.0, 6.0]) == [2.0, 6.0]
    assert learn(DualMemory(share=0.0), one_weight(), [2.0, 6.0]) == [2.0, 2.0]


def test_what_another_strategy_changes_between_experiences_belongs_to_the_slow_weights():
    strategy, model = DualMemory(share=0.5), one_weight()
    learn(strategy, model, [2.0])
    nn.init.constant_(model.weight, 4.0)  # as a sleep after this one does
    assert learn(strategy, model, [8.0]) == [6.0]


def test_the_size_of_the_fast_weights_is_logged_in_units_of_the_slow_ones():
    strategy = DualMemory()
    learn(strategy, one_weight(), [4.0])
    assert strategy.take_log() == {"dual_memory/fast": pytest.approx(3.0)}


def test_slow_weights_are_held_while_an_experience_is_learned_and_not_in_between():
    strategy, model = DualMemory(), nn.Linear(5, 4)
    strategy.before_training_exp(SimpleNamespace(model=model))
    assert strategy.memory().statistics_bytes == 24 * 4
    assert strategy.memory().exemplars == 0
    strategy.after_training_exp(SimpleNamespace(model=model))
    assert "slow" not in strategy.state


def test_a_share_of_one_trains_as_without_the_strategy_and_a_smaller_one_does_not():
    def final(*strategies):
        stream = clep.stream("digits", experiences=2, samples_per_experience=20, seed=0)
        network = clep.Network([64, 12, 10], free_steps=10, nudged_steps=4)
        clep.Training(clep.Learner(network, lr=0.05), list(strategies), epochs=1, seed=0).run(stream)
        return network.connections[0].weight.detach()

    plain = final()
    torch.testing.assert_close(final(DualMemory(share=1.0)), plain)
    assert (final(DualMemory(share=0.5)) - plain).abs().max() > 1e-3
