"""The page of a comparison: the answer, the table, figures, and where everything comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

from clep import metric_names
from clep.answer import MEASURES, Answer
from clep.report.about import About, packages
from clep.report.cells import DrawnCell, classes_of
from clep.report.html.pages import heat_map, inline, render
from clep.report.table import COLUMNS, TableColumn

CAPTIONS = {
    "forgetting": (
        "Forgetting",
        "Least first. The bar is what has been lost of what training taught, with its 95 % interval and a dot per "
        "seed. The upright stroke is what has been lost since consolidation, as Avalanche counts it.",
    ),
    "differences_in_forgetting": (
        "Forgetting against {baseline}",
        "Paired by seed: mean, 95 % interval and, below, each seed. A filled marker is a difference that is shown, an "
        "open one is not.",
    ),
    "differences_in_accuracy": (
        "Final accuracy against {baseline}",
        "Paired by seed, as for forgetting.",
    ),
    "accuracy_against_forgetting": (
        "Forgets less, or learned less?",
        "Best is at the top right. Open markers are means, dots are seeds.",
    ),
    "forgetting_over_the_stream": (
        "Forgetting over the stream",
        "Mean over the seeds; the band reaches from the lowest to the highest seed.",
    ),
    "accuracy_over_the_stream": (
        "Accuracy over the stream",
        "On all experiences seen so far. A level line is a cell that is trained once, on everything.",
    ),
    "consolidation": (
        "What each consolidation gave and took",
        "Arrows lead from the accuracy before to that after it: in colour on all earlier experiences, in grey on the "
        "experience just trained.",
    ),
    "accuracy_against_bytes": (
        "What the kept bytes buy",
        "Final accuracy against the bytes kept of the past: samples and statistics.",
    ),
    "seconds": (
        "Seconds",
        "Mean over the seeds. The number is the wall time of a run with all that belongs to it; runs at the same time "
        "slow each other down.",
    ),
}
"""Name of a figure -> its title and what to see in it, in the order of the page. Those not named here follow."""

_NOT_ON_THE_PAGE = {"matrices"}  # which the page writes as tables, so that they can be read on a telephone


def comparison_page(
    answer: Answer,
    cells: Sequence[DrawnCell],
    figures: Mapping[str, str],
    about: About,
    *,
    title: str,
    columns: Sequence[TableColumn] = COLUMNS,
) -> str:
    """The page as HTML.

    Args:
        answer: the ranking.
        cells: the same cells as figures show them.
        figures: name -> SVG document.
        about: what stands at the foot.
        title: what was compared.
        columns: of its table.
    """
    shown = [name for name in (*CAPTIONS, *(n for n in figures if n not in CAPTIONS)) if name in figures]
    return render(
        "comparison.html.j2",
        title=title,
        sentence=answer.sentence,
        notes=answer.notes,
        baseline=answer.baseline,
        columns=columns,
        rows=[_row(cell, columns) for cell in cells],
        figures=[_figure(name, figures[name], answer.baseline) for name in shown if name not in _NOT_ON_THE_PAGE],
        matrices=[_matrix(cell) for cell in cells if cell.after.size],
        orders=_orders(cells),
        about=about,
        packages=packages(),
        measures=MEASURES,
        meanings=_meanings(),
    )


def _row(cell: DrawnCell, columns: Sequence[TableColumn]) -> dict[str, Any]:
    return {
        "number": cell.number,
        "label": cell.label,
        "colour": cell.style.colour,
        "remark": cell.answer.remark,
        "is_baseline": cell.is_baseline,
        "faint": cell.answer.learned_nothing,
        "entries": [(column, column.of_cell(cell.answer)) for column in columns],
    }


def _figure(name: str, svg: str, baseline: str) -> dict[str, str]:
    title, text = CAPTIONS.get(name, (name.replace("_", " ").capitalize(), ""))
    return {"name": name, "title": title.format(baseline=baseline), "text": text, "svg": inline(svg)}


def _matrix(cell: DrawnCell) -> dict[str, Any]:
    return {
        "title": f"{cell.number}  {cell.label}",
        **heat_map(cell.after.mean(axis=0), cell.classes, has_classes=cell.has_classes),
    }


def _orders(cells: Sequence[DrawnCell]) -> dict[int, str]:
    """Seed -> its class order, experience by experience; seeds whose cells differ say so."""
    found: dict[int, set[str]] = {}
    for cell in cells:
        for run in cell.runs:
            if (classes := classes_of(run)) and not run.get("experience_names"):
                order = " | ".join(" ".join(part) for part in classes)
                found.setdefault(run["seed"], set()).add(order)
    return {seed: " or ".join(sorted(orders)) for seed, orders in sorted(found.items())}


def _meanings() -> dict[str, str]:
    """Further metrics of the page -> what they mean."""
    kept = (
        metric_names.METRICS[metric_names.MEMORY_EXEMPLAR_BYTES],
        metric_names.METRICS[metric_names.MEMORY_STATISTICS_BYTES],
    )
    return {
        "kept of the past": "; ".join(metric.meaning for metric in kept) + "; of the first seed, at the end",
        "seconds": "wall time of a run, with its evaluations",
        "updates": "of the weights in training",
        "±, [ ]": "standard deviation over seeds (ddof 1); 95 % t interval of the mean",
        "difference": "this cell minus the baseline, mean of the differences within each seed",
        "shown": "the interval leaves out zero and, from 6 seeds on, an exact two-sided sign-flip test has p < 0.05; "
        "each difference is judged on its own",
        "d": "effect size: mean of the differences over their standard deviation",
        "learned nothing": "the final accuracy is not above chance (exact binomial test, one-sided 95 %)",
    }
