"""The cells of a comparison as its figures show them: ranked, each with a number and with its own look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clep import metrics
from clep.answer import Answer, CellAnswer, Measure
from clep.columns import Run
from clep.report.drawing import Style, styles
from clep.statistics import Summary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DrawnCell:
    """A cell of a figure.

    Attributes:
        number: its rank from 1, which stands for its label where that does not fit.
        answer: its summaries and differences.
        style: how it looks.
        by_chance: accuracy by chance, unless runs say what it is.
        is_baseline: whether the others are compared with it.
    """

    number: int
    answer: CellAnswer
    style: Style
    by_chance: float
    is_baseline: bool = False

    @property
    def label(self) -> str:
        """Its name."""
        return self.answer.label

    @property
    def name(self) -> str:
        """Its label, and that it learned nothing if so."""
        return f"{self.label} (learned nothing)" if self.answer.learned_nothing else self.label

    @property
    def runs(self) -> Sequence[Run]:
        """Those that finished."""
        return self.answer.row.finished

    @property
    def chance(self) -> float:
        """Accuracy of the best constant answer."""
        return next((run["chance"] for run in self.runs if run.get("chance")), self.by_chance)

    def summary(self, measure: Measure) -> Summary:
        """A measure over its seeds."""
        return self.answer.summaries[measure.key]

    @cached_property
    def after(self) -> Array:
        """R of each seed, (seeds, n, m): row i after experience i and its consolidation; NaN if undefined."""
        return _stacked([run.get("accuracy_matrix") for run in self.runs])

    @cached_property
    def before(self) -> Array:
        """R' of each seed, (seeds, n, m): row i before the consolidation of experience i; no rows if not recorded."""
        return _stacked([run.get("accuracy_before_consolidation") for run in self.runs])

    @cached_property
    def sizes(self) -> Array:
        """Samples of each evaluation experience, (m,); equal if not recorded."""
        recorded = next((run["sizes"] for run in self.runs if run.get("sizes")), None)
        return np.asarray(recorded or [1] * self.after.shape[-1], dtype=np.float64)

    @cached_property
    def learned_at(self) -> Sequence[int | None]:
        """As in `clep.streams.Stream`; empty if not recorded: then the stream is class-incremental."""
        return next((run["learned_at"] for run in self.runs if run.get("learned_at")), [])

    @property
    def consolidates(self) -> bool:
        """Whether accuracies before and after consolidation differ anywhere."""
        return self.before.shape == self.after.shape and not np.array_equal(self.before, self.after, equal_nan=True)

    @cached_property
    def seen(self) -> Array:
        """Accuracy on the experiences seen so far, (seeds, n)."""
        rows = [run["accuracy_seen"] for run in self.runs if run.get("accuracy_seen")]
        return np.asarray(rows, dtype=np.float64) if rows else np.empty((0, 0))

    @cached_property
    def forgotten(self) -> Array:
        """Forgetting since training after each experience, (seeds, n); NaN after the first, no rows if not recorded."""
        if self.before.shape != self.after.shape or not self.after.size:
            return np.empty((0, 0))
        pairs = zip(self.before, self.after, strict=True)
        return np.stack([_forgotten(before, after, self.learned_at) for before, after in pairs])

    @cached_property
    def classes(self) -> list[list[str]]:
        """What tells the evaluation experiences apart; empty if seeds differ or if it was not recorded."""
        orders = [classes_of(run) for run in self.runs]
        return list(orders[0]) if orders and all(order == orders[0] for order in orders) else []

    @property
    def has_classes(self) -> bool:
        """Whether `classes` holds classes, rather than names of experiences."""
        return bool(self.classes) and not any(run.get("experience_names") for run in self.runs)


def classes_of(run: Mapping[str, Any]) -> list[list[str]]:
    """What tells the evaluation experiences of a run apart: their own names, or those of their classes, or numbers.

    Args:
        run: a `Result.to_json`.

    Example:
        >>> classes_of({"classes": [[1, 0]], "class_names": [["dog", "cat"]]}), classes_of({"classes": [[1, 0]]})
        ([['dog', 'cat']], [['1', '0']])
        >>> classes_of({"classes": [[0, 1], [0, 1]], "experience_names": ["0 degrees", "90 degrees"]})
        [['0 degrees'], ['90 degrees']]
    """
    if names := run.get("experience_names"):
        return [[name] for name in names]
    found = run.get("class_names") or run.get("classes") or []
    return [[str(name) for name in part] for part in found]


def drawn_cells(answer: Answer, order: Sequence[str], classes: int) -> list[DrawnCell]:
    """The cells of an answer, best first, for figures.

    Args:
        answer: the ranking.
        order: labels of the cells in the order of the comparison, which decides on colours that names leave open.
        classes: number of classes; chance is 1 / `classes` where runs do not say what it is.
    """
    looks = styles(order)
    return [
        DrawnCell(number, cell, looks[cell.label], 1 / classes, cell.label == answer.baseline)
        for number, cell in enumerate(answer.cells, start=1)
    ]


def short(text: str, length: int) -> str:
    """A text of at most so many characters; a longer one loses its middle, since ends tell cells apart.

    Example:
        >>> short("awake_rehearsal+sleep_replay", 15)
        'awake_r…_replay'
    """
    if len(text) <= length:
        return text
    kept = length - 1
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _stacked(matrices: Sequence[Any]) -> Array:
    recorded = [np.asarray(matrix, dtype=np.float64) for matrix in matrices if matrix]
    return np.stack(recorded) if recorded else np.empty((0, 0, 0))


def _forgotten(before: Array, after: Array, at: Sequence[int | None]) -> Array:
    learned = metrics.taught(before, at)
    return np.array([metrics.forgetting_since_training(after, learned, i, at) for i in range(len(after))])
