"""`clep reproduce` with a store that lacks runs: what a published table tells of them is not lost."""

import csv
import json

import mlflow
import pytest

from clep import cli
from clep.errors import StaleWarning
from tests.oracles.stores import empty_store

CLAIM = """
claim: Fragile strategies are strategies.
config: class_incremental
set: [stream.samples_per_experience=20, stream.experiences=2, "network.hidden=[8]", learner.epochs=1]
seeds: [0, 1]
columns: [bytes_in_8_bits]
cells:
  naive: {set: [strategies=naive]}
  fragile: {set: ["strategies=fragile:Fragile"], at_least: 0.1}
compare: [[fragile, naive]]
"""
FRAGILE = """
import pathlib, clep

class Fragile(clep.Strategy):
    def after_training_exp(self, strategy, **kwargs):
        if pathlib.Path("fail").exists():
            raise RuntimeError("too fragile")
        if pathlib.Path("stop").exists():
            raise KeyboardInterrupt
"""
HERE = ["reproduce", "mine.yaml", "--output", "out", "workers=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A claim, its table, and the store of its runs."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        empty_store(folder)
        (folder / "mine.yaml").write_text(CLAIM)
        (folder / "fragile.py").write_text(FRAGILE)
        assert cli.main(HERE) == 0
    return folder


@pytest.fixture
def table(made, tmp_path):
    """The files of the claim and its table, beside an empty store."""
    for name in ("mine.yaml", "fragile.py"):
        (tmp_path / name).write_text((made / name).read_text())
    empty_store(tmp_path)
    (tmp_path / "out").mkdir()
    for path in (made / "out").iterdir():
        (tmp_path / "out" / path.name).write_text(path.read_text())
    return tmp_path / "out" / "mine.md"


def trained(folder):
    """Cell and seed of the runs in a store."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("clep")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return sorted((run.data.tags["cell"], run.data.tags["seed"]) for run in found if "cell" in run.data.tags)


def lines_of(text, cell):
    return [line for line in text.splitlines() if line.startswith(f"| {cell}")]


def without_foot(text):
    return text.partition("Final accuracy")[0]


def test_an_empty_store_loses_nothing(table, tmp_path, capsys):
    before, lines = table.read_text(), table.with_suffix(".csv").read_text()
    assert cli.main([*HERE, "--stored", "--figure", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert without_foot(table.read_text()) == without_foot(before)
    assert "fragile: promised at least 0.100" in before
    assert table.with_suffix(".csv").read_text() == lines
    assert "4 of the runs are carried from the table that was here before." in table.read_text()
    assert "have been made so far" not in table.read_text()
    assert all(run["carried"] and run["run_seconds"] > 0 for row in rows for run in row["runs"])
    assert (tmp_path / "out" / "mine_bytes.png").exists()
    assert trained(tmp_path) == []


def test_a_run_in_the_store_wins_over_one_of_the_table(table, made):
    before = table.read_text()
    path = table.with_suffix(".csv")
    with path.open() as file:
        lines = list(csv.DictReader(file))
    with path.open("w") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(line | {"accuracy": 0.75, "mean": 0.75} for line in lines)
    assert cli.main([*HERE, "--stored", f"tracking.uri=sqlite:///{made}/mlflow.db"]) == 0
    assert without_foot(table.read_text()) == without_foot(before)
    assert "carried" not in table.read_text()


def test_changed_settings_are_named_and_only_what_is_missing_is_run(table, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(
        CLAIM.replace("set: [strategies=naive]", "set: [strategies=naive, learner.lr=0.1]")
    )
    fragile = lines_of(table.read_text(), "fragile")
    with pytest.warns(
        StaleWarning, match=r"mine\.csv: 2 runs are not carried, since settings changed: .*: `naive` \(2\)$"
    ):
        assert cli.main([*HERE, "--missing", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert trained(tmp_path) == [("naive", "0"), ("naive", "1")]
    assert {row["label"]: [run["carried"] for run in row["runs"]] for row in rows} == {
        "naive": [False, False],
        "fragile": [True, True],
    }
    assert lines_of(table.read_text(), "fragile") == fragile
    assert "2 of the runs are carried" in table.read_text()
    (tmp_path / "mine.yaml").write_text(CLAIM.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    with pytest.warns(StaleWarning, match=r": `naive` \(2\)$"):
        assert cli.main([*HERE, "--stored"]) == 0
    assert "2 of 6 runs have been made so far." in table.read_text()


def test_a_run_that_fails_and_an_interrupt_leave_what_was_published(table, tmp_path, capsys):
    before, lines = table.read_text(), table.with_suffix(".csv").read_text()
    (tmp_path / "stop").touch()
    assert cli.main(HERE) == 130
    assert (table.read_text(), table.with_suffix(".csv").read_text()) == (before, lines)
    (tmp_path / "stop").unlink()
    (tmp_path / "fail").touch()
    assert cli.main(HERE) == 1
    assert lines_of(table.read_text(), "fragile") == lines_of(before, "fragile")
    assert "2 of the runs are carried" in table.read_text()
    assert trained(tmp_path).count(("naive", "1")) == 1


def test_to_go_on_with_what_is_missing_one_says_so_again(table, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(CLAIM.replace("at_least: 0.1", "seeds: [0]").replace("epochs=1", "epochs=2"))
    (tmp_path / "stop").touch()
    with pytest.warns(StaleWarning, match="not carried"):
        assert cli.main([*HERE, "--missing"]) == 130
    assert "go on with: clep reproduce mine.yaml --missing --output out\n" in capsys.readouterr().err
    assert cli.main([*HERE, "--missing", "--stored"]) == 2
    assert "--missing: `--stored` runs nothing; leave out one of the two" in capsys.readouterr().err
