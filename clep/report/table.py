"""The table of a comparison as readers take it away: as CSV, Markdown and LaTeX, and entry by entry for the page."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clep import tables
from clep.answer import ACCURACY, AFTER_CONSOLIDATION, LEARNED, MEASURES, SINCE_TRAINING, CellAnswer, Measure
from clep.columns import Column, in_bytes
from clep.statistics import FEWEST_FOR_A_TEST, Paired, Summary, seeds_in_words

_OF_SUMMARY = ("mean", "sd", "low", "high", "n")
_OF_DIFFERENCE = ("mean", "low", "high", "n", "effect", "p", "verdict")
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Entry:
    """What a table says of a cell in one column.

    Attributes:
        text: the main number.
        value: to sort by; None sorts last.
        details: more lines, e.g. the interval.
    """

    text: str
    value: float | None
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableColumn:
    """A column of the table.

    Attributes:
        name: in CSV files.
        title: for readers.
        of_cell: its entry for a cell.
    """

    name: str
    title: str
    of_cell: Callable[[CellAnswer], Entry]


def _measured(measure: Measure, *, with_difference: bool = True) -> TableColumn:
    def entry(cell: CellAnswer) -> Entry:
        found, other = cell.summaries[measure.key], cell.differences.get(measure.key)
        if found.mean is None:
            return Entry("-", None)
        text = f"{found.mean:.3f}" + ("" if found.sd is None else f" ± {found.sd:.3f}")
        each = " ".join(f"{value:.3f}" for value in found.by_seed.values())
        details = [_interval(found, ".3f"), each if 1 < found.n < FEWEST_FOR_A_TEST else ""]
        if with_difference and other is not None and other.mean is not None:
            details += [f"difference {_difference(other)} {_interval(other, '+.3f')}".rstrip(), _judged(other)]
        return Entry(_signed(text), found.mean, tuple(_signed(detail) for detail in details if detail))

    return TableColumn(measure.key, measure.title, entry)


def _against_baseline(cell: CellAnswer) -> Entry:
    found = cell.differences.get(SINCE_TRAINING.key)
    if found is None or found.mean is None:
        return Entry("-", None)
    details = [_interval(found, "+.3f"), _judged(found)]
    return Entry(_signed(_difference(found)), found.mean, tuple(filter(None, details)))


COLUMNS = (
    _measured(SINCE_TRAINING, with_difference=False),
    TableColumn("difference", "against the baseline", _against_baseline),
    _measured(AFTER_CONSOLIDATION),
    _measured(ACCURACY),
    _measured(LEARNED),
    TableColumn("n", "seeds", lambda cell: Entry(str(len(cell.seeds)), len(cell.seeds), (seeds_in_words(cell.seeds),))),
    TableColumn("bytes", "kept of the past", lambda cell: Entry(in_bytes(cell.bytes_kept), cell.bytes_kept)),
    TableColumn("seconds", "seconds", lambda cell: _plain(cell.seconds, ".3g")),
    TableColumn("updates", "updates", lambda cell: _plain(cell.updates, ".0f")),
)
"""The columns of the page's table, after rank and name; the files hold the same numbers."""


def columns_with(more: Sequence[Column]) -> tuple[TableColumn, ...]:
    """The columns of the table, with those that a comparison asks for.

    Args:
        more: these.
    """
    return (*COLUMNS, *(TableColumn(column.name, column.title, _entry_of(column)) for column in more))


def _entry_of(column: Column) -> Callable[[CellAnswer], Entry]:
    return lambda cell: Entry(_signed(column.text(cell.row).replace("+-", " ± ")), column.of_cell(cell.row))


def as_csv(cells: Sequence[CellAnswer], more: Sequence[Column] = ()) -> str:
    """A line per cell in full precision.

    Args:
        cells: best first.
        more: columns at its end.
    """
    titles = ["rank", "cell", "remark", "seeds"]
    for measure in MEASURES:
        titles += [f"{measure.key}_{part}" for part in _OF_SUMMARY]
        titles += [f"{measure.key}_difference_{part}" for part in _OF_DIFFERENCE]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*titles, "bytes", "seconds", "updates", *(column.name for column in more)])
    for rank, cell in enumerate(cells, start=1):
        line: list[object] = [rank, cell.label, cell.remark, " ".join(map(str, cell.seeds))]
        for measure in MEASURES:
            found, other = cell.summaries[measure.key], cell.differences.get(measure.key)
            line += [getattr(found, part) for part in _OF_SUMMARY]
            line += [getattr(other, part, "") for part in _OF_DIFFERENCE]  # the baseline has none to itself
        writer.writerow([*line, cell.bytes_kept, cell.seconds, cell.updates, *(c.of_cell(cell.row) for c in more)])
    return text.getvalue()


def as_markdown(cells: Sequence[CellAnswer], columns: Sequence[TableColumn] = COLUMNS) -> str:
    """A table whose entries hold mean, standard deviation and interval.

    Args:
        cells: best first.
        columns: of the table.
    """
    titles, *lines = [[_markdown(part) for part in line] for line in _lines(cells, columns)]
    return "\n".join(tables.markdown(titles, lines))


def as_latex(cells: Sequence[CellAnswer], columns: Sequence[TableColumn] = COLUMNS) -> str:
    r"""The same as a `tabular` for the package booktabs, ready to `\input`.

    Args:
        cells: best first.
        columns: of the table.
    """
    titles, *lines = [[_latex(part) for part in line] for line in _lines(cells, columns)]
    rows = [" & ".join(line) + r" \\" for line in lines]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{rl{'r' * (len(titles) - 2)}}}",
            r"\toprule",
            " & ".join(titles) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _lines(cells: Sequence[CellAnswer], columns: Sequence[TableColumn]) -> list[list[str]]:
    """Titles, then a line per cell."""
    lines = [["rank", "cell", *(column.title for column in columns)]]
    for rank, cell in enumerate(cells, start=1):
        name = f"{cell.label} ({cell.remark})" if cell.remark else cell.label
        entries = [column.of_cell(cell) for column in columns]
        lines.append([str(rank), name, *(" ".join([entry.text, *entry.details[:1]]) for entry in entries)])
    return lines


def _interval(found: Summary, form: str) -> str:
    if found.low is None or found.high is None:
        return ""
    return _signed(f"[{found.low:{form}}, {found.high:{form}}]")


def _difference(found: Paired) -> str:
    return f"{found.mean:+.3f}"


def _judged(found: Paired) -> str:
    """The verdict, with the effect size and the p of the test where they are defined."""
    parts = [found.verdict]
    if found.effect is not None:
        parts.append(_equal("d", _signed(f"{found.effect:+.1f}")))
    if found.p is not None:
        parts.append(_equal("p", f"{found.p:.2g}"))
    return ", ".join(parts)


def _equal(name: str, value: str) -> str:
    """`name = value`, not to be broken into lines."""
    return "\N{NO-BREAK SPACE}".join((name, "=", value))


def _signed(text: str) -> str:
    """A number with a minus as wide as its plus."""
    return text.replace("-", _MINUS)


def _plain(value: float | None, form: str) -> Entry:
    return Entry("-" if value is None else format(value, form), value)


def _markdown(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in text).replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "\N{NO-BREAK SPACE}": "~",
    _MINUS: r"$-$",
    "\n": " ",
} | {c: f"\\{c}" for c in "&%$#_{}"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
