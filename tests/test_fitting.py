"""Training on an experience: what arguments of Lightning's trainer do without its loop."""

import pytest
import torch

import clep
from clep import fitting


@pytest.fixture
def flags():
    yield
    torch.use_deterministic_algorithms(False)


def test_a_flag_of_torch_is_set_as_lightnings_trainer_sets_it(flags):
    assert not torch.are_deterministic_algorithms_enabled()
    clep.Training(clep.Learner(clep.Network([64, 4, 10])), trainer={"deterministic": True})
    assert torch.are_deterministic_algorithms_enabled()


def test_an_interrupt_within_an_experience_is_passed_on_as_it_is():
    class Interrupted(clep.Strategy):
        adds_penalty = False

        def after_update(self, strategy, **kwargs):
            raise KeyboardInterrupt

    stream = clep.stream("digits", experiences=1, samples_per_experience=32)
    for trainer in ({}, {"accumulate_grad_batches": 2}):  # in clep's own loop, and in Lightning's
        training = clep.Training(clep.Learner(clep.Network([64, 4, 10])), [Interrupted()], trainer=trainer)
        with pytest.raises(KeyboardInterrupt):
            training.run(stream)


def test_what_every_trainer_of_lightning_is_given_from_outside_asks_for_its_loop(monkeypatch):
    assert not fitting.needs_lightning({})
    monkeypatch.setenv("PL_TRAINER_ACCUMULATE_GRAD_BATCHES", "2")
    assert fitting.needs_lightning({})
    monkeypatch.delenv("PL_TRAINER_ACCUMULATE_GRAD_BATCHES")
    asked = []
    monkeypatch.setattr(fitting, "entry_points", lambda group: asked.append(group) or ["a callback"])
    fitting._has_installed_callbacks.cache_clear()
    try:
        assert fitting.needs_lightning({})
        assert asked == ["pytorch_lightning.callbacks_factory"]
    finally:
        fitting._has_installed_callbacks.cache_clear()
