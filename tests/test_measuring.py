"""The plug-in that measures: before consolidation, after it, and without touching what is learned."""

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
from avalanche.training.plugins import ReplayPlugin
from torch import nn

import clep
from clep.bridge import LightningTemplate
from clep.errors import ConfigError
from clep.evaluation import accuracies
from clep.measuring import Measuring

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=3, samples_per_experience=50, class_order="fixed")


class Erase(clep.Strategy):
    """Sets all weights to zero once an experience is trained."""

    consolidates = True
    adds_penalty = False

    def after_training_exp(self, strategy, **kwargs):
        with torch.no_grad():
            for parameter in strategy.model.parameters():
                parameter.zero_()


class Sleep(Erase):
    sleeps = True


def learner():
    return clep.Learner(clep.Network([64, 20, 10], seed=3, bias=True, nudged_steps=4), lr=0.2)


def test_accuracy_is_measured_on_both_sides_of_consolidation(stream):
    """Zero weights answer class 0 only; before that the trained experience is known."""
    (report, *_) = clep.Training(learner(), [Erase()], epochs=5).run(stream).reports
    zero = [float((e.samples.y == 0).float().mean()) for e in stream.test]
    assert report.after.tolist() == pytest.approx(zero)
    assert report.before[0] > 0.8
    assert (report.consolidated, report.slept) == (True, False)


def test_without_consolidation_both_sides_are_one_measurement(stream):
    (report, *_) = clep.Training(learner(), epochs=1).run(stream).reports
    assert report.before is report.after
    assert (report.consolidated, report.slept) == (False, False)
    assert clep.Training(learner(), [Sleep()], epochs=1).run(stream).reports[0].slept


def test_measuring_changes_no_weight_and_draws_nothing(stream):
    weights = []
    for plugins in ([], [Measuring(each_epoch=True)]):
        torch.manual_seed(5)
        template = LightningTemplate(learner=learner(), plugins=plugins, epochs=2, batch_size=16)
        for plugin in plugins:
            plugin.experiences = stream.test
        template.train(stream.benchmark.train_stream[0], eval_streams=[])
        weights.append([parameter.detach().clone() for parameter in template.model.parameters()])
        weights[-1].append(torch.rand(3))
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))


def test_the_rows_of_epochs_end_with_the_accuracy_before_consolidation(stream):
    reports = clep.Training(learner(), [Erase()], epochs=3, evaluate_epochs=True).run(stream).reports
    for report in reports:
        assert report.epochs.shape == (3, 3)
        assert report.epochs[-1].tolist() == report.before.tolist()
    assert clep.Training(learner(), epochs=1).run(stream).reports[0].epochs.shape == (0, 3)


def test_the_curve_counts_updates_through_all_experiences(stream):
    reports = clep.Training(learner(), epochs=20, batch_size=25).run(stream).reports
    assert [point[0] for report in reports for point in report.curve] == list(range(2, 121, 2))
    assert reports[0].curve[-1][1] < reports[0].curve[0][1]


def test_an_experience_that_is_stopped_reports_what_it_has(stream):
    class Stop(SupervisedPlugin):
        def after_training_iteration(self, strategy, **kwargs):
            strategy.stop_training()

    (report, *_) = clep.Training(learner(), [Stop()], epochs=4, batch_size=25).run(stream).reports
    assert [point[0] for point in report.curve] == [1]


def test_numbers_hold_what_the_learner_noticed_and_what_strategies_logged(stream):
    class Logs(clep.Strategy):
        def after_training_exp(self, strategy, **kwargs):
            self.log("mine/value", strategy.experience.current_experience)

    reports = clep.Training(learner(), [Logs()], epochs=1).run(stream).reports
    assert [report.numbers["mine/value"] for report in reports] == [0.0, 1.0, 2.0]
    assert {"train/residual", "train/free_steps", "train/unsettled"} < set(reports[0].numbers)


def test_a_strategy_that_logs_under_a_name_of_the_pipeline_is_refused_by_name(stream):
    class Boasts(clep.Strategy):
        def after_training_exp(self, strategy, **kwargs):
            self.log("accuracy/seen", 1.0)

    with pytest.raises(ConfigError, match=r"Boasts logs `accuracy/seen`.*log it as `boasts/accuracy_seen`"):
        clep.Training(learner(), [Boasts()], epochs=1).run(stream)


def test_evaluation_counts_every_sample_and_leaves_the_mode_of_the_model(stream):
    """A model that always answers one class is right on exactly the samples of that class."""

    class Always(nn.Module):
        def forward(self, x):
            return nn.functional.one_hot(torch.full((len(x),), 4), 10).float()

    for training in (True, False):
        model = Always().train(training)
        shares = [float((e.samples.y == 4).float().mean()) for e in stream.test]
        assert accuracies(model, stream.test, torch.device("cpu")).tolist() == pytest.approx(shares)
        assert model.training is training


def test_it_measures_a_plain_avalanche_strategy_too(stream):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    replay = ReplayPlugin(mem_size=20)
    measuring = Measuring([replay])
    measuring.experiences = stream.test
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    naive = Naive(model=model, optimizer=optimizer, plugins=[measuring, replay], evaluator=None, train_mb_size=10)
    naive.train(stream.benchmark.train_stream[0], eval_streams=[])
    assert measuring.report.after.shape == (3,)
    assert measuring.report.memory.exemplars == 20
    assert measuring.report.numbers == {}
