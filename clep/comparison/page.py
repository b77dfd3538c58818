"""The files of a comparison, and how they get into MLflow."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from clep import report, tables, tracking
from clep.columns import COMPARISON
from clep.results import Comparison, Result


def attach(parent: tracking.Run, files: Iterable[Path], description: str) -> None:
    """Copy files to a run in MLflow, and put a text on its page, cut to the length that MLflow accepts.

    Args:
        parent: the run of the comparison.
        files: the files to copy.
        description: the text, as Markdown.
    """
    for file in files:
        parent.artifact(file)
    if description:
        parent.describe(description)


def write(comparison: Comparison, folder: Path) -> Iterator[Path]:
    """Write `comparison.json`, `comparison.txt` and, if any run finished, the figures.

    Args:
        comparison: what to write.
        folder: where the files go; it must exist.
    """
    texts = {"comparison.json": json.dumps(comparison.to_json(), indent=2)}
    texts["comparison.txt"] = tables.plain(comparison.rows, COMPARISON)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield folder / name
    if finished := _finished(comparison):
        yield from report.draw(
            "comparison", folder, runs=[run.to_json() for run in finished], classes=comparison.classes
        )


def _finished(comparison: Comparison) -> list[Result]:
    return [run for run in comparison.runs if not run.failed]
