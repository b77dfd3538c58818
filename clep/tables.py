"""Rows and columns as plain text, as Markdown, as HTML and as CSV."""

import csv
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from clep.columns import CSV, ORIGIN, RUN, Column, Row, Run

WIDTH = 79
"""Characters in a line of a terminal that everyone has."""
_NARROWEST = 12  # of a folded label


def plain(rows: Iterable[Row], columns: Sequence[Column], width: int = WIDTH) -> str:
    """A table with aligned columns, the names of the cells first; names that are too long are folded.

    Args:
        rows: the cells.
        columns: those without a title are left out.
        width: of a line, in characters; columns that take more than that stay whole.

    Example:
        >>> from clep.columns import COLUMNS, Row
        >>> rows = [Row("naive", [{"seed": 0, "status": "FINISHED", "accuracy": 0.25}]), Row("joint", [])]
        >>> print(plain(rows, [COLUMNS["worst"]]))
        cell   worst seed
        -----  ----------
        naive  0.250
        joint  -
    """
    titled = [column for column in columns if column.title]
    rows = list(rows)
    entries = [[column.title for column in titled], *([column.text(row) for column in titled] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*entries, strict=True)]
    left = max(_NARROWEST, width - sum(widths) - 2 * len(widths))
    lines: list[list[str]] = []
    for label, numbers in zip(["cell", *(row.label for row in rows)], entries, strict=True):
        first, *rest = folded(label, left)
        lines += [[first, *numbers], *([part] for part in rest)]
    widths.insert(0, max(len(line[0]) for line in lines))
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def folded(label: str, width: int) -> list[str]:
    """The lines of a name: it is broken before `+` and after `,` and spaces, and anywhere if that is not enough.

    Args:
        label: the name.
        width: of a line, in characters.

    Example:
        >>> folded("awake_rehearsal+sleep_replay", 20)
        ['awake_rehearsal', ' +sleep_replay']
    """
    lines = [""]
    for part in re.split(r"(?=\+)|(?<=[, ])", label):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append(" ")
        lines[-1] += part
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], " " + lines[-1][width:]]
    return [line.rstrip() for line in lines]


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, plus an empty line.

    Example:
        >>> markdown(["cell", "accuracy"], [["naive", "0.202"]])
        ['| cell | accuracy |', '|---|---|', '| naive | 0.202 |', '']
    """
    written = [f"| {' | '.join(line)} |" for line in lines]
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *written, ""]


def html(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """An HTML table, for notebooks; whatever the texts hold, it is shown as it is.

    Args:
        titles: of the columns; empty for a table without a head.
        lines: texts.

    Example:
        >>> html(["cell"], [["a<b"]])
        '<table><thead><tr><th>cell</th></tr></thead><tbody><tr><td>a&lt;b</td></tr></tbody></table>'
    """

    def line(tag: str, texts: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"

    head = f"<thead>{line('th', titles)}</thead>" if titles else ""
    return f"<table>{head}<tbody>{''.join(line('td', texts) for texts in lines)}</tbody></table>"


def write_csv(path: str | Path, rows: Iterable[Row], columns: Sequence[Column]) -> None:
    """Write a line per run in full precision: its seed and accuracy, `CSV` of its cell, its own numbers, where it is
    from, and its values of `columns`. `clep.claims.carrying` reads them again.

    A cell without runs gets one line.

    Args:
        path: of the file.
        rows: the cells.
        columns: more columns; those without a value per run are left out.
    """
    of_run = {column.name: column.of_run for column in columns if column.of_run}
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heading(columns))
        for row in rows:
            of_cell = [column.of_cell(row) for column in CSV]
            for run in runs_of(row, columns):
                own = [value(run) for value in RUN.values()]
                origin = [run.get(name, "") for name in ORIGIN]
                more = [value(run) for value in of_run.values()]
                writer.writerow([row.label, run["seed"], run["accuracy"], *of_cell, *own, *origin, *more])
            if not runs_of(row, columns):
                writer.writerow([row.label, "", "", *of_cell, *([""] * (len(RUN) + len(ORIGIN) + len(of_run)))])


def heading(columns: Sequence[Column]) -> list[str]:
    """The first line of a claim's CSV file.

    Args:
        columns: the columns that the claim asks for.

    Example:
        >>> from clep.columns import COLUMNS
        >>> heading([COLUMNS["residual"]])[:3], heading([COLUMNS["residual"]])[-3:]
        (['cell', 'seed', 'accuracy'], ['code', 'settings', 'residual'])
    """
    more = (column.name for column in columns if column.of_run)
    return ["cell", "seed", "accuracy", *(column.name for column in CSV), *RUN, *ORIGIN, *more]


def runs_of(row: Row, columns: Sequence[Column]) -> Sequence[Run]:
    """The runs that a claim's files list: those that finished; with `columns`, which may count the others, all runs."""
    return row.runs if columns else row.finished
