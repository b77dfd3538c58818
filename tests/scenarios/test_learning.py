"""Streams of every kind are learned, measured, stopped and gone on with like any other."""

import math

import numpy as np
import pytest
from clep.strategies.awake_rehearsal import AwakeRehearsal
from clep.strategies.joint import Joint
from clep.strategies.sleep_replay import SleepReplay

import clep
from clep import metrics
from clep.report import run_page
from clep.report.about import About
from clep.results import Result, plain_matrix
from tests.oracles.stores import empty_store

SHAPES = {  # experiences to learn and to measure on
    "class_incremental": (2, 2),
    "permuted": (2, 2),
    "rotated": (2, 2),
    "data_incremental": (2, 1),
    "repetition": (4, 2),
    "blurred": (2, 2),
}


def stream(scenario, **options):
    few = {"samples_per_experience": 32, "evaluation_samples": 20}
    return clep.stream("digits", scenario=scenario, experiences=2, **few, **options)


def training(*strategies, lr=0.01, epochs=1):
    return clep.Training(clep.Learner(clep.Network([64, 16, 10]), lr=lr), strategies, epochs=epochs)


@pytest.mark.parametrize("scenario", SHAPES)
def test_rehearsal_and_sleep_learn_it_and_a_stopped_run_goes_on_to_the_bit(scenario, tmp_path):
    def make():
        return training(AwakeRehearsal(memory_size=8), SleepReplay())

    first, path = make(), tmp_path / "first.ckpt"
    whole = first.run(stream(scenario), lambda report, so_far: report.index == 0 and first.save(path))
    assert whole.matrix.shape == SHAPES[scenario]
    assert not np.isnan(whole.matrix).any()
    resumed = make().resume(path, stream(scenario))
    assert np.array_equal(resumed.matrix, whole.matrix)
    assert np.array_equal(resumed.learned, whole.learned, equal_nan=True)


@pytest.mark.parametrize("scenario", SHAPES)
def test_joint_training_learns_all_of_it_at_once(scenario):
    made = stream(scenario)
    result = training(Joint()).run(made)
    assert result.matrix.shape == SHAPES[scenario]
    assert np.isnan(result.matrix[:-1]).all()
    assert len(made.joint().train[0]) == sum(map(len, made.train))
    after = metrics.after_experience(result, len(made.train) - 1)
    assert 0 <= after["accuracy/seen"] <= 1
    assert math.isnan(after["forgetting/average"])


# ---------------------------------------------------------------- numbers by hand

REPEATED = np.array([[0.9, 0.1], [0.5, 0.8], [0.7, 0.4], [0.6, 0.9]])  # groups 0, 1, 0, 1


def test_forgetting_of_classes_that_come_back_starts_where_they_were_learned_first():
    """Avalanche, too, starts from the experience with the index of the evaluation experience."""
    at = [0, 1]
    assert metrics.forgetting_per_experience(REPEATED, 3, at) == pytest.approx([0.9 - 0.6, 0.8 - 0.9])
    assert metrics.forgetting(REPEATED, 1, at) == pytest.approx(0.9 - 0.5)
    assert metrics.forgetting(REPEATED, 2, at) == pytest.approx((0.9 - 0.7 + 0.8 - 0.4) / 2)
    assert metrics.max_forgetting(REPEATED, 3, at) == pytest.approx((0.9 - 0.6 + 0.8 - 0.9) / 2)
    assert metrics.learned_accuracy(REPEATED, 3, at) == pytest.approx((0.9 + 0.8) / 2)
    assert metrics.learned_in_training([0.9, 0.8], 3, learned_at=at) == pytest.approx(0.85)
    assert metrics.seen_accuracy(REPEATED, [10, 30], 0, at) == pytest.approx(0.9)
    assert metrics.seen_accuracy(REPEATED, [10, 30], 2, at) == pytest.approx((7 + 12) / 40)
    assert metrics.forward_transfer(REPEATED, [0.2, 0.3], 3, at) == pytest.approx(0.1 - 0.3)


def test_a_test_that_comes_late_in_a_stream_is_not_seen_before():
    matrix, at = np.array([[0.9, 0.0], [0.5, 0.1], [0.4, 0.8], [0.3, 0.6]]), [0, 2]
    assert metrics.average_accuracy(matrix, 1, at) == pytest.approx(0.5)
    assert metrics.average_accuracy(matrix, 2, at) == pytest.approx(0.6)
    assert metrics.forgetting(matrix, 2, at) == pytest.approx(0.5)
    assert metrics.forgetting(matrix, 3, at) == pytest.approx((0.6 + 0.2) / 2)
    assert metrics.forward_transfer(matrix, [0.2, 0.3], 3, at) == pytest.approx(0.1 - 0.3)
    assert metrics.taught(matrix, at).tolist() == [0.9, 0.8]


def test_what_every_experience_teaches_is_seen_at_once_and_cannot_be_forgotten():
    matrix, at = [[0.5], [0.8], [0.7]], [None]
    assert metrics.seen_accuracy(matrix, [20], 0, at) == 0.5
    assert metrics.average_accuracy(matrix, 2, at) == 0.7
    for undefined in (metrics.forgetting, metrics.max_forgetting, metrics.backward_transfer, metrics.learned_accuracy):
        assert math.isnan(undefined(matrix, 2, at))
    assert math.isnan(metrics.forward_transfer(matrix, [0.1], 2, at))
    assert math.isnan(metrics.learned_in_training([math.nan], 2, learned_at=at))


def test_the_metrics_equal_avalanches_where_classes_come_back():
    """Avalanche measures the same weights, on the same experiences, with its own plug-ins."""
    from avalanche.evaluation.metrics import forgetting_metrics
    from avalanche.training.plugins import EvaluationPlugin

    made = stream("repetition", scenario_options={"shuffle": False})
    run = training(lr=0.1, epochs=4)
    evaluator = EvaluationPlugin(forgetting_metrics(experience=True, stream=True), loggers=[], strict_checks=False)
    run.template.plugins.append(evaluator)
    run.template.evaluator = evaluator
    theirs = []

    def measure(report, so_far):
        run.template.eval(made.benchmark.test_stream)
        theirs.append(evaluator.get_last_metrics()["StreamForgetting/eval_phase/test_stream"])

    result = run.run(made, measure)
    ours = [metrics.forgetting(result.matrix, i, result.learned_at) for i in range(1, 4)]
    assert ours == pytest.approx(theirs[1:])
    assert any(ours)


# ---------------------------------------------------------------- results and pages


def ran(tmp_path, *changes):
    few = ["stream.experiences=2", "stream.samples_per_experience=32", "network.hidden=[16]", "learner.epochs=1"]
    return clep.run({"tracking": {"uri": empty_store(tmp_path)}}, [*few, *changes])


def test_a_run_says_why_it_has_no_forgetting(tmp_path):
    result = ran(tmp_path, "stream.scenario=data_incremental")
    assert result.forgetting is result.forgetting_since_training is result.learned_in_training is None
    assert result.undefined == "each experience teaches everything that is measured"
    assert result.accuracy_seen == [row[0] for row in result.accuracy_matrix]
    lines = result.to_text().splitlines()
    assert any(line.split() == ["forgetting", "-"] for line in lines)
    assert any(line.startswith("no forgetting") and line.endswith(result.undefined) for line in lines)


@pytest.mark.parametrize(
    ("learned_at", "names", "columns"), [([0, 1], [], ["0 1", "2 3"]), ([None, None], ["a", "b"], ["a", "b"])]
)
def test_the_page_of_a_run_shows_a_matrix_that_is_not_square(learned_at, names, columns):
    found = Result("abc", "FINISHED", "", "digits", "ep", ["naive"], 0, accuracy=0.5, accuracy_matrix=[])
    values = found.to_json() | {
        "accuracy_matrix": plain_matrix(REPEATED),
        "accuracy_before_consolidation": plain_matrix(REPEATED),
        "classes": [[0, 1], [2, 3]],
        "experience_names": names,
        "learned_at": learned_at,
        "sizes": [10, 30],
    }
    page = run_page(values, About())
    assert [page.count(f'<th scope="col">{name}</th>') for name in columns] == [1, 1]
    assert [page.count(f'<th scope="row">{i}</th>') for i in range(4)] == [1] * 4
    assert ("<title>Forgetting" in page or "Forgetting</" in page) == (learned_at == [0, 1])
