"""Tables of grids, against numbers worked out by hand."""

from clep.cells import Axis
from clep.claims.grid_tables import grid_lines
from clep.columns import Row, chosen

AXES = (
    Axis("data", {"a": (), "b": ()}),
    Axis("dt", {"same": (), "spread": ()}),
    Axis("learner.lr", {"1": (), "2": ()}),
)
COLUMNS = chosen(["worst", "diverged"])


def row(at, *accuracies):
    """None is a run whose training diverged."""
    runs = [
        {
            "seed": seed,
            "accuracy": accuracy,
            "status": "FAILED" if accuracy is None else "FINISHED",
            "diverged": accuracy is None,
            "seconds": {"total": 2.0},
        }
        for seed, accuracy in enumerate(accuracies)
    ]
    return Row(at, runs, at=tuple(at.split()))


ROWS = [
    row("a same 1", 0.5, 0.6),
    row("a same 2", 0.7, 0.8),
    row("a spread 1", 0.6, 0.6),
    row("a spread 2", 0.8, 1.0),
    row("b same 1", 0.5, None),
    row("b spread 1", None, None),
]


def test_alternatives_are_compared_in_all_cells_that_differ_in_nothing_else():
    """In `a` the differences are 0.1 and 0.1 with seed 0, 0 and 0.2 with seed 1: cells share their seeds, so the mean
    over cells comes first (0.1 and 0.1, an interval of no width); four independent differences would widen it to
    +- 0.13. The cell of `b` without accuracies counts in the columns that it has."""
    lines = grid_lines(AXES, ROWS, COLUMNS, [("spread", "same"), ("sleep", "naive")])
    assert not [line for line in lines if "sleep" in line]
    assert not [line for line in grid_lines(AXES, ROWS[:2], COLUMNS, [("spread", "same")]) if "against same" in line]
    overall, of_a, of_b = (line for line in lines if line.startswith("| spread against same"))
    assert overall == (
        "| spread against same | 3 | +0.1000 [+0.1000, +0.1000] "
        "| 0.467 / 0.400, better 2, worse 0 | 1 / 0, better 0, worse 1 |"
    )
    assert "| 2 | +0.1000 [+0.1000, +0.1000] | 0.700 / 0.600, better 2, worse 0 |" in of_a
    assert "| 1 | not run | 0.000 / 0.000, better 0, worse 0 | 2 / 1, better 0, worse 1 |" in of_b


def test_every_condition_has_a_table_of_its_cells():
    lines = grid_lines(AXES, ROWS, COLUMNS, [])
    assert [line for line in lines if line.startswith("## ")] == ["## a", "## b"]
    assert "| same | 1 | 0.550 ± 0.071 | 0.500 | 0 | 2 |" in lines
    assert "| spread | 1 | 2 diverged | 0.000 | 2 | - |" in lines
