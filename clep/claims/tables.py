"""The table of a claim: its rows, their comparisons, and both as Markdown, as JSON and as files."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clep import report, tables
from clep.cells import axis_of
from clep.claims.claim import Claim
from clep.claims.grid_tables import grid_lines
from clep.claims.verdicts import Verdict, verdict
from clep.columns import CLAIM, ORIGIN, RUN, TOLD, Column, Row, Run, mean, of
from clep.comparison import Cell


@dataclass(frozen=True)
class Table:
    """The result of `clep reproduce`.

    Attributes:
        rows: one per cell, as plain containers; see `as_json`.
        markdown: the table and the verdicts.
        files: where they were written.
        tracking_uri: where MLflow keeps the runs.
        failed: whether any run failed.
        parent_run_id: the run in MLflow that all runs belong to.
    """

    rows: list[dict[str, Any]]
    markdown: str
    files: list[Path]
    tracking_uri: str
    failed: bool
    parent_run_id: str = ""

    def to_json(self) -> list[dict[str, Any]]:
        """The rows as plain containers."""
        return self.rows

    def to_text(self) -> str:
        """The table as Markdown, and where it was written."""
        return f"{self.markdown}\nWritten to {', '.join(map(str, self.files))}"


def judge(claim: Claim, accuracies: Mapping[str, Mapping[int, float]]) -> list[Verdict]:
    """The comparisons of a claim's cells; those of a grid's alternatives are in its tables.

    Args:
        claim: the claim, with its comparisons.
        accuracies: label -> seed -> final accuracy.

    Example:
        >>> from clep.claims import Claim
        >>> claim = Claim("mine", compare=(("sleep", "naive"),))
        >>> judge(claim, {"sleep": {0: 0.5}, "naive": {0: 0.25}})[0].words
        'sleep - naive = +0.250 (one seed)'
    """
    pairs = [pair for pair in claim.compare if axis_of(claim.grid, pair) is None]
    return [verdict(a, b, accuracies.get(a, {}), accuracies.get(b, {})) for a, b in pairs]


def rows_of(claim: Claim, runs: Mapping[str, Sequence[Run]]) -> list[Row]:
    """A row per cell of a claim.

    Args:
        claim: the claim.
        runs: label -> the runs of its seeds; a cell that was not run may be missing.
    """
    return [
        Row(
            cell.label,
            runs.get(cell.label, ()),
            published=cell.published,
            source=cell.source,
            note=cell.note,
            at=cell.at,
        )
        for cell in claim.cells
    ]


def as_markdown(claim: Claim, rows: Sequence[Row], measured: str) -> str:
    """The table of a claim with its verdicts.

    Args:
        claim: the claim.
        rows: from `rows_of`.
        measured: how the numbers were obtained: command, commit, data.
    """
    notes = [row for row in rows if claim.grid and row.note]
    lines = [
        f"# {claim.name}",
        "",
        claim.claim,
        "",
        *_table([row for row in rows if not row.at and row not in notes], [*CLAIM, *claim.columns]),
        *(f"- {row.label}: {row.remark}\n" for row in notes),
        *(grid_lines(claim.grid, rows, claim.columns, claim.compare) if claim.grid else ()),
        *(f"- {found.words}" for found in judge(claim, {row.label: row.by_seed for row in rows})),
        *(f"- {promise}" for promise in _promises(claim.cells, rows)),
        "",
        "Final accuracy over all classes, mean ± standard deviation over seeds; differences are paired by seed, with "
        f"their 95 % t interval. {measured}",
        "",
    ]
    return "\n".join(lines)


def as_json(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """A row as plain containers.

    Args:
        row: the row.
        columns: the columns that the claim asks for; their values are under `columns` and, for each run, under `runs`.
            There a run also says its code and settings, and whether it was carried from the table before.
    """
    of_run = {column.name: column.of_run for column in columns if column.of_run}
    numbers = {column.name: column.of_cell(row) for column in CLAIM if column.name not in ("accuracy", "each_seed")}
    return {
        "label": row.label,
        "by_seed": row.by_seed,
        **row.over_seeds(of("accuracy")),
        **numbers,
        "source": row.source,
        "remark": row.remark,
        "at": list(row.at),
        "columns": {column.name: column.of_cell(row) for column in columns},
        "runs": [
            {"seed": run["seed"], "accuracy": run["accuracy"]}
            | {name: value(run) for name, value in (RUN | of_run).items()}
            | {name: run.get(name, "") for name in ORIGIN}
            | {"carried": TOLD in run}
            for run in tables.runs_of(row, columns)
        ],
    }


def write_files(
    claim: Claim, name: str, rows: Sequence[Row], markdown: str, folder: Path, figures: Path
) -> tuple[list[Path], list[Path]]:
    """Write the table as Markdown and CSV, and the figures. An interrupt leaves a table that is there whole.

    Args:
        claim: the claim.
        name: name of the files, without ending.
        rows: from `rows_of`.
        markdown: from `as_markdown`.
        folder: folder of the tables; created if missing.
        figures: folder of the figures; it must exist.

    Returns:
        The paths of the tables and of the figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.md", folder / f"{name}.csv"]
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as drafts:  # on the same disk, to be moved at once
        markdown_draft, csv_draft = (Path(drafts) / path.name for path in written)
        markdown_draft.write_text(markdown, encoding="utf-8")
        tables.write_csv(csv_draft, rows, claim.columns)
        csv_draft.replace(written[1])
        markdown_draft.replace(written[0])
    numbers = [as_json(row, claim.columns) for row in rows]
    axes = [axis.name for axis in claim.grid]
    return written, list(report.draw("claim", figures, prefix=name, rows=numbers, axes=axes))


def _promises(cells: Sequence[Cell], rows: Sequence[Row]) -> Iterator[str]:
    """The accuracy that the claim promised for a cell, and whether it was reached."""
    for cell, row in zip(cells, rows, strict=True):
        measured = mean(of("accuracy"))(row)
        if cell.at_least is not None and measured is not None:
            judged = "reached" if measured >= cell.at_least else "**not reached**"
            yield f"{cell.label}: promised at least {cell.at_least:.3f}, measured {measured:.3f}: {judged}"


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """A row per cell; nothing without rows."""
    if not rows:
        return []
    lines = [[_label(row), *(column.text(row) for column in columns)] for row in rows]
    return tables.markdown(["cell", *(column.title for column in columns)], lines)


def _label(row: Row) -> str:
    return f"{row.label} ({row.remark})" if row.remark and row.by_seed else row.label
