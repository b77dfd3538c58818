"""Tables, compared with what a reader would write by hand."""

import csv

import pytest

from clep import tables
from clep.columns import COLUMNS, COMPARISON, Column, Row, chosen


def runs(*accuracies, status="FAILED", **numbers):
    return [
        {"seed": seed, "accuracy": a, "status": status if a is None else "FINISHED"} | numbers
        for seed, a in enumerate(accuracies)
    ]


ROWS = [
    Row("naive", runs(0.19, 0.2, 0.21, forgetting=0.9, learned_accuracy=0.99)),
    Row("awake_rehearsal+sleep_replay", runs(0.9, None, forgetting=-0.05, learned_accuracy=1.0)),
    Row("joint", runs(0.975, 0.979, 0.983, forgetting=None, learned_accuracy=None)),
    Row("ewc", runs(None, status="KILLED", forgetting=None, learned_accuracy=None)),
]


def test_the_table_of_a_comparison_shows_means_deviations_failures_and_missing_values():
    assert tables.plain(ROWS, COMPARISON).splitlines() == [
        "cell                          final accuracy  forgetting      learned accuracy  seeds",
        "----------------------------  --------------  --------------  ----------------  ----------",
        "naive                         0.200 +- 0.010  0.900 +- 0.000  0.990 +- 0.000    3",
        "awake_rehearsal+sleep_replay  0.900           -0.050          1.000             1 (failed)",
        "joint                         0.979 +- 0.004  -               -                 3",
        "ewc                           -               -               -                 0 (killed)",
    ]
    assert tables.plain(ROWS, COMPARISON).isascii()


def test_a_column_of_ones_own_stands_in_the_table():
    seeds = Column("last_seed", "last seed", lambda row: max(row.by_seed, default=None), "d")
    assert tables.plain(ROWS[2:], [seeds, COLUMNS["worst"]]).splitlines() == [
        "cell   last seed  worst seed",
        "-----  ---------  ----------",
        "joint  2          0.975",
        "ewc    -          -",
    ]


@pytest.mark.parametrize(
    ("names", "seeds"),
    [([], ["0", "1", "2", "0", "0", "1", "2", ""]), (["diverged"], ["0", "1", "2", "0", "1", "0", "1", "2", "0"])],
    ids=["those that finished", "all, which `diverged` counts"],
)
def test_a_csv_file_has_a_line_per_run_and_one_for_a_cell_without(names, seeds, tmp_path):
    tables.write_csv(tmp_path / "t.csv", ROWS, chosen(names))
    with (tmp_path / "t.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["seed"] for line in lines] == seeds
    assert list(lines[0])[:9] == [
        "cell",
        "seed",
        "accuracy",
        "mean",
        "std",
        "forgetting",
        "learned_accuracy",
        "published",
        "bytes",
    ]
    assert list(lines[0])[9:] == names
    assert float(lines[1]["accuracy"]) == 0.2
    assert (lines[-1]["cell"], lines[-1]["accuracy"], lines[-1]["mean"]) == ("ewc", "", "")
