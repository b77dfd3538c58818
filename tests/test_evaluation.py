"""Evaluation hooks: they fire in Avalanche's order around clep's evaluations, on data that nothing is learned from."""

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
from avalanche.training.plugins import LRSchedulerPlugin
from torch import nn

import clep
from clep.errors import ConfigError, StrategyError
from clep.strategy import Strategy
from clep.streams import Samples

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")
HOOKS = [name for name in dir(SupervisedPlugin) if "_eval" in name]


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=2, samples_per_experience=20, class_order="fixed", evaluation_samples=15)


def mlp():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))


def train(stream, *strategies, **options):
    training = clep.Training(clep.Learner(mlp(), lr=0.1), strategies, epochs=1, batch_size=10, **options)
    return training.run(stream), training


def hook(name, act, base=Strategy, **attributes):
    return type("Mine", (base,), {name: lambda self, strategy, **kwargs: act(self, strategy), **attributes})()


def recording(names):
    """A plug-in that notes (hook, experience, mode of the template, mode of the model)."""
    noted = []

    def note(event):
        def run(self, strategy, **kwargs):
            experience = getattr(strategy.experience, "current_experience", None)
            noted.append((event, experience, strategy.is_training, strategy.model.training))

        return run

    return type("Notes", (SupervisedPlugin,), {name: note(name) for name in names})(), noted


# order


def test_hooks_fire_in_the_order_of_avalanches_eval(stream):
    """The oracle is Avalanche's own `eval` of the same experiences."""
    ours, fired = recording(HOOKS)
    train(stream, ours)
    theirs, expected = recording(HOOKS)
    model = mlp()
    sgd = torch.optim.SGD(model.parameters())
    plain = Naive(model=model, optimizer=sgd, plugins=[theirs], evaluator=None, eval_mb_size=1000)
    plain.eval(stream.benchmark.test_stream)
    strip = [event[:1] + event[2:] for event in expected]
    assert [event[:1] + event[2:] for event in fired] == strip * 3  # untrained, and after each of two experiences
    within = [event for event, *_ in fired].index("before_eval_exp"), len(expected) - 1
    assert [event[1] for event in fired[slice(*within)]] == [event[1] for event in expected[slice(*within)]]
    assert set(HOOKS) == {event for event, *_ in fired}


def test_they_fire_at_every_evaluation_of_a_run(stream):
    """Before any training; after each epoch if asked for; before a consolidation and after it."""
    plugin, fired = recording(["before_eval"])
    consolidating = type("Consolidates", (Strategy,), {"consolidates": True})()
    _, training = train(stream, plugin, consolidating, evaluate_epochs=True)
    assert len(fired) == 1 + 2 * (1 + 1 + 1)
    training.evaluate(stream.test)
    assert len(fired) == 8


def test_the_template_is_afterwards_as_it_was(stream):
    class Looks(Strategy):
        consolidates = True

        def after_training_exp(self, strategy, **kwargs):
            self.log("looks/batch", len(strategy.mbatch))
            self.log("looks/labels", int((strategy.mb_y >= 0).all()))
            self.log("looks/own", int(strategy.experience.dataset[0][1] >= 0))
            self.log("looks/training", int(strategy.is_training))
            self.log("looks/loss", float(strategy.loss.detach().sum()))

    seen = [train(stream, Looks(), *more)[0].reports for more in ([], [hook("before_eval", lambda *a: None)])]
    assert [r.numbers for r in seen[1]] == [r.numbers for r in seen[0]]
    assert seen[0][0].numbers["looks/training"] == 1


# what counts


def test_hooks_that_look_change_no_accuracy_and_no_weight(stream):
    plugin, _ = recording(HOOKS)
    (plain, one), (watched, other) = train(stream), train(stream, plugin)
    np.testing.assert_array_equal(watched.matrix, plain.matrix)
    np.testing.assert_array_equal(watched.untrained, plain.untrained)
    for a, b in zip(one.template.model.parameters(), other.template.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_without_such_hooks_nothing_is_fired_or_copied(stream, monkeypatch):
    def refuse(*args):
        raise AssertionError("an evaluation with hooks")

    monkeypatch.setattr("clep.evaluation._Evaluation", refuse)
    train(stream, hook("after_training_exp", lambda *a: None))
    with pytest.raises(AssertionError, match="an evaluation with hooks"):
        train(stream, hook("after_eval", lambda *a: None))


def always(self, strategy):
    """Answer class 3, whatever the network says."""
    strategy.mb_output = torch.nn.functional.one_hot(torch.full((len(strategy.mb_x),), 3), 10).float()


def blank(self, strategy):
    strategy.mbatch[0] = torch.zeros_like(strategy.mb_x)


@pytest.mark.parametrize("event", ["after_eval_forward", "after_eval_iteration"])
def test_the_output_of_the_last_hook_is_scored(event, stream):
    result, _ = train(stream, hook(event, always))
    assert result.matrix[1] == pytest.approx([float((e.samples.y == 3).float().mean()) for e in stream.test])


def test_the_inputs_that_a_hook_leaves_are_predicted(stream):
    """One input for all samples: one answer for all of them, so each accuracy is the share of one class."""
    result, training = train(stream, hook("before_eval_forward", blank))
    with torch.no_grad():
        answer = int(training.template.model(torch.zeros(1, 1, 8, 8)).argmax())
    assert result.matrix[1] == pytest.approx([float((e.samples.y == answer).float().mean()) for e in stream.test])


# what is hidden


@pytest.mark.parametrize(
    "act",
    [
        lambda self, strategy: strategy.mb_y == 3,
        lambda self, strategy: strategy.mb_y.sum(),
        lambda self, strategy: torch.bincount(strategy.mb_y),
        lambda self, strategy: strategy.mbatch[1].tolist(),
        lambda self, strategy: list(strategy.mb_y),
        lambda self, strategy: np.asarray(strategy.mb_y),
        lambda self, strategy: strategy._criterion(strategy.mb_output, strategy.mb_y),
        lambda self, strategy: strategy.experience.classes_in_this_experience,
    ],
)
def test_labels_and_classes_are_refused_whatever_is_done_with_them(act, stream):
    expected = r"^strategies: Mine\.after_eval_forward failed \(.*test_evaluation\.py, line \d+\) in an evaluation: .*"
    with pytest.raises(StrategyError, match=expected + "the labels of evaluation data are hidden"):
        train(stream, hook("after_eval_forward", act))


def test_nothing_that_a_hook_can_reach_holds_a_label(stream):
    def look(self, strategy):
        dataset = strategy.experience.dataset
        assert torch.equal(strategy.adapted_dataset[0][0], dataset[0][0])
        labels = {int(y) for _, y, *_ in dataset} | {int(y) for _, y, *_ in [dataset[0]]}
        labels |= {label for _, batch, *_ in strategy.dataloader for label in batch.tolist()} | set(dataset.targets)
        self.log("labels/highest", max(labels))

    result, _ = train(stream, hook("before_eval_exp", look))
    assert result.reports[0].numbers["labels/highest"] == -1


# what is refused


def shift_weights(self, strategy):
    next(strategy.model.parameters()).add_(0.1)


def shift_data(self, strategy):
    next(strategy.model.parameters()).data[0, 0] += 1e-3


def swap_data(self, strategy):
    weight = next(strategy.model.parameters())
    weight.data = weight.data + 1


def replace_model(self, strategy):
    strategy.model = mlp()


def replace_dataset(self, strategy):
    strategy.adapted_dataset = strategy.adapted_dataset.subset([0])


def stop(self, strategy):
    strategy.stop_training()


@pytest.mark.parametrize(
    ("event", "act", "changed"),
    [
        *((event, shift_weights, r"`1\.weight`") for event in HOOKS),
        ("after_eval_forward", shift_data, r"`1\.weight`"),
        ("after_eval", swap_data, r"`1\.weight`"),
        ("before_eval_exp", replace_model, "the model"),
        ("after_eval_dataset_adaptation", replace_dataset, "the data that are evaluated on"),
        ("after_eval", stop, "how long is trained"),
    ],
)
def test_a_hook_that_changes_what_is_learned_is_named(event, act, changed, stream):
    with pytest.raises(StrategyError, match=rf"^strategies: Mine\.{event} changes {changed}; nothing may be learned"):
        train(stream, hook(event, act))


def test_a_change_of_a_buffer_is_named_too(stream):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))

    def forward(self, strategy):
        strategy.model.train()
        strategy.model(strategy.mb_x)

    with pytest.raises(StrategyError, match=r"Mine\.after_eval_forward changes `1\.running_mean`"):
        clep.Training(clep.Learner(model), [hook("after_eval_forward", forward)], epochs=1).run(stream)


def test_samples_of_an_evaluation_are_not_stored(stream):
    def keep(self, strategy):
        self.state["seen"] = Samples(strategy.mb_x, torch.zeros(len(strategy.mb_x), dtype=torch.long))

    with pytest.raises(StrategyError, match=r"^strategies: Mine stores samples in an evaluation"):
        train(stream, hook("after_eval_forward", keep))


def test_an_output_that_is_no_prediction_is_refused(stream):
    def pool(self, strategy):
        strategy.mb_output = strategy.mb_output.mean(0)

    with pytest.raises(StrategyError, match=r"has made `mb_output` \(10,\), expected one row of outputs for each"):
        train(stream, hook("after_eval_forward", pool))


def test_a_schedule_that_follows_the_loss_on_evaluation_data_is_refused():
    model = mlp()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD(model.parameters()))
    with pytest.raises(ConfigError, match=r"^strategies: LRSchedulerPlugin with metric=val_loss follows the loss on"):
        clep.Training(clep.Learner(model), [LRSchedulerPlugin(schedule, metric="val_loss")])
