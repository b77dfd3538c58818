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


NOTHING = {"exemplars": 0, "exemplar_bytes": 0, "statistics_bytes": 0}
ROWS = [
    Row(
        "naive",
        runs(0.19, 0.2, 0.21, forgetting_since_training=0.9, forgetting=0.9, learned_in_training=0.99, memory=NOTHING),
    ),
    Row(
        "awake_rehearsal+sleep_replay",
        runs(0.9, None, forgetting_since_training=0.1, forgetting=-0.05, memory={"exemplar_bytes": 12_800}),
    ),
    Row("joint", runs(0.975, 0.979, 0.983, memory=NOTHING)),
    Row("ewc", runs(None, status="KILLED")),
]


def test_the_table_of_a_comparison_shows_means_deviations_failures_and_missing_values():
    assert tables.plain(ROWS, COMPARISON).splitlines() == [
        "cell             forgetting    Aval.   accuracy      learned  kept     n",
        "---------------  ------------  ------  ------------  -------  -------  -",
        "naive            0.900+-0.000  0.900   0.200+-0.010  0.990    0        3",
        "awake_rehearsal  0.100         -0.050  0.900         -        12.8 kB  1",
        " +sleep_replay",
        "joint            -             -       0.979+-0.004  -        0        3",
        "ewc              -             -       -             -        -        0",
    ]
    assert tables.plain(ROWS, COMPARISON).isascii()


@pytest.mark.parametrize("label", ["a" * 100, "+".join(["sleep_replay"] * 8), "strategies=x, learner.lr=0.1, " * 4])
def test_the_table_of_a_comparison_fits_a_terminal_whatever_its_labels(label):
    full = {"forgetting_since_training": -0.1, "forgetting": -0.25, "learned_in_training": 0.99}
    rows = [Row(label, runs(*[0.1] * 12, **full, memory={"exemplar_bytes": 123_400_000})), *ROWS]
    lines = tables.plain(rows, COMPARISON).splitlines()
    assert max(map(len, lines)) <= 79
    left = lines[0].index("forgetting")
    name = "".join(line[:left].strip() for line in lines[2 : lines.index(next(li for li in lines if "naive" in li))])
    assert name.replace(" ", "") == label.replace(" ", "")  # nothing of it is lost


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
    assert list(lines[0])[:15] == [
        "cell",
        "seed",
        "accuracy",
        "mean",
        "std",
        "forgetting",
        "learned_accuracy",
        "published",
        "bytes",
        "seconds",
        "run_forgetting",
        "run_learned_accuracy",
        "run_seconds",
        "code",
        "settings",
    ]
    assert list(lines[0])[15:] == names
    assert float(lines[1]["accuracy"]) == 0.2
    assert (lines[-1]["cell"], lines[-1]["accuracy"], lines[-1]["mean"]) == ("ewc", "", "")
