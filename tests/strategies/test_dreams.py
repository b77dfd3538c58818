"""Dreams: statistics of classes instead of samples, and training on what is drawn from them."""

import pytest
import torch
from clep.strategies.dreams import Dreams

import clep
from clep.errors import ConfigError


def dreamt(components=5, experiences=5, epochs=5, learner=None, **options):
    """What experiences of digits leave: the strategy, its result, and the data of each experience."""
    sizes = []

    class Count(clep.Strategy):
        def before_training_exp(self, strategy, **kwargs):
            sizes.append(len(strategy.adapted_dataset))

    stream = clep.stream("digits", experiences=experiences, samples_per_experience=100)
    dreams = Dreams(components=components, **options)
    learner = learner or clep.Learner(clep.Network([64, 64, 10]), lr=0.05)
    result = clep.Training(learner, [dreams, Count()], epochs=epochs, seed=0).run(stream)
    return dreams, result, sizes, stream


def test_dreams_keep_earlier_classes_without_a_sample():
    dreams, result, sizes, stream = dreamt()
    assert sizes == [100, 200, 300, 400, 500]  # as many of each earlier class as a new one has
    assert result.matrix[-1].mean() > 0.75  # 0.20 without dreams
    classes = dreams.state["classes"]
    assert set(classes) == set(stream.class_order)
    assert dreams.memory().exemplars == 0
    counts = torch.cat([experience.samples.y for experience in stream.train]).bincount()
    modes = int((counts // 10).sum())  # ten samples for each
    assert dreams.memory().statistics_bytes == 10 * (64 + 4) * (5 + 2) + 2 * modes * (1 + 2 * 5)
    assert dreams.dream(stream.class_order[0], 50).shape == (50, 1, 8, 8)


def test_dreams_after_an_experience_bring_back_what_it_overwrote():
    dreams, result, sizes, _ = dreamt(when="after", experiences=3)
    assert sizes == [100, 100, 100]  # training itself sees new data alone
    assert result.reports[-1].consolidated
    assert result.before[-1][:2].mean() < 0.3
    assert result.matrix[-1].mean() > 0.75
    assert dreams.consolidates
    assert not Dreams().consolidates


@pytest.mark.parametrize("options", [{"schedule": "cosine"}, {"gradient": clep.CEP(), "momentum": 0.0, "lr": 0.3}])
def test_dreams_afterwards_are_learned_by_the_learner_s_own_rule_and_schedule(options):
    learner = clep.Learner(clep.Network([64, 32, 10]), **{"lr": 0.05, **options})
    _, result, *_ = dreamt(when="after", experiences=2, epochs=3, learner=learner)
    assert result.matrix[-1][0] > result.before[-1][0] + 0.2


def test_the_number_of_dreams_can_be_set():
    assert dreamt(samples=7, experiences=2, epochs=1)[2] == [100, 100 + 5 * 7]


@pytest.mark.parametrize("clip", [False, True])
def test_dreams_leave_the_range_of_the_inputs_unless_they_are_clipped(clip):
    dreams, _, _, stream = dreamt(experiences=2, epochs=1, clip=clip)
    low, high = dreams.state["range"]
    drawn = torch.cat([dreams.dream(label, 50) for label in stream.class_order])
    assert (low <= float(drawn.min()) and float(drawn.max()) <= high) is clip


@pytest.mark.parametrize(
    "options",
    [{"components": -1}, {"samples": 0}, {"component": 3}, {"modes": 0}, {"stored_as": "int4"}, {"when": "before"}],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Dreams(**options)
