"""The metrics against matrices worked out by hand and against Avalanche's own plugins on the same run."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from clep import metrics
from clep.metric_names import METRICS

# Rows: after training on experience i. Experience 0 is forgotten, experience 1 improves later on.
R = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.5, 0.6, 0.2],
        [0.3, 0.8, 0.7],
    ]
)
SIZES = [10, 30, 60]
UNTRAINED = [0.2, 0.3, 0.1]
JOINT = np.array([[math.nan] * 3, [math.nan] * 3, [0.9, 0.8, 1.0]])


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-12, nan_ok=True)


def test_every_metric_of_the_tables_is_registered_and_computed_after_each_experience():
    run = SimpleNamespace(matrix=R, learned=np.diagonal(R), untrained=np.array(UNTRAINED), sizes=np.array(SIZES))
    run.learned_at = ()
    assert {*metrics.AFTER_EACH, *metrics.OF_EXPERIENCES} <= set(METRICS)
    values = metrics.after_experience(run, 2)
    assert set(metrics.AFTER_EACH) < set(values)
    assert values["accuracy/average"] == close((0.3 + 0.8 + 0.7) / 3)
    assert values["accuracy/learned_before_consolidation"] == close((0.9 + 0.6 + 0.7) / 3)
    assert values["forward_transfer"] == close(((0.1 - 0.3) + (0.2 - 0.1)) / 2)
    assert [values[f"accuracy/experience_{j:02d}"] for j in range(3)] == [0.3, 0.8, 0.7]
    assert [values[f"forgetting/experience_{j:02d}"] for j in range(2)] == close([0.6, -0.2])


def test_forgetting_since_training_counts_what_the_first_consolidation_took():
    """After experience 2, experience 0 has 0.3 of the 1.0 that training gave, and experience 1 has 0.8 of 0.7."""
    learned = [1.0, 0.7, 0.75]
    assert metrics.forgetting_since_training_per_experience(R, learned).tolist() == close([0.7, -0.1])
    assert metrics.forgetting_since_training(R, learned) == close((0.7 - 0.1) / 2)
    assert metrics.forgetting_since_training(R, learned, 1) == close(1.0 - 0.5)
    assert math.isnan(metrics.forgetting_since_training(R, learned, 0))
    assert metrics.learned_in_training(learned) == close((1.0 + 0.7 + 0.75) / 3)
    assert metrics.learned_in_training(learned, 1) == close(0.85)


def test_without_consolidation_both_kinds_of_forgetting_are_the_same():
    assert metrics.forgetting_since_training(R, np.diagonal(R)) == close(metrics.forgetting(R))


def test_average_accuracy_is_the_mean_over_the_experiences_seen_so_far():
    assert metrics.average_accuracy(R) == close((0.3 + 0.8 + 0.7) / 3)
    assert metrics.average_accuracy(R, 1) == close((0.5 + 0.6) / 2)
    assert metrics.average_accuracy(R, 0) == close(0.9)


def test_seen_accuracy_weights_experiences_by_their_test_samples():
    """Counted by hand: 3 of 10, 24 of 30 and 42 of 60 samples are right after the last experience."""
    assert metrics.seen_accuracy(R, SIZES) == close((3 + 24 + 42) / 100)
    assert metrics.seen_accuracy(R, SIZES, 1) == close((5 + 18) / 40)
    assert metrics.seen_accuracy(R, SIZES, 0) == close(0.9)


def test_learned_accuracy_is_the_mean_of_the_diagonal_so_far():
    assert metrics.learned_accuracy(R) == close((0.9 + 0.6 + 0.7) / 3)
    assert metrics.learned_accuracy(R, 1) == close(0.75)


def test_forgetting_is_what_was_lost_since_training_and_a_gain_is_negative():
    assert metrics.forgetting_per_experience(R) == close(np.array([0.6, -0.2]))
    assert metrics.forgetting_per_experience(R, 1) == close(np.array([0.4]))
    assert metrics.forgetting(R) == close(0.2)
    assert metrics.forgetting(R, 1) == close(0.4)
    gain = [[0.5, 0.0], [0.8, 0.9]]
    assert metrics.forgetting(gain) == close(-0.3)


def test_max_forgetting_compares_with_the_best_accuracy_before_the_last_experience():
    """Experience 0 was best in row 1 (0.8), which plain forgetting does not see; the row itself never counts."""
    peak = [[0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.3, 0.9, 0.7]]
    assert metrics.max_forgetting(peak) == close(((0.8 - 0.3) + (0.6 - 0.9)) / 2)
    assert metrics.forgetting(peak) == close(((0.5 - 0.3) + (0.6 - 0.9)) / 2)
    assert metrics.max_forgetting(peak, 1) == close(0.5 - 0.8)


def test_backward_transfer_is_negative_when_experiences_are_forgotten():
    assert metrics.backward_transfer(R) == close(((0.3 - 0.9) + (0.8 - 0.6)) / 2)
    assert metrics.backward_transfer(R, 1) == close(0.5 - 0.9)


def test_forward_transfer_compares_the_row_before_training_with_the_untrained_network():
    assert metrics.forward_transfer(R, UNTRAINED) == close(((0.1 - 0.3) + (0.2 - 0.1)) / 2)
    assert metrics.forward_transfer(R, UNTRAINED, 1) == close(0.1 - 0.3)


def test_one_experience_has_accuracies_but_no_transfer_and_no_forgetting():
    one = [[0.7]]
    assert metrics.average_accuracy(one) == metrics.learned_accuracy(one) == metrics.seen_accuracy(one, [5]) == 0.7
    assert metrics.forgetting_per_experience(one).shape == (0,)
    for undefined in (metrics.forgetting, metrics.max_forgetting, metrics.backward_transfer):
        assert math.isnan(undefined(one))
        assert math.isnan(undefined(R, 0))
    assert math.isnan(metrics.forward_transfer(one, [0.1]))
    assert math.isnan(metrics.forward_transfer(R, UNTRAINED, 0))


def test_joint_training_has_final_accuracies_and_nothing_that_compares_rows():
    """A NaN that was skipped instead of propagated would report forgetting for a method that has none."""
    assert metrics.average_accuracy(JOINT) == close(0.9)
    assert metrics.seen_accuracy(JOINT, SIZES) == close((9 + 24 + 60) / 100)
    for undefined in (metrics.forgetting, metrics.max_forgetting, metrics.backward_transfer, metrics.learned_accuracy):
        assert math.isnan(undefined(JOINT))
    assert math.isnan(metrics.forward_transfer(JOINT, UNTRAINED))
    assert math.isnan(metrics.average_accuracy(JOINT, 0))
    assert math.isnan(metrics.seen_accuracy(JOINT, SIZES, 1))


def test_later_rows_and_columns_never_change_an_earlier_value():
    later = R.copy()
    later[2:, :] = later[:2, 2:] = math.nan
    for metric in (metrics.average_accuracy, metrics.learned_accuracy, metrics.forgetting, metrics.max_forgetting):
        assert metric(later, 1) == metric(R, 1)
    assert metrics.seen_accuracy(later, SIZES, 1) == metrics.seen_accuracy(R, SIZES, 1)


def test_a_matrix_read_back_from_json_with_null_entries_is_accepted():
    assert metrics.average_accuracy([[None, None], [0.5, 1.0]]) == 0.75


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros(3), np.zeros((0, 0))])
def test_a_matrix_that_is_not_square_is_refused_with_its_shape(wrong):
    with pytest.raises(ValueError, match=r"R: expected an accuracy matrix of shape \(n, n\).*got shape"):
        metrics.forgetting(wrong)


def test_a_row_that_does_not_exist_is_refused():
    with pytest.raises(IndexError):
        metrics.average_accuracy(R, 3)


def test_mean_std_uses_the_sample_standard_deviation_and_drops_undefined_values():
    assert metrics.mean_std([1.0, None, 3.0, math.nan]) == {"mean": 2.0, "std": close(math.sqrt(2)), "n": 2}
    assert metrics.mean_std([0.4]) == {"mean": 0.4, "std": None, "n": 1}
    assert metrics.mean_std([None, math.nan]) == {"mean": None, "std": None, "n": 0}


def test_none_if_nan_returns_plain_floats():
    assert metrics.none_if_nan(math.nan) is None
    assert metrics.none_if_nan(np.float64("nan")) is None
    assert metrics.none_if_nan(np.float32(0.5)) == 0.5
    assert type(metrics.none_if_nan(np.float64(0.5))) is float


@pytest.mark.parametrize("empty", [0, 1, 2, 3])
def test_an_experience_without_samples_changes_no_metric(empty):
    """The same run with one more experience, on which nothing could be measured; where it comes last, its row is that
    of the weights after it."""
    sizes, others = np.insert(SIZES, empty, 0), [j for j in range(4) if j != empty]
    wide = np.full((4, 4), math.nan)
    wide[:, others] = np.insert(R, empty, R[max(empty - 1, 0)], axis=0)  # it changes no weight
    earlier = [0.6, -0.2] if empty < 3 else [0.6, -0.2, 0.0]  # with one more after it, the last one is earlier too
    learned = np.diagonal(wide)
    assert metrics.average_accuracy(wide) == close(np.mean([0.3, 0.8, 0.7]))
    assert metrics.seen_accuracy(wide, sizes) == close(0.03 + 0.24 + 0.42)
    assert metrics.learned_accuracy(wide) == close(np.mean([0.9, 0.6, 0.7]))
    assert metrics.learned_in_training(learned, sizes=sizes) == close(np.mean([0.9, 0.6, 0.7]))
    assert metrics.forgetting(wide) == metrics.forgetting_since_training(wide, learned) == close(np.mean(earlier))
    assert not math.isnan(metrics.max_forgetting(wide))
    assert math.isnan(metrics.average_accuracy(wide, 0)) == (empty == 0)


def test_all_metrics_equal_those_of_avalanche_on_the_same_run():
    """The matrix is filled from Avalanche's experience accuracies, and every other metric must follow from it.

    Avalanche sums in Python floats, in another order than NumPy, hence 1e-12 and no more. Test sets of different sizes
    keep the weighted and the plain mean apart.
    """
    warnings.simplefilter("ignore")  # Avalanche's imports warn
    import torch
    from avalanche.benchmarks import nc_benchmark
    from avalanche.benchmarks.utils import as_classification_dataset
    from avalanche.evaluation.metrics import (
        accuracy_metrics,
        bwt_metrics,
        forgetting_metrics,
        forward_transfer_metrics,
    )
    from avalanche.models import SimpleMLP
    from avalanche.training import Naive
    from avalanche.training.plugins import EvaluationPlugin
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    kept = labels < 9
    x, y = torch.tensor(images[kept] / 16, dtype=torch.float32), torch.tensor(labels[kept])
    test = torch.arange(len(y)) % 4 == 0
    # Classes 0, 1, 2 keep a third of their test samples, so that the experiences differ in size.
    test &= (y > 2) | (torch.arange(len(y)) % 3 == 0)

    def dataset(chosen):
        data = torch.utils.data.TensorDataset(x[chosen], y[chosen])
        data.targets = y[chosen].tolist()
        return as_classification_dataset(data)

    benchmark = nc_benchmark(
        dataset(~test), dataset(test), n_experiences=3, task_labels=False, fixed_class_order=list(range(9))
    )
    sizes = [len(experience.dataset) for experience in benchmark.test_stream]
    assert len(set(sizes)) > 1
    wanted = {"experience": True, "stream": True}
    evaluator = EvaluationPlugin(
        accuracy_metrics(**wanted),
        forgetting_metrics(**wanted),
        bwt_metrics(**wanted),
        forward_transfer_metrics(**wanted),
        loggers=[],
    )
    model = SimpleMLP(num_classes=9, input_size=64, hidden_size=32, drop_rate=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    naive = Naive(model=model, optimizer=optimizer, train_mb_size=16, train_epochs=2, evaluator=evaluator, eval_every=0)

    def experience(metric, j):
        return f"{metric}/eval_phase/test_stream/Task000/Exp{j:03d}"

    def row(results):
        return [results[experience("Top1_Acc_Exp", j)] for j in range(3)]

    untrained = row(naive.eval(benchmark.test_stream))
    matrix = np.full((3, 3), math.nan)
    for i, trained in enumerate(benchmark.train_stream):
        naive.train(trained, eval_streams=[])
        theirs = naive.eval(benchmark.test_stream)
        matrix[i] = row(theirs)

        for j, value in enumerate(metrics.forgetting_per_experience(matrix, i)):
            assert value == close(theirs[experience("ExperienceForgetting", j)])
            assert -value == close(theirs[experience("ExperienceBWT", j)])
        if i > 0:  # Avalanche reports 0 where nothing can be forgotten yet
            assert metrics.forgetting(matrix, i) == close(theirs["StreamForgetting/eval_phase/test_stream"])
            assert metrics.backward_transfer(matrix, i) == close(theirs["StreamBWT/eval_phase/test_stream"])
            forward = [theirs[experience("ExperienceForwardTransfer", j)] for j in range(1, i + 1)]
            assert metrics.forward_transfer(matrix, untrained, i) == close(np.mean(forward))
        seen = naive.eval(benchmark.test_stream[: i + 1])
        assert metrics.seen_accuracy(matrix, sizes, i) == close(seen["Top1_Acc_Stream/eval_phase/test_stream/Task000"])

    whole = theirs["Top1_Acc_Stream/eval_phase/test_stream/Task000"]
    assert metrics.seen_accuracy(matrix, sizes) == close(whole)
    assert metrics.average_accuracy(matrix) != close(whole)  # the sizes do matter here
    assert metrics.forgetting(matrix) > 0.1  # a run without forgetting would compare zeros


# ---------------------------------------------------------------- rows that measure a part

SEEN = np.where(np.tri(3) > 0, R, math.nan)  # `stream.evaluate=seen`
SOME = np.where([[1, 0, 0], [0, 1, 0], [1, 1, 1]], R, math.nan)  # `stream.evaluate=every:3`


@pytest.mark.parametrize("measured", [SEEN, SOME], ids=["seen", "every:3"])
def test_what_follows_from_the_last_row_and_the_diagonal_needs_no_more(measured):
    for function in (metrics.average_accuracy, metrics.learned_accuracy, metrics.forgetting, metrics.backward_transfer):
        assert function(measured) == close(function(R))
    assert metrics.seen_accuracy(measured, SIZES) == close(metrics.seen_accuracy(R, SIZES))
    assert metrics.forgetting_since_training(measured, np.diagonal(R)) == close(metrics.forgetting(R))


@pytest.mark.parametrize("measured", [SEEN, SOME], ids=["seen", "every:3"])
def test_what_needs_an_accuracy_that_was_not_measured_is_undefined(measured):
    """Not the mean of what is there: that would be another number under the same name."""
    assert math.isnan(metrics.forward_transfer(measured, UNTRAINED))
    assert math.isnan(metrics.max_forgetting(measured))


def test_a_row_with_one_experience_gives_its_own_accuracy_and_no_mean_over_others():
    assert metrics.learned_accuracy(SOME, 1) == close((0.9 + 0.6) / 2)
    assert math.isnan(metrics.average_accuracy(SOME, 1))
    assert math.isnan(metrics.seen_accuracy(SOME, SIZES, 1))
    assert math.isnan(metrics.forgetting(SOME, 1))
    assert metrics.average_accuracy(SEEN, 1) == close((0.5 + 0.6) / 2)


def test_an_experience_without_samples_still_counts_nowhere():
    empty = SOME.copy()
    empty[:, 1] = math.nan
    assert metrics.average_accuracy(empty) == close((0.3 + 0.7) / 2)
    assert metrics.forgetting(empty) == close(0.9 - 0.3)
