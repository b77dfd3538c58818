"""A pipeline small enough for tests: real digits, a few samples, one epoch."""

import json

import pytest

from clep.comparison.stored import COMPARISON_FILE
from tests.oracles.stores import empty_store

SMALL = {
    "stream": {"samples_per_experience": 64},
    "network": {"hidden": [32]},
    "learner": {"epochs": 1, "lr": 0.05},
    "strategy": {"sleep_replay": {"calibration": "published", "steps": 200}},
    "controls": [],
}

WORDS = [
    f"{section}.{key}={value}" for section in ("stream", "network", "learner") for key, value in SMALL[section].items()
]
"""The same on the command line, without the settings of a strategy, which must be chosen."""


@pytest.fixture
def small(tmp_path):
    """Configuration whose store is in the test's own folder."""
    return SMALL | {"tracking": {"uri": empty_store(tmp_path)}}


@pytest.fixture(autouse=True)
def _pdfs_without_fonts(monkeypatch):
    """Embedding fonts takes most of a small comparison's time; `tests/report` looks at what is written."""
    monkeypatch.setattr("clep.report.write_pdf", lambda figure, path: path.write_bytes(b"%PDF-1.7"))


@pytest.fixture
def without_page(monkeypatch):
    """Comparisons store their numbers alone: drawing a page takes longer than the runs of a test."""

    def write(comparison, folder, about=None):
        (file := folder / COMPARISON_FILE).write_text(json.dumps(comparison.to_json()))
        yield file

    monkeypatch.setattr("clep.comparison.page.write", write)
