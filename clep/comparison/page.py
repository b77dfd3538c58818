"""The page of a comparison: the files with its numbers, and what MLflow shows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from clep import metric_names, report, tables, tracking
from clep.columns import COMPARISON
from clep.report import About
from clep.report.table import as_csv, as_latex, as_markdown
from clep.results import Comparison, Result

_CURVES = 21


def attach(parent: tracking.Run, files: Iterable[Path], description: str) -> None:
    """Copy files and folders to a run in MLflow, and put a text on its page, cut to the length that MLflow accepts.

    Args:
        parent: the run of the comparison.
        files: the files and folders to copy.
        description: the text, as Markdown.
    """
    for file in files:
        parent.artifact(file)
    if description:
        parent.describe(description[: tracking.DESCRIPTION_LENGTH])


def write(comparison: Comparison, folder: Path, about: About | None = None) -> Iterator[Path]:
    """Write the page `report.html`, the numbers (`comparison.json`, `comparison.txt`, and the table as `table.csv`,
    `table.md`, `table.tex`) and, if any run finished, the figures: `comparison.png`, and those of the page in the
    folder `figures`, as SVG and as PDF.

    Args:
        comparison: what to write.
        folder: where the files go; it must exist.
        about: the foot of the page: where the numbers come from and how to get them again.

    Returns:
        The files, and the folder `figures`.
    """
    texts = {"comparison.json": json.dumps(comparison.to_json(), indent=2)}
    texts["comparison.txt"] = tables.plain(comparison.rows, COMPARISON)
    answer = comparison.answer
    texts |= {"table.csv": as_csv(answer.cells), "table.md": as_markdown(answer.cells)}
    texts |= {"table.tex": as_latex(answer.cells)}
    cells = report.drawn_cells(answer, [row.label for row in comparison.rows], comparison.classes)
    figures = _write_figures(cells, folder / "figures")
    title = _title(comparison)
    texts["report.html"] = report.comparison_page(answer, cells, figures, about or About(), title=title)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield folder / name
    if figures:
        yield folder / "figures"
    if finished := _finished(comparison):
        yield from report.draw(
            "comparison", folder, runs=[run.to_json() for run in finished], classes=comparison.classes
        )


def _write_figures(cells: Sequence[report.DrawnCell], folder: Path) -> dict[str, str]:
    """Write the figures of the page as files, and return them as SVG by name."""
    folder.mkdir(exist_ok=True)
    drawn = {}
    for name, figure in report.figures("page", cells=cells):
        drawn[name] = report.svg(figure, name)
        (folder / f"{name}.svg").write_text(drawn[name], encoding="utf-8")
        report.write_pdf(figure, folder / f"{name}.pdf")
    return drawn


def _title(comparison: Comparison) -> str:
    """What was compared, in a few words."""
    networks, streams = ({str(getattr(run, key)) for run in comparison.runs} for key in ("network", "stream"))
    cells, seeds = len(comparison.rows), len({run.seed for run in comparison.runs})
    what = f"{cells} cell{'s' * (cells != 1)}, {seeds} seed{'s' * (seeds != 1)}"
    return f"{', '.join(sorted(networks))} on {', '.join(sorted(streams))}: {what}"


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
