"""The page of a comparison: the files with its numbers, and what MLflow shows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from clep import metric_names, report, tables, tracking
from clep.columns import COMPARISON
from clep.results import Comparison, Result

_CURVES = 21


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
        parent.describe(description[: tracking.DESCRIPTION_LENGTH])


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


def describe(comparison: Comparison, experiment_id: str) -> str:
    """Links to the curves of the finished runs, then the table; empty if no run finished.

    If all curves would be too many to tell apart, the links show only one seed.

    Args:
        comparison: what to describe.
        experiment_id: the MLflow experiment of its runs.
    """
    runs = _finished(comparison)
    if not runs:
        return ""
    if len(runs) > _CURVES:
        runs = [run for run in runs if run.seed == runs[0].seed][:_CURVES]
    table = tables.plain(comparison.rows, COMPARISON)
    lines = ["Curves over the strategies:", ""]
    for name in _curves(runs):
        link = f"- [{name}]({tracking.curves_link([str(run.run_id) for run in runs], experiment_id, name)})"
        if sum(map(len, lines)) + len(link) + len(table) < tracking.DESCRIPTION_LENGTH:
            lines.append(link)
    return "\n".join([*lines, "", "```", table, "```"])


def _curves(runs: Sequence[Result]) -> Iterator[str]:
    """Names of the metrics worth plotting as curves."""
    yield from (metric_names.ACCURACY_SEEN, metric_names.FORGETTING_AVERAGE)
    yield from (metric_names.FORGETTING_EXPERIENCE.format(experience=j) for j in range(len(runs[0].accuracy_seen) - 1))


def _finished(comparison: Comparison) -> list[Result]:
    return [run for run in comparison.runs if not run.failed]
