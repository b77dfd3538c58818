"""What an experience sends to MLflow, from reports made by hand."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from clep import metric_names, metrics
from clep.measuring import ExperienceReport
from clep.recording import epoch_accuracies, experience_metrics
from clep.strategy import Memory
from clep.training import TrainingResult

SIZES = np.array([10, 30, 20])


def result():
    matrix = np.array([[0.9, 0.1, 0.0], [0.5, 0.8, 0.2], [np.nan] * 3])
    before = np.array([[0.95, 0.1, 0.0], [0.3, 0.7, 0.1], [np.nan] * 3])
    return TrainingResult(matrix, before, untrained=np.full(3, 0.1), sizes=SIZES)


def report(**changes):
    values = ExperienceReport(
        index=1,
        before=result().before[1],
        after=result().matrix[1],
        curve=[(4, 0.5, 0.6)],
        epochs=np.array([[0.2, 0.6, 0.3], [0.3, 0.7, 0.1]]),
        seconds={"train": 1.0, "consolidation": 2.0, "eval": 3.0},
        memory=Memory(4, 5, 6),
        updates=8,
        consolidated=False,
        slept=False,
        numbers={"train/residual": 0.01, "mine/value": 7.0},
    )
    return dataclasses.replace(values, **changes)


def test_every_row_of_the_tables_of_metrics_is_recorded():
    values = experience_metrics(report(), result())
    assert set(metrics.AFTER_EACH) < set(values)
    assert values["accuracy/seen"] == pytest.approx((10 * 0.5 + 30 * 0.8) / 40)
    assert values["accuracy/learned_before_consolidation"] == pytest.approx((0.95 + 0.7) / 2)
    assert [values[f"accuracy/experience_{j:02d}"] for j in range(3)] == [0.5, 0.8, 0.2]
    assert values["forgetting/experience_00"] == pytest.approx(0.4)
    assert "forgetting/experience_01" not in values
    assert values["forgetting_since_training/average"] == pytest.approx(0.95 - 0.5)
    assert values["forgetting_since_training/experience_00"] == pytest.approx(0.95 - 0.5)


def test_a_row_added_to_the_table_is_recorded_without_further_ado(monkeypatch):
    monkeypatch.setitem(metrics.AFTER_EACH, "accuracy/worst", lambda a, i: float(a.matrix[i, : i + 1].min()))
    assert experience_metrics(report(), result())["accuracy/worst"] == 0.5


def test_numbers_memory_and_times_are_recorded():
    values = experience_metrics(report(), result())
    assert (values["train/residual"], values["mine/value"]) == (0.01, 7.0)
    assert [values[f"memory/{n}"] for n in ("exemplars", "exemplar_bytes", "statistics_bytes")] == [4, 5, 6]
    assert [values[f"time/{n}_seconds"] for n in ("train", "consolidation", "eval")] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("consolidated", "slept", "groups"),
    [(False, False, set()), (True, False, {"consolidation"}), (True, True, {"consolidation", "sleep"})],
)
def test_accuracy_around_sleep_is_recorded_only_where_a_strategy_sleeps(consolidated, slept, groups):
    values = experience_metrics(report(consolidated=consolidated, slept=slept), result())
    for group in ("consolidation", "sleep"):
        around = {name for name in values if name.startswith(f"{group}/")}
        assert around == ({f"{group}/accuracy_before", f"{group}/accuracy_after"} if group in groups else set())
    for group in groups:
        assert values[f"{group}/accuracy_before"] == pytest.approx((10 * 0.3 + 30 * 0.7) / 40)
        assert values[f"{group}/accuracy_after"] == values["accuracy/seen"]


def test_the_first_experience_has_no_forgetting():
    values = experience_metrics(report(index=0), result())
    assert math.isnan(values[metric_names.FORGETTING_AVERAGE])
    assert math.isnan(values[metric_names.FORWARD_TRANSFER])


def test_accuracy_after_an_epoch_is_over_the_experiences_seen_so_far():
    so_far = SimpleNamespace(sizes=SIZES, learned_at=())
    assert epoch_accuracies(report(), so_far) == pytest.approx([(2 + 18) / 40, (3 + 21) / 40])
