"""Measures of stability, against numbers worked out by hand."""

import math

import pytest

from clep.claims import stability
from clep.claims.grid_tables import grid_lines
from clep.claims.grids import Axis
from clep.config import compose
from clep.errors import ConfigError


def run(seed, accuracy, epochs=(), *, unsettled=0.0, residual=0.01, diverged=False):
    return {
        "seed": seed,
        "accuracy": None if diverged else accuracy,
        "accuracy_epochs": list(epochs),
        "unsettled": None if diverged else unsettled,
        "residual": None if diverged else residual,
        "diverged": diverged,
    }


RUNS = [
    run(0, 0.6, [0.1, 0.5, 0.6, 0.5, 0.6, 0.5], unsettled=0.5, residual=0.02),
    run(1, 0.8, [0.9, 0.8, 0.8, 0.8, 0.8, 0.8], residual=0.04),
    run(2, None, diverged=True),
]


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
    assert stability.COLUMNS[column].of_cell(RUNS) == pytest.approx(expected)


def test_what_was_not_measured_is_undefined_and_not_zero():
    """A result from before these numbers were kept must not stand in a table as the steadiest of all."""
    old = {"seed": 0, "accuracy": 0.5}
    assert stability.COLUMNS["worst"].of_cell([old]) == 0.5
    for name in ("std", "std_last_epochs", "unsettled", "residual"):
        assert stability.COLUMNS[name].of_cell([old]) is None, name
    assert all(column.of_cell([]) is None for column in stability.COLUMNS.values())


def test_columns_are_refused_by_name_and_without_what_they_need():
    with pytest.raises(ConfigError, match=r"claim: columns: unknown column `wurst`; did you mean `worst`"):
        stability.check_columns(["wurst"], "claim")
    config = compose("class_incremental")
    stability.check_epochs(["worst", "std"], config)
    with pytest.raises(ConfigError, match=r"^learner\.evaluate_epochs: the column `std_last_epochs` needs"):
        stability.check_epochs(["std_last_epochs"], config)


AXES = (
    Axis("data", {"a": (), "b": ()}),
    Axis("dt", {"same": (), "spread": ()}),
    Axis("learner.lr", {"1": (), "2": ()}),
)


def row(at, by_seed, **columns):
    values = list(by_seed.values())
    return {
        "at": at.split(),
        "by_seed": by_seed,
        "mean": sum(values) / len(values) if values else None,
        "std": None,
        "seconds": 2.0,
        "remark": "" if values else "1 diverged",
        "columns": columns,
    }


ROWS = [
    row("a same 1", {0: 0.5, 1: 0.6}, worst=0.5, diverged=0.0),
    row("a same 2", {0: 0.7, 1: 0.8}, worst=0.7, diverged=0.0),
    row("a spread 1", {0: 0.6, 1: 0.6}, worst=0.6, diverged=0.0),
    row("a spread 2", {0: 0.8, 1: 1.0}, worst=0.6, diverged=0.0),
    row("b same 1", {0: 0.5}, worst=0.5, diverged=1.0),
    row("b spread 1", {}, worst=0.0, diverged=2.0),
]


def test_alternatives_are_compared_in_all_cells_that_differ_in_nothing_else():
    """In `a` the differences are 0.1 and 0.1 with seed 0, 0 and 0.2 with seed 1: cells share their seeds, so the mean
    over cells comes first (0.1 and 0.1, an interval of no width); four independent differences would widen it to
    +- 0.13. The cell of `b` without accuracies counts in the columns that it has."""
    lines = grid_lines(AXES, ROWS, ["worst", "diverged"], [("spread", "same"), ("sleep", "naive")])
    assert not [line for line in lines if "sleep" in line]
    assert not [line for line in grid_lines(AXES, ROWS[:2], ["worst"], [("spread", "same")]) if "against same" in line]
    overall, of_a, of_b = (line for line in lines if line.startswith("| spread against same"))
    assert overall == (
        "| spread against same | 3 | +0.1000 [+0.1000, +0.1000] "
        "| 0.400 / 0.567, better 1, worse 2 | 1 / 0, better 0, worse 1 |"
    )
    assert "| 2 | +0.1000 [+0.1000, +0.1000] | 0.600 / 0.600, better 1, worse 1 |" in of_a
    assert "| 1 | not run |" in of_b


def test_every_condition_has_a_table_of_its_cells():
    lines = grid_lines(AXES, ROWS, ["worst", "diverged"], [])
    assert [line for line in lines if line.startswith("## ")] == ["## a", "## b"]
    assert "| same | 1 | 0.550 | 0.500 | 0 | 2 |" in lines
    assert "| spread | 1 | 1 diverged | 0.000 | 2 | 2 |" in lines
