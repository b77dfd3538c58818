"""The files of a comparison, and how they get into MLflow."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from clep import report, tables, tracking
from clep.report import About
from clep.report.table import as_csv, as_latex, as_markdown, columns_with
from clep.results import Comparison, Result


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
        parent.describe(description)


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
    texts["comparison.txt"] = tables.plain(comparison.rows, comparison.shown)
    answer = comparison.answer
    columns = columns_with(comparison.columns)
    texts |= {"table.csv": as_csv(answer.cells, comparison.columns), "table.md": as_markdown(answer.cells, columns)}
    texts |= {"table.tex": as_latex(answer.cells, columns)}
    cells = report.drawn_cells(answer, [row.label for row in comparison.rows], comparison.classes)
    figures = _write_figures(cells, folder / "figures")
    title = _title(comparison)
    texts["report.html"] = report.comparison_page(
        answer, cells, figures, about or About(), title=title, columns=columns
    )
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


def _finished(comparison: Comparison) -> list[Result]:
    return [run for run in comparison.runs if not run.failed]
