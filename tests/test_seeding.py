"""Draws in constructors: from the seed of the run, the same wherever a strategy is made, and unnoticed by others."""

import inspect
import random

import numpy as np
import pytest
import torch

import clep
from clep.randomness import seed_for
from clep.registry import build
from clep.seeding import seeding
from clep.strategy import Strategy
from tests.test_capabilities import BUILT_IN, REQUIRED


class Draws(Strategy):
    """Draws in its constructor from every source, and has another strategy inside that draws too."""

    def __init__(self, *, size: int = 3):
        super().__init__()
        self.size = size
        self.mine = self.draw(1000, size)
        self.globals = [torch.rand(1).item(), np.random.rand(), random.random()]  # noqa: NPY002
        self.inner = Inner()


class Inner(Strategy):
    def __init__(self):
        super().__init__()
        self.mine = self.draw(1000, 3)


class Quiet(Strategy):
    """Draws nothing in its constructor."""

    def __init__(self, *, note: str = ""):
        super().__init__()
        self.note = note


PATH = f"{__name__}:Draws"


def drawn(strategy):
    values = strategy.mine, strategy.globals, strategy.inner.mine
    return [*values, strategy.draw(1000, 3), strategy.inner.draw(1000, 3)]


def in_training(strategies, seed):
    clep.Training(clep.Learner(clep.Network([64, 8, 10])), strategies, seed=seed)
    return strategies


def test_a_training_gives_the_draws_of_the_command_line():
    """The same numbers from the constructor as `clep run` has, though it ran before the seed was known."""
    (built,) = build([PATH], {PATH: {"size": 4}}, seed=7)
    (by_hand,) = in_training([Draws(size=4)], 7)
    assert by_hand.size == 4
    assert drawn(by_hand) == drawn(built)
    (other,) = in_training([Draws(size=4)], 8)
    for mine, others in zip(drawn(by_hand), drawn(other), strict=True):
        assert mine != others


def test_a_registered_name_and_an_import_path_give_one_seed():
    names = ["sleep_replay", "clep.strategies.sleep_replay:SleepReplay", "clep.strategies.sleep_replay.SleepReplay"]
    seeds = {build([name], seed=3)[0].generator.initial_seed() for name in names}
    assert seeds == {seed_for(3, "strategy sleep_replay")}


def test_two_of_one_class_and_the_strategies_inside_have_seeds_of_their_own():
    first, second = in_training([Draws(), Draws()], 5)
    assert first.mine != second.mine
    assert first.inner.mine != first.mine
    assert len({s.generator.initial_seed() for s in (first, second, first.inner, second.inner)}) == 4
    assert first.inner.is_seeded


def test_the_global_generators_go_on_as_if_no_strategy_had_been_made():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    before = states()
    in_training([Draws()], 1)
    build([PATH], seed=2)
    assert states() == before


def test_a_constructor_that_draws_nothing_runs_once():
    strategy = Quiet(note="mine")
    strategy.note, strategy.further = "changed", 3
    in_training([strategy], 4)
    assert (strategy.note, strategy.further) == ("changed", 3)
    assert strategy.draw(1000, 5) == build([f"{__name__}:Quiet"], seed=4)[0].draw(1000, 5)


def test_a_seed_by_hand_is_kept():
    strategy = Draws()
    strategy.seed_with(3)
    before = strategy.mine
    in_training([strategy], 4)
    assert strategy.mine == before
    assert strategy.generator.initial_seed() == 3
    with seeding(3):
        seeded = Draws()
    assert in_training([seeded], 4)[0].generator.initial_seed() == 3


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - {"gem"}))
def test_the_constructors_of_the_built_in_strategies_draw_nothing(name):
    """So their results are those of seeds that came after the constructor."""
    (built,) = build([name], REQUIRED)
    again = type(built)(**REQUIRED.get(name, {}))
    assert getattr(again, "_made_with", None) is None
    if isinstance(built, Strategy):
        fresh = torch.Generator().manual_seed(seed_for(0, f"strategy {name}"))
        assert torch.equal(built.generator.get_state(), fresh.get_state())


def test_the_signature_and_the_attributes_of_a_strategy_stay_its_own():
    assert list(inspect.signature(Draws).parameters) == ["size"]
    assert inspect.signature(Draws).parameters["size"].annotation is int
    assert not any("made" in name for name in vars(Draws()))
