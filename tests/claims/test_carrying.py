"""Runs that a published table tells of: read from its CSV file, matched with today's settings, counted as before."""

import csv

import pytest

from clep import claims, tables
from clep.columns import CSV, MEANS, SECONDS, Column, Row, chosen
from clep.comparison import Cell, plan
from clep.config import compose
from clep.errors import ConfigError

COLUMNS = chosen(["bytes_in_8_bits", "diverged"])
JOBS = plan([(Cell(name), compose(None, [f"strategies={name}"])) for name in ("naive", "joint")], [0, 1, 2])
SETTINGS = {job.place: job.settings for job in JOBS}


def run(cell, seed, accuracy, **numbers):
    memory = {"exemplars": 2, "exemplar_bytes": 2 * 264, "statistics_bytes": 8}
    ended = {"status": "FINISHED"} if accuracy is not None else {"status": "FAILED", "diverged": True}
    origin = {"code": "0.1.0@abc", "settings": SETTINGS[cell, seed]}
    return {"seed": seed, "accuracy": accuracy, "memory": memory} | ended | origin | numbers


ROWS = [
    Row(
        "naive",
        [
            run("naive", 0, 0.25, forgetting=0.9, learned_accuracy=0.99, seconds={"total": 2.0}),
            run("naive", 1, 0.125, forgetting=0.7, learned_accuracy=0.97, seconds={"total": 3.0}),
            run("naive", 2, None),
        ],
    ),
    Row("joint", [run("joint", 0, 0.875)]),
    Row("ewc", []),
]


@pytest.fixture
def path(tmp_path):
    tables.write_csv(tmp_path / "t.csv", ROWS, COLUMNS)
    return tmp_path / "t.csv"


def edited(path, change):
    """Change the lines of the file, as dicts."""
    with path.open() as file:
        lines = list(csv.DictReader(file))
    names = list(lines[0])
    for line in lines:
        change(line)
    with path.open("w") as file:
        writer = csv.DictWriter(file, [name for name in names if name in lines[0]])
        writer.writeheader()
        writer.writerows(lines)


def rows(published):
    carried = published.carried(JOBS)
    return [Row(row.label, [run for (cell, _), run in carried.items() if cell == row.label]) for row in ROWS]


def numbers(rows):
    shown = [*CSV, *COLUMNS]
    return {(row.label, column.name): column.of_cell(row) for row in rows for column in shown}


def test_carried_runs_count_as_those_they_were_and_are_written_as_they_stood(path, tmp_path):
    """Every number of every cell, and the diverged run, which has none."""
    carried = rows(claims.read_published(path, COLUMNS))
    assert numbers(carried) == pytest.approx(numbers(ROWS), nan_ok=False)
    assert numbers(carried)["naive", "diverged"] == 1.0
    assert numbers(carried)["naive", "bytes_in_8_bits"] == 2 * 65 + 8
    tables.write_csv(tmp_path / "again.csv", carried, COLUMNS)
    assert (tmp_path / "again.csv").read_text() == path.read_text()


def test_numbers_known_only_as_means_of_the_cell_stay_such(path, tmp_path):
    """Three runs: one with numbers of its own, two of which only the mean of all is: (3 * 0.8 - 0.6) / 2 = 0.9"""
    three = [run("naive", seed, 0.25, forgetting=value) for seed, value in enumerate((0.6, 0.8, 1.0))]
    tables.write_csv(path, [Row("naive", three)], COLUMNS)
    edited(path, lambda line: line["seed"] == "0" or line.update(run_forgetting=""))
    before = path.read_text()
    published = claims.read_published(path, COLUMNS)
    carried = Row("naive", list(published.carried(JOBS).values()))
    assert [MEANS["forgetting"](each) for each in carried.runs] == pytest.approx([0.6, 0.9, 0.9])
    assert numbers([carried])["naive", "forgetting"] == pytest.approx(0.8)
    tables.write_csv(path, [carried], COLUMNS)
    assert [line.split(",")[10] for line in path.read_text().splitlines()] == ["run_forgetting", "0.6", "", ""]
    assert len(before.splitlines()) == len(path.read_text().splitlines())


def test_runs_of_other_settings_cells_and_unknown_settings_are_left_and_named(path):
    edited(path, lambda line: line["seed"] == "1" and line.update(settings="0123456789ab"))
    published = claims.read_published(path, COLUMNS)
    assert {*published.carried(JOBS)} == {("naive", 0), ("naive", 2), ("joint", 0)}
    assert [*published.left(JOBS, published.carried(JOBS))] == [
        f"{path}: 1 run is not carried, since settings changed: the claim, a default, the data or a plug-in: "
        "`naive` (1)"
    ]
    naive = [job for job in JOBS if job.cell == "naive"]
    assert [*published.left(naive, {("naive", 0), ("naive", 1), ("naive", 2)})] == [
        f"{path}: 1 run is not carried, since the claim no longer has the cell or the seed: `joint` (1)"
    ]
    edited(path, lambda line: line.update(settings=""))
    published = claims.read_published(path, COLUMNS)
    assert not published.carried(JOBS)
    assert [*published.left(JOBS, set())] == [
        f"{path}: 4 runs are not carried, since the file does not say of which settings: `naive` (3), `joint` (1)"
    ]


def test_nothing_is_carried_from_a_file_of_an_earlier_version_and_that_is_said(path):
    new = ["seconds", "run_forgetting", "run_learned_accuracy", "run_seconds", "code", "settings"]
    edited(path, lambda line: [line.pop(name) for name in new])
    published = claims.read_published(path, COLUMNS)
    assert not published.carried(JOBS)
    assert [*published.left(JOBS, set())] == [
        f"{path}: 4 runs are not carried, since the file is of an earlier version, which wrote no settings: "
        "`naive` (3), `joint` (1)"
    ]


def test_a_column_that_the_claim_asks_for_only_now_is_named(path):
    assert claims.read_published(path, chosen(["residual", "diverged"])).lacks == ["residual"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda line: line.update(accuracy="0.75"),
            "line 2: mean: expected that of the accuracies of `naive`, 0.75, got 0.1875",
        ),
        (lambda line: line.update(accuracy="high"), "line 2: accuracy: expected a number, got `high`"),
        (lambda line: line.update(accuracy="1.5"), "line 2: accuracy: expected a number from 0 to 1, got 1.5"),
        (lambda line: line.update(seed="one"), "line 2: seed: expected a whole number, got `one`"),
        (lambda line: line.update(seed="0"), "line 3: `naive` has seed 0 twice"),
        (lambda line: line.update(settings="mine"), "line 2: settings: expected 12 characters of 0 to 9 and a to f"),
        (lambda line: line.update(code=""), "line 2: code: expected a version, got nothing"),
        (lambda line: line.update(run_forgetting="-"), "line 2: run_forgetting: expected a number, got `-`"),
        (lambda line: line.pop("mean"), "line 1: the columns mean are missing"),
    ],
)
def test_a_file_that_was_edited_or_damaged_says_where_and_what_to_do(change, told, path):
    edited(path, lambda line: change(line) if line["cell"] == "naive" or "line 1" in told else None)
    with pytest.raises(ConfigError) as refused:
        claims.read_published(path, COLUMNS)
    assert str(refused.value).startswith(f"{path}, {told}")
    assert str(refused.value).endswith(
        "; take the file back from version control, or remove it to begin without its runs"
    )


@pytest.mark.parametrize("text", ["", "cell,seed\n", 'cell,seed,accuracy\n"naive,0,0.5\n'])
def test_a_file_that_is_no_table_is_refused(text, path):
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"t\.csv(, line 1)?: .*; take the file back from version control"):
        claims.read_published(path, COLUMNS)


def test_a_line_that_was_cut_is_refused(path):
    path.write_text(path.read_text().rpartition(",,")[0])
    with pytest.raises(ConfigError, match=r"t\.csv, line \d: expected 17 values, got \d+"):
        claims.read_published(path, COLUMNS)


def test_the_mean_of_seconds_is_that_of_the_runs_that_have_any():
    assert SECONDS.of_cell(ROWS[0]) == 2.5
    assert isinstance(SECONDS, Column)
