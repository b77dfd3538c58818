"""Columns, against numbers worked out by hand."""

import math

import pytest

from clep import columns
from clep.columns import COLUMNS, Row
from clep.config import compose
from clep.errors import ConfigError


def run(seed, accuracy, epochs=(), *, unsettled=0.0, residual=0.01, diverged=False, **numbers):
    return {
        "seed": seed,
        "status": "FAILED" if accuracy is None else "FINISHED",
        "accuracy": accuracy,
        "accuracy_epochs": list(epochs),
        "unsettled": None if diverged else unsettled,
        "residual": None if diverged else residual,
        "diverged": diverged,
        **numbers,
    }


ROW = Row(
    "naive",
    [
        run(0, 0.6, [0.1, 0.5, 0.6, 0.5, 0.6, 0.5], unsettled=0.5, residual=0.02),
        run(1, 0.8, [0.9, 0.8, 0.8, 0.8, 0.8, 0.8], residual=0.04),
        run(2, None, diverged=True),
    ],
)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("std", 0.2 / math.sqrt(2)),  # of 0.6 and 0.8; the run that diverged has no accuracy
        ("worst", 0.0),
        ("diverged", 1.0),
        ("oscillated", 1.0),
        ("unsettled", 0.25),
        ("residual", 0.03),
        # The last five: 0.5 0.6 0.5 0.6 0.5 have mean 0.54 and squares 3 x 0.0016 + 2 x 0.0036 = 0.012 over 4; zero.
        ("std_last_epochs", math.sqrt(0.012 / 4) / 2),
    ],
)
def test_a_column_is_what_its_definition_says(column, expected):
    assert COLUMNS[column].of_cell(ROW) == pytest.approx(expected)


def test_what_was_not_measured_is_undefined_and_not_zero():
    """A result from before these numbers were kept must not stand in a table as the steadiest of all."""
    old = Row("old", [{"seed": 0, "status": "FINISHED", "accuracy": 0.5}])
    assert COLUMNS["worst"].of_cell(old) == 0.5
    for name in ("std", "std_last_epochs", "unsettled", "residual"):
        assert COLUMNS[name].of_cell(old) is None, name
        assert COLUMNS[name].text(old) == "-"
    assert all(column.of_cell(Row("none", [])) is None for column in COLUMNS.values())


def test_a_row_says_why_accuracies_are_missing():
    assert ROW.remark == "1 diverged"
    assert Row("x", [run(0, None), run(1, 0.5), run(2, None, diverged=True)]).remark == "1 failed, 1 diverged"
    assert Row("x", [run(0, 0.5)]).remark == ""
    assert Row("x", []).remark == "not run"
    assert Row("x", [], note="data not at hand").remark == "data not at hand"


def test_only_runs_that_finished_count_in_a_mean():
    half = Row("x", [run(0, 0.5, forgetting=0.2), run(1, None, forgetting=0.9)])
    assert columns.mean(columns.of("forgetting"))(half) == 0.2
    assert half.by_seed == {0: 0.5}
    assert half.status == "FAILED"


def test_bytes_are_written_in_groups_of_three_digits():
    kept = Row("x", [run(0, 0.5, memory={"exemplars": 9, "exemplar_bytes": 13000, "statistics_bytes": 496})])
    (column,) = [column for column in columns.CLAIM if column.name == "bytes"]
    assert (column.of_cell(kept), column.text(kept)) == (13496, "13 496")


def test_columns_are_refused_by_name_and_without_what_they_need():
    with pytest.raises(ConfigError, match=r"^columns: unknown column `wurst`; did you mean `worst`"):
        columns.chosen(["wurst"])
    config = compose("class_incremental")
    columns.check_needs(columns.chosen(["worst", "std"]), config)
    with pytest.raises(ConfigError, match=r"^learner\.evaluate_epochs: required by the column `std_last_epochs`"):
        columns.check_needs(columns.chosen(["std_last_epochs"]), config)
