"""`clep reproduce`: the cells of a claim in workers, found again when it is started again, one table."""

import csv
import json
import re

import mlflow
import pytest

from clep import cli
from tests.oracles.stores import empty_store

CLAIM = """
claim: Sleep restores.
config: class_incremental
set: [stream.samples_per_experience=40, "network.hidden=[24]", learner.epochs=1]
small: [stream.samples_per_experience=20]
seeds: [0, 1, 2]
cells:
  naive: {set: [strategies=naive]}
  sleep: {set: [strategies=sleep_replay, strategy.sleep_replay.calibration=published, strategy.sleep_replay.steps=100]}
compare: [[sleep, naive]]
"""


@pytest.fixture(autouse=True)
def _stored(tmp_path):
    """The store that commands find in the working directory."""
    empty_store(tmp_path)


@pytest.fixture
def claim(tmp_path):
    (tmp_path / "mine.yaml").write_text(CLAIM)
    return "mine.yaml"


def runs(tmp_path):
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("clep").experiment_id
    return [run for run in client.search_runs([experiment]) if "cell" in run.data.tags]


def test_a_claim_is_run_written_and_found_again(claim, tmp_path, capsys):
    """The second start trains nothing and writes the same table; a further seed or a changed cell is trained."""
    assert cli.main(["reproduce", claim, "--small", "--output", "out", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in rows] == ["naive", "sleep"]
    assert all(len(row["by_seed"]) == 2 for row in rows)
    table = (tmp_path / "out" / "mine_small.md").read_text()
    assert "sleep - naive = " in table
    assert "`clep reproduce mine.yaml --small`" in table
    with (tmp_path / "out" / "mine_small.csv").open() as file:
        by_seed = {(row["cell"], row["seed"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    assert by_seed["sleep", "1"] == rows[1]["by_seed"]["1"]
    first = {run.info.run_id for run in runs(tmp_path)}
    assert len(first) == 4
    assert cli.main(["reproduce", claim, "--small", "--output", "again", "workers=1"]) == 0
    assert {run.info.run_id for run in runs(tmp_path)} == first
    assert (tmp_path / "again" / "mine_small.md").read_text() == table
    (tmp_path / "mine.yaml").write_text(CLAIM.replace("steps=100", "steps=50"))
    assert cli.main(["reproduce", claim, "--small", "--output", "far", "--stored"]) == 0
    so_far = (tmp_path / "far" / "mine_small.md").read_text()
    assert "2 of 4 runs have been made so far." in so_far
    assert "| sleep | - | not run |" in so_far
    assert {run.info.run_id for run in runs(tmp_path)} == first
    assert cli.main(["reproduce", claim, "--small", "--output", "out", "workers=0"]) == 0
    assert len(runs(tmp_path)) == 6


GRID = """
claim: Small steps keep training together.
config: class_incremental
set: [stream.samples_per_experience=20, stream.experiences=2, "network.hidden=[8]", learner.epochs=2]
seeds: [0]
columns: [worst, diverged, std_last_epochs]
grid:
  decay: {without: [], too much: [learner.weight_decay=1e12]}
  learner.lr: [0.1, 1.0]
compare: [[without, too much]]
"""


def test_a_grid_counts_runs_that_diverge_draws_them_and_does_not_run_them_again(tmp_path, capsys):
    """A divergence is what such a claim asks about: no failure, and as final as an accuracy."""
    (tmp_path / "mine.yaml").write_text(GRID)
    assert cli.main(["reproduce", "mine.yaml"]) == 2
    assert "learner.evaluate_epochs: required by the column `std_last_epochs`" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text(
        GRID.replace("learner.epochs=2", "learner.epochs=2, learner.evaluate_epochs=true")
    )
    assert cli.main(["reproduce", "mine.yaml", "--output", "out", "--json", "--figure", "workers=0"]) == 0
    rows = {row["label"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["too much, 1.0"]["columns"] == {"worst": 0.0, "diverged": 1.0, "std_last_epochs": None}
    assert rows["too much, 1.0"]["remark"] == "1 diverged"
    assert rows["without, 0.1"]["columns"]["std_last_epochs"] >= 0.0
    assert (tmp_path / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out" / "mine.csv").open() as file:
        lines = {line["cell"]: line for line in csv.DictReader(file)}
    assert (lines["too much, 1.0"]["seed"], lines["too much, 1.0"]["accuracy"]) == ("0", "")
    assert (lines["too much, 1.0"]["diverged"], lines["without, 0.1"]["diverged"]) == ("1.0", "0.0")
    first = {run.info.run_id for run in runs(tmp_path)}
    assert len(first) == 4
    table = (tmp_path / "out" / "mine.md").read_text()
    assert cli.main(["reproduce", "mine.yaml", "--output", "out"]) == 0
    assert {run.info.run_id for run in runs(tmp_path)} == first
    assert (tmp_path / "out" / "mine.md").read_text().split("Final accuracy")[0] == table.split("Final accuracy")[0]


def test_a_cell_that_cannot_be_trained_is_refused_before_anything_is(claim, tmp_path):
    (tmp_path / "mine.yaml").write_text(CLAIM.replace("steps=100", "steps=-1"))
    assert cli.main(["reproduce", claim, "--small", f"tracking.uri=sqlite:///{tmp_path}/new.db"]) == 2
    assert not (tmp_path / "new.db").exists()


STOPS = """
import pathlib, clep

class Stops(clep.Strategy):
    def after_training_exp(self, strategy, **kwargs):
        if not pathlib.Path("go").exists():
            raise KeyboardInterrupt
"""


def test_an_interrupted_claim_shows_what_has_finished_and_goes_on(tmp_path, capsys):
    (tmp_path / "stops.py").write_text(STOPS)
    (tmp_path / "mine.yaml").write_text(
        CLAIM.replace("strategies=sleep_replay, ", '"strategies=stops:Stops"').replace(
            "strategy.sleep_replay.calibration=published, strategy.sleep_replay.steps=100", ""
        )
    )
    command = ["reproduce", "mine.yaml", "--small", "--output", "out", "workers=0"]
    assert cli.main(command) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"^naive +-?\d", err, re.MULTILINE)
    assert err.endswith("; go on with: clep reproduce mine.yaml --small\n")
    assert not list((tmp_path / "out").glob("*"))
    first = {run.data.tags["cell"]: run.info.status for run in runs(tmp_path)}
    assert first == {"naive": "FINISHED", "sleep": "KILLED"}
    (tmp_path / "go").touch()
    assert cli.main(command) == 0
    finished = [run.data.tags["cell"] for run in runs(tmp_path) if run.info.status == "FINISHED"]
    assert sorted(finished) == ["naive", "naive", "sleep", "sleep"]


@pytest.mark.parametrize("change", ["seeds=[0]", "seed=3", "strategies=joint", "tune.trials=3"])
def test_what_a_claim_fixes_cannot_be_changed_from_outside(change, claim, capsys):
    """Accepted and ignored, it would stand in the table as the command that made the numbers."""
    assert cli.main(["reproduce", claim, change]) == 2
    assert f"{change.partition('=')[0].partition('.')[0]}: the claim's file decides" in capsys.readouterr().err


def test_a_claim_has_to_be_named(capsys):
    assert cli.main(["reproduce"]) == 2
    assert "reproduce: name a claim: " in capsys.readouterr().err
    assert cli.main(["reproduce", "forgeting_digits"]) == 2
    assert "did you mean `forgetting_digits`" in capsys.readouterr().err
