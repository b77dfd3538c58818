"""A learner on a stream: what a run reports, measures and refuses to go on with."""

import dataclasses

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from clep.strategies.awake_rehearsal import AwakeRehearsal
from clep.strategies.sleep_replay import SleepReplay
from torch import nn

import clep
from clep.errors import DivergenceError
from clep.randomness import seed_for

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=3, samples_per_experience=50, class_order="fixed")


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def test_the_cosine_schedule_starts_again_in_every_experience(stream):
    rates = []

    class Rates(SupervisedPlugin):
        def before_training_epoch(self, strategy, **kwargs):
            rates.append(strategy.optimizer.param_groups[0]["lr"])

    learner = clep.Learner(mlp(), lr=0.1, schedule="cosine")
    clep.Training(learner, [Rates()], epochs=2).run(stream)
    assert rates == pytest.approx([0.1, 0.05] * 3)


def test_divergence_names_experience_epoch_batch_and_the_way_out(stream):
    training = clep.Training(clep.Learner(mlp(), lr=1e30, loss="cross_entropy"), epochs=2)
    with pytest.raises(DivergenceError, match=r"diverged at experience 0, epoch 0, .*Lower learner\.lr"):
        training.run(stream)


def test_divergence_in_consolidation_is_found_and_names_the_layer(stream):
    class Breaks(clep.Strategy):
        consolidates = True

        def after_training_exp(self, strategy, **kwargs):
            strategy.model.connections[1].weight.data[0, 0] = float("nan")

    training = clep.Training(clep.Learner(clep.Network([64, 20, 10])), [Breaks()], epochs=1)
    with pytest.raises(DivergenceError, match=r"consolidation of experience 0: `connections\.1\.weight`"):
        training.run(stream)


def test_a_run_leaves_matrix_rows_curves_times_and_memory(stream):
    reports = []
    training = clep.Training(clep.Learner(clep.Network([64, 20, 10]), lr=0.2), [ReplayPlugin(mem_size=20)], epochs=5)
    result = training.run(stream, lambda report, _: reports.append(report))
    assert result.matrix.shape == (3, 3)
    assert (result.matrix >= 0).all()
    assert (result.matrix <= 1).all()
    assert [report.index for report in reports] == [0, 1, 2]
    assert reports[-1].memory.exemplars == 20
    assert reports[-1].memory.exemplar_bytes == 20 * (64 * 4 + 8)
    assert all(value >= 0 for report in reports for value in report.seconds.values())
    updates = [point[0] for report in reports for point in report.curve]
    assert updates == sorted(set(updates))
    assert updates[-1] == 3 * 5 * 2  # experiences x epochs x batches
    assert reports[0].curve[-1][2] > reports[0].curve[0][2]  # training accuracy grows


def test_evaluation_counts_every_sample_and_masks_no_output(stream):
    """A model that always answers one class is right on exactly the samples of that class."""

    class Always(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            output = torch.zeros(len(x), 10) + self.weight
            output[:, 4] = 1.0
            return output

    accuracies = clep.Training(clep.Learner(Always()), epochs=1).evaluate(stream.test)
    shares = [float((e.samples.y == 4).float().mean()) for e in stream.test]
    assert accuracies.tolist() == pytest.approx(shares)


def test_joint_training_fills_only_the_last_row(stream):
    from clep.strategies.joint import Joint

    result = clep.Training(clep.Learner(clep.Network([64, 50, 10]), lr=0.2), [Joint()], epochs=20).run(stream)
    assert torch.isnan(torch.tensor(result.matrix[:-1])).all()
    assert (result.matrix[-1] > 0.5).all()


def test_the_optimizer_forgets_at_each_experience_unless_told_to_keep_its_state(stream):
    """Momentum that outlives its experience would push the weights towards it in the next one."""
    states = {}

    class Looks(SupervisedPlugin):
        def before_training_epoch(self, strategy, **kwargs):
            states.setdefault(reset, []).append(len(strategy.optimizer.state))

    for reset in (True, False):
        clep.Training(clep.Learner(mlp(), lr=0.01), [Looks()], reset_optimizer=reset, epochs=1).run(stream)
    parameters = len(list(mlp().parameters()))
    assert states == {True: [0, 0, 0], False: [0, parameters, parameters]}


def test_hooks_of_strategies_are_called_in_the_order_of_the_strategies(stream):
    called = []

    class Calls(SupervisedPlugin):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def after_training_exp(self, strategy, **kwargs):
            called.append(self.name)

    clep.Training(clep.Learner(mlp()), [Calls("memory"), Calls("sleep"), Calls("last")], epochs=1).run(stream)
    assert called == ["memory", "sleep", "last"] * 3


def test_accuracy_before_a_consolidation_is_that_of_the_weights_before_it(stream):
    """A consolidation that leaves one class alone: after it, only samples of that class are right."""

    class OneClass(clep.Strategy):
        consolidates = True

        def after_training_exp(self, strategy, **kwargs):
            for parameter in strategy.model.parameters():
                parameter.data.zero_()
            strategy.model[-1].bias.data[stream.class_order[0]] = 1.0

    training = clep.Training(clep.Learner(mlp(), lr=0.05), [OneClass()], epochs=10)
    result = training.run(stream)
    only = [float((e.samples.y == stream.class_order[0]).float().mean()) for e in stream.test]
    assert np.allclose(result.matrix, [only] * 3)
    assert result.learned[0] > 0.9
    assert np.array_equal(result.before, [report.before for report in result.reports])
    assert result.learned.tolist() == [report.before[i] for i, report in enumerate(result.reports)]


def test_the_seed_of_a_training_is_that_of_its_strategies(stream):
    """As `clep run` seeds them; a strategy that was seeded by hand keeps its seed."""

    def drawn(strategy):
        return strategy.draw(1000, 5)

    def alone(name):
        strategy = clep.Strategy()
        strategy.seed_with(seed_for(7, f"strategy {name}"))
        return drawn(strategy)

    by_hand = AwakeRehearsal()
    by_hand.seed_with(5)
    strategies = [AwakeRehearsal(), AwakeRehearsal(), SleepReplay(), by_hand]
    clep.Training(clep.Learner(clep.Network([64, 20, 10])), strategies, seed=7)
    draws = [drawn(strategy) for strategy in strategies]
    assert draws[0] == alone("awake_rehearsal")
    assert draws[2] == alone("sleep_replay")
    assert draws[1] != draws[0]
    again = clep.Strategy()
    again.seed_with(5)
    assert draws[3] == drawn(again)


def test_one_seed_gives_one_result_whatever_was_drawn_before(stream):
    """Avalanche's plug-ins draw from the global generators; these are the caller's again afterwards."""

    def trained(seed):
        torch.rand(int(torch.randint(1, 50, ())))
        learner = clep.Learner(clep.Network([64, 12, 10]), lr=0.1)
        clep.Training(learner, [ReplayPlugin(mem_size=20)], epochs=1, seed=seed).run(stream)
        return torch.cat([p.detach().flatten() for p in learner.network.parameters()])

    state = torch.get_rng_state()
    first = trained(1)
    torch.set_rng_state(state)
    expected = torch.rand(int(torch.randint(1, 50, ()))), torch.rand(3)
    torch.set_rng_state(state)
    assert torch.equal(first, trained(1))
    assert torch.equal(torch.rand(3), expected[1])
    assert not torch.equal(first, trained(2))


@pytest.mark.parametrize(
    ("evaluate", "rows"), [("seen", [[0], [0, 1], [0, 1, 2]]), ("every:2", [[0], [0, 1, 2], [0, 1, 2]])]
)
def test_what_is_measured_is_what_would_be_and_the_rest_is_left_out(stream, evaluate, rows):
    """Weights are the same, since an evaluation changes nothing."""

    def run(of):
        torch.manual_seed(0)
        learner = clep.Learner(clep.Network([64, 20, 10], seed=0), lr=0.2)
        sleep = SleepReplay(calibration="published", steps=50)
        return clep.Training(learner, [sleep], epochs=2, evaluate_epochs=True).run(of)

    whole, part = run(stream), run(dataclasses.replace(stream, evaluate=evaluate))
    for i in range(3):
        for full, some in ((whole.matrix, part.matrix), (whole.before, part.before)):
            assert [j for j in range(3) if np.isfinite(some[i, j])] == rows[i]
            assert np.array_equal(some[i, rows[i]], full[i, rows[i]])
    assert np.array_equal(part.reports[2].epochs, whole.reports[2].epochs)
    assert np.isnan(part.untrained).all() == (evaluate == "seen")


def test_joint_training_is_measured_on_everything_at_its_end(stream):
    from clep.strategies.joint import Joint

    joint = clep.Training(clep.Learner(mlp()), [Joint()], epochs=1)
    assert np.isfinite(joint.run(dataclasses.replace(stream, evaluate="every:2")).matrix[2]).all()


def test_an_experience_that_all_teach_is_measured_with_the_first_and_in_whole_rows():
    domains = clep.stream("digits", scenario="data_incremental", experiences=5, evaluate="every:2")
    assert domains.learned_at == (None,)
    assert [len(domains.measured_after(i)) for i in range(5)] == [1, 1, 0, 1, 1]
