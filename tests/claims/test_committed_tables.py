"""The tables under `docs/results` are what today's code writes from their numbers."""

import csv
from pathlib import Path

import pytest

from clep import claims, config
from clep.results import Result

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def stored(name):
    """Label -> results of its seeds, from the CSV file; time is not in it."""
    results = {}
    with (RESULTS / f"{name}.csv").open() as file:
        for line in csv.DictReader(file):
            numbers = {key: float(line[key]) if line[key] else None for key in ("forgetting", "learned_accuracy")}
            result = Result("", "FINISHED", "", "", "", [], int(line["seed"]), float(line["accuracy"]), **numbers)
            result.memory.update(exemplar_bytes=int(line["bytes"]))
            result.seconds.update(total=0.0)
            results.setdefault(line["cell"], []).append(result)
    return results


def without_seconds(text):
    """The lines of the table and of its verdicts."""
    lines = [
        line.rpartition("|")[0].rpartition("|")[0] if line.startswith("| ") else line for line in text.splitlines()
    ]
    return [line for line in lines if line.startswith(("| ", "- "))]


@pytest.mark.parametrize("name", ["forgetting_digits", "mnist_at_once"])
def test_a_committed_table_is_written_again_from_its_csv_file(name):
    claim = claims.read(config.find("claim", name), name)
    runs = {label: [result.to_json() for result in results] for label, results in stored(name).items()}
    text = claims.as_markdown(claim, claims.rows_of(claim, runs), "")
    committed = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert without_seconds(text) == without_seconds(committed)
    assert len(without_seconds(text)) >= 6
