"""The tables under `docs/results` are what today's code writes from their numbers, and can be continued."""

from pathlib import Path

import pytest

from clep import claims, config
from clep.comparison import plan

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def without_seconds(text):
    """The lines of the table and of its verdicts."""
    lines = [
        line.rpartition("|")[0].rpartition("|")[0] if line.startswith("| ") else line for line in text.splitlines()
    ]
    return [line for line in lines if line.startswith(("| ", "- "))]


def read(name):
    claim = claims.read(config.find("claim", name), name)
    return claim, claims.read_published(RESULTS / f"{name}.csv", claim.columns)


@pytest.mark.parametrize("name", ["forgetting_digits", "mnist_at_once", "memory_mnist"])
def test_a_committed_table_is_written_again_from_its_csv_file(name):
    claim, published = read(name)
    runs = {
        cell.label: [run for (label, _), run in published.runs.items() if label == cell.label] for cell in claim.cells
    }
    text = claims.as_markdown(claim, claims.rows_of(claim, runs), "")
    committed = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert without_seconds(text) == without_seconds(committed)
    assert len(without_seconds(text)) >= 6


def test_the_runs_of_a_committed_table_are_still_of_todays_settings():
    """A default that changes ends this on purpose: the settings of such runs are then taken out of the file.

    A key that is new needs a row in `clep.schema.AS_BEFORE`.
    """
    claim, published = read("forgetting_digits")
    jobs = plan(claim.composed(), claim.seeds)
    assert len(published.carried(jobs)) == len(jobs) == 25
