"""Trainings in one pass, against the same trainings one after another."""

import time
from typing import Any

import numpy as np
import pytest
import torch

import clep
from clep import registry
from clep.errors import DataError, DivergenceError
from clep.population import crew, updates
from clep.population.asking import Request
from clep.population.batches import Batches
from clep.population.course import Course
from clep.population.training import train_together
from clep.streams import Stream

OPTIONS: dict[str, dict[str, Any]] = {
    "sleep_replay": {"calibration": "published", "steps": 50},
    "replay": {"mem_size": 20},
}
SETS = [["awake_rehearsal", "sleep_replay"], ["neuronal_adaptation"], ["der"], ["replay"]]


def training(seed: int, names: list[str], **options: Any) -> clep.Training:
    gradient = clep.LinearNudging(beta=0.3 + 0.05 * seed)
    learner = clep.Learner(
        clep.Network([64, 12, 10], seed=seed, free_steps=6, nudged_steps=3), gradient=gradient, lr=0.01 * (1 + seed)
    )
    return clep.Training(learner, registry.build(names, OPTIONS, seed=seed), seed=seed, batch_size=8, **options)


def stream(seed: int) -> Stream:
    return clep.stream("digits", experiences=5, seed=seed, samples_per_experience=33 + 2 * seed)


def weights(training: clep.Training) -> list[torch.Tensor]:
    return [p.detach().clone() for p in training.template.model.parameters()]


def test_a_hundred_updates_in_one_pass_end_as_those_of_runs_of_their_own():
    """Seeds, class orders, learning rates, betas, batches and strategies differ."""
    options = {"epochs": 4, "trainer": {"gradient_clip_val": 0.5}}
    alone = [training(seed, names, **options) for seed, names in enumerate(SETS)]
    results = [one.run(stream(seed)) for seed, one in enumerate(alone)]
    together = [training(seed, names, **options) for seed, names in enumerate(SETS)]
    outcomes = train_together(together, [stream(seed) for seed in range(len(SETS))])
    assert [outcome.error for outcome in outcomes] == [None] * len(SETS)
    for one, other, result, outcome in zip(alone, together, results, outcomes, strict=True):
        assert result.reports[-1].updates == outcome.value.reports[-1].updates >= 100
        for mine, own in zip(weights(other), weights(one), strict=True):
            torch.testing.assert_close(mine, own, atol=1e-5, rtol=0.0)
        np.testing.assert_allclose(outcome.value.matrix, result.matrix, atol=0.03)
        numbers, known = outcome.value.reports[-1].numbers, result.reports[-1].numbers
        assert numbers == pytest.approx(known, rel=1e-3, abs=1e-5)


def test_one_computation_serves_all(monkeypatch):
    sizes = []
    of = Batches.of
    monkeypatch.setattr(updates.Batches, "of", lambda inputs: sizes.append(len(inputs)) or of(inputs))
    outcomes = train_together([training(seed, ["naive"], epochs=1) for seed in range(3)], [stream(0)] * 3)
    counts = [outcome.value.reports[-1].updates for outcome in outcomes]
    assert sizes == [3] * counts[0] == [3] * counts[2]


def test_members_whose_updates_nobody_touches_take_a_turn_for_each_epoch_only(monkeypatch):
    asked = []
    ask = crew.Seat.ask
    monkeypatch.setattr(crew.Seat, "ask", lambda self, what: asked.append(type(what)) or ask(self, what))
    train_together([training(0, SETS[0], epochs=2), training(1, SETS[1], epochs=2)], [stream(0)] * 2)
    assert asked == [Course] * 20
    asked.clear()
    train_together([drawing(0)], [stream(0)])
    assert set(asked) == {Request}


class Mislabels(clep.Strategy):
    adds_penalty = False

    def before_training_iteration(self, strategy, **kwargs):
        strategy.mbatch[1].fill_(99)


def test_data_that_only_one_of_them_cannot_learn_end_that_one():
    bad = clep.Training(clep.Learner(clep.Network([64, 12, 10], free_steps=6)), [Mislabels()], epochs=1)
    good = clep.Training(clep.Learner(clep.Network([64, 12, 10], free_steps=6)), epochs=1)
    outcomes = train_together([good, bad], [stream(0), stream(1)])
    assert isinstance(outcomes[1].error, DataError)
    assert len(outcomes[0].value.reports) == 5


class Fails(clep.Strategy):
    adds_penalty = False

    def __init__(self, error: BaseException):
        super().__init__()
        self.error = error

    def after_update(self, strategy, **kwargs):
        raise self.error


def of_failing(seed: int, error: BaseException) -> clep.Training:
    learner = clep.Learner(clep.Network([64, 12, 10], seed=seed, free_steps=6, nudged_steps=3))
    return clep.Training(learner, [Fails(error)], epochs=1)


def test_an_error_ends_its_own_training_only():
    members = [training(0, ["naive"], epochs=1), of_failing(1, ValueError("broken")), training(2, ["naive"], epochs=1)]
    first, second, third = train_together(members, [stream(0), stream(1), stream(2)])
    assert "broken" in str(second.error)
    assert first.error is third.error is None
    assert len(third.value.reports) == 5


def test_a_training_that_diverges_says_so_and_the_others_go_on():
    bad, good = training(0, ["naive"], epochs=1), training(1, ["naive"], epochs=1)
    with torch.no_grad():
        next(bad.template.model.parameters()).fill_(float("nan"))
    outcomes = train_together([bad, good], [stream(0), stream(1)])
    assert isinstance(outcomes[0].error, DivergenceError)
    assert outcomes[1].error is None


def test_an_interrupt_reaches_every_training():
    closed = []

    def job(seat):
        try:
            return train_together([], []) or seat.ask(None)
        except KeyboardInterrupt:
            closed.append(seat)
            raise

    def interrupted(seat):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.Crew([job, job, interrupted], [crew.Seat() for _ in range(3)]).run()
    assert len(closed) == 2


class Draws(clep.Strategy):
    draws_globally = True
    adds_penalty = False

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def before_update(self, strategy, **kwargs):
        self.drawn += [float(torch.rand(())), float(np.random.normal())]  # noqa: NPY002


def drawing(seed: int) -> clep.Training:
    return clep.Training(clep.Learner(clep.Network([64, 12, 10], seed=seed)), [Draws()], seed=seed, epochs=1)


def test_each_draws_from_the_global_generators_as_if_it_were_alone():
    alone, together = [drawing(seed) for seed in (0, 1)], [drawing(seed) for seed in (0, 1)]
    for seed, one in enumerate(alone):
        one.run(stream(seed))
    before = torch.get_rng_state()
    train_together(together, [stream(0), stream(1)])
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.strategies[0].drawn for one in together] == [one.strategies[0].drawn for one in alone]


def test_what_cannot_join_trains_by_itself_among_the_others():
    settling = clep.Training(clep.Learner(clep.Network([64, 12, 10], tolerance=0.01)), epochs=1)
    outcomes = train_together([settling, training(1, ["naive"], epochs=1)], [stream(0), stream(1)])
    assert settling.template.fit is None
    assert [outcome.error for outcome in outcomes] == [None, None]


def test_the_times_of_all_members_add_up_to_no_more_than_the_time_of_all():
    started = time.perf_counter()
    outcomes = train_together([training(seed, ["naive"], epochs=1) for seed in range(3)], [stream(0)] * 3)
    elapsed = time.perf_counter() - started
    seconds = [sum(sum(report.seconds.values()) for report in outcome.value.reports) for outcome in outcomes]
    assert min(seconds) > 0.0
    assert sum(seconds) <= elapsed
