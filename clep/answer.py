"""The answer of a comparison: which cell forgets least, by how much, and whether it is real.

It ranks the cells and says so in one sentence, which the terminal, the page and MLflow all show. Data come as the rows
of `clep.columns`; see `clep.statistics` for the intervals and the tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from clep.checks import one_of
from clep.columns import Row, bytes_kept, of
from clep.statistics import Paired, Summary, above_chance, paired, seeds_in_words, summary


class Measure(NamedTuple):
    """A number of a run that cells are compared by.

    Attributes:
        key: its field in `Result`.
        title: its name for readers.
        meaning: its definition in one line.
        better: which direction is better.
    """

    key: str
    title: str
    meaning: str
    better: Literal["lower", "higher"]


SINCE_TRAINING = Measure(
    "forgetting_since_training",
    "forgetting since training",
    "mean over the earlier experiences of the accuracy right after training minus that at the end",
    "lower",
)
AFTER_CONSOLIDATION = Measure(
    "forgetting",
    "forgetting since consolidation",
    "the same, but starting after the experience's own consolidation, as Avalanche counts it",
    "lower",
)
ACCURACY = Measure("accuracy", "final accuracy", "share of all evaluation samples that are right at the end", "higher")
LEARNED = Measure(
    "learned_in_training",
    "learned accuracy",
    "mean accuracy on each experience right after training it, before consolidation",
    "higher",
)
MEASURES = (SINCE_TRAINING, AFTER_CONSOLIDATION, ACCURACY, LEARNED)
"""What every cell of a comparison is told by, the headline first."""


@dataclass(frozen=True)
class CellAnswer:
    """What is known of one cell.

    Attributes:
        row: the cell and its runs.
        learned_nothing: whether its final accuracy is not above chance.
        summaries: key of a measure -> its summary over the seeds.
        differences: key of a measure -> this cell minus the baseline, paired by seed; empty for the baseline.
    """

    row: Row
    learned_nothing: bool
    summaries: Mapping[str, Summary]
    differences: Mapping[str, Paired]

    @property
    def label(self) -> str:
        """Name of the cell."""
        return self.row.label

    @property
    def trains(self) -> bool:
        """Whether weights of a network were trained in any of its runs."""
        return not self.row.finished or any(run.get("updates") != 0 for run in self.row.finished)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that finished."""
        return tuple(sorted(self.row.by_seed))

    @property
    def bytes_kept(self) -> int | None:
        """Bytes of exemplars and statistics kept of the past, in the first seed."""
        return bytes_kept(self.row)

    @property
    def seconds(self) -> float | None:
        """Mean wall time of a run."""
        return self.row.over_seeds(lambda run: (run.get("seconds") or {}).get("total"))["mean"]

    @property
    def updates(self) -> float | None:
        """Mean number of updates of the weights in a run."""
        return self.row.over_seeds(of("updates"))["mean"]

    @property
    def remark(self) -> str:
        """What to know before using its numbers: it trains no network, learned nothing, or lacks runs; else empty."""
        told = ("" if self.trains else "trains no network", "learned nothing" if self.learned_nothing else "")
        return ", ".join(filter(None, (*told, self.row.remark)))

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        differences = {
            key: {**asdict(found), "n": found.n, "effect": found.effect, "verdict": found.verdict}
            for key, found in self.differences.items()
        }
        return {
            "label": self.label,
            "learned_nothing": self.learned_nothing,
            "remark": self.remark,
            **{key: {**asdict(found), "n": found.n} for key, found in self.summaries.items()},
            "differences": differences,
            "bytes": self.bytes_kept,
            "seconds": self.seconds,
            "updates": self.updates,
        }


@dataclass(frozen=True)
class Answer:
    """The cells of a comparison, ranked, and what follows from them.

    Attributes:
        cells: least forgetting first. Cells without forgetting (such as joint training) and those that train no
            network follow, then those that learned nothing, then those without a run.
        headline: the measure that they are ranked by.
        baseline: label of the cell that the others are compared with; empty without any.
        chosen: whether the user chose the baseline.
    """

    cells: tuple[CellAnswer, ...]
    headline: Measure
    baseline: str
    chosen: bool

    def __getitem__(self, label: str) -> CellAnswer:
        return next(cell for cell in self.cells if cell.label == label)

    @cached_property
    def ranked(self) -> tuple[CellAnswer, ...]:
        """The cells whose network learned something and can forget, least forgetting first."""
        return tuple(cell for cell in self.cells if _can_win(cell, self.headline))

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if not self.ranked:
            return _no_answer(self.cells)
        best, key = self.ranked[0], self.headline.key
        found = f"{best.label} forgets least: {_number(best.summaries[key].mean)}"
        others = [cell for cell in self.ranked[1:] if not self.chosen or cell.label == self.baseline]
        if not others:
            accuracy = f"at a final accuracy of {_number(best.summaries[ACCURACY.key].mean)}"
            alone = "no other cell that learned something can forget" if len(self.ranked) == 1 else "it is the baseline"
            return f"{found}, {accuracy}; {alone}."
        return f"{found}, {_compared(best, others[0], self.headline)}."

    @property
    def notes(self) -> list[str]:
        """What else a reader must know: how the best is in other respects, and what is missing."""
        return [*self._most_accurate(), *self._controls(), *self._shortcomings()]

    def to_json(self) -> dict[str, Any]:
        """Plain containers: the sentence, the notes, and for each cell its numbers over seeds and its differences."""
        return {
            "sentence": self.sentence,
            "notes": self.notes,
            "headline": self.headline.key,
            "baseline": self.baseline,
            "cells": [cell.to_json() for cell in self.cells],
        }

    def _most_accurate(self) -> list[str]:
        if not self.ranked:
            return []
        first = max(self.ranked, key=lambda cell: cell.summaries[ACCURACY.key].mean or 0.0)
        if first is self.ranked[0]:
            return []
        accuracy, own = (cell.summaries[ACCURACY.key].mean for cell in (first, self.ranked[0]))
        return [f"{first.label} is the most accurate in the end: {_number(accuracy)} against {_number(own)}."]

    def _controls(self) -> list[str]:
        """What can be had without training a network, and by chance."""
        found = [cell for cell in self.cells if not cell.trains]
        if not found or not self.ranked:
            return []
        told = [f"{cell.label} {_number(cell.summaries[ACCURACY.key].mean)}" for cell in found]
        chance = next((run["chance"] for cell in found for run in cell.row.finished if run.get("chance")), None)
        by_chance = "" if chance is None else f"; chance is {_number(chance)}"
        return [f"Final accuracy of what trains no network, and is not ranked: {', '.join(told)}{by_chance}."]

    def _shortcomings(self) -> list[str]:
        notes = []
        if nothing := [cell.label for cell in self.cells if cell.learned_nothing]:
            notes.append(f"Learned nothing (final accuracy not above chance): {', '.join(nothing)}.")
        for cell in self.cells:
            if cell.row.remark:
                notes.append(f"{cell.label}: {cell.row.remark}.")
        counts = {cell.label: cell.seeds for cell in self.cells if cell.seeds}
        if len(set(counts.values())) > 1:
            said = "; ".join(f"{label}: {seeds_in_words(seeds)}" for label, seeds in counts.items())
            notes.append(f"The cells have different seeds, and differences count only shared ones ({said}).")
        if self.headline is not SINCE_TRAINING and self.ranked:
            notes.append("Forgetting since training was not recorded; cells are ranked by that since consolidation.")
        elif unknown := [cell.label for cell in self.cells if _not_recorded(cell)]:
            notes.append(f"Forgetting since training was not recorded, so there is no rank: {', '.join(unknown)}.")
        return notes


def answer(rows: Sequence[Row], baseline: str = "") -> Answer:
    """Rank the cells of a comparison and compare each with the baseline.

    Args:
        rows: the cells with their runs.
        baseline: label of the cell to compare with; by default the best one.

    Raises:
        ConfigError: for a baseline that is no cell, with the nearest label.

    Example:
        >>> from clep.columns import Row
        >>> def runs(*forgotten):
        ...     values = {"status": "FINISHED", "accuracy": 0.5, "sizes": [50, 50], "chance": 0.1, "seconds": {}}
        ...     return [values | {"seed": i, "forgetting_since_training": value} for i, value in enumerate(forgotten)]
        >>> rows = [Row("naive", runs(0.9, 0.92, 0.91)), Row("sleep", runs(0.3, 0.31, 0.29))]
        >>> print(answer(rows).sentence)
        sleep forgets least: 0.300, 0.610 less than naive [+0.585, +0.635], lower in 3 of 3 seeds (0, 1, 2): shown \
with 3 seeds.
    """
    if baseline:
        one_of("baseline", baseline, [row.label for row in rows], "cell")
    cells = [_cell(row) for row in rows]
    kinds = (SINCE_TRAINING, AFTER_CONSOLIDATION)
    headline = next((kind for kind in kinds if any(_can_win(cell, kind) for cell in cells)), SINCE_TRAINING)
    cells.sort(key=lambda cell: _rank(cell, headline))
    against = baseline or next((cell.label for cell in cells if cell.seeds and not cell.learned_nothing), "")
    base = next((cell for cell in cells if cell.label == against), None)
    compared = (cell if base in (None, cell) else _against(cell, base) for cell in cells)
    return Answer(tuple(compared), headline, against, bool(baseline))


def _cell(row: Row) -> CellAnswer:
    summaries = {m.key: summary({run["seed"]: run.get(m.key) for run in row.finished}) for m in MEASURES}
    return CellAnswer(row, _learned_nothing(row, summaries[ACCURACY.key]), summaries, {})


def _against(cell: CellAnswer, base: CellAnswer) -> CellAnswer:
    values = {m.key: (cell.summaries[m.key].by_seed, base.summaries[m.key].by_seed) for m in MEASURES}
    differences = {key: paired(own, its) for key, (own, its) in values.items()}
    return CellAnswer(cell.row, cell.learned_nothing, cell.summaries, differences)


def _learned_nothing(row: Row, accuracy: Summary) -> bool:
    run = next((run for run in row.finished if run.get("sizes") and run.get("chance")), None)
    if run is None or accuracy.mean is None:  # made by a version that did not record how many samples there were
        return False
    return not above_chance(accuracy.mean, sum(run["sizes"]), run["chance"])


def _not_recorded(cell: CellAnswer) -> bool:
    return cell.summaries[SINCE_TRAINING.key].mean is None and cell.summaries[AFTER_CONSOLIDATION.key].mean is not None


def _can_win(cell: CellAnswer, headline: Measure) -> bool:
    return cell.trains and not cell.learned_nothing and cell.summaries[headline.key].mean is not None


def _rank(cell: CellAnswer, headline: Measure) -> tuple[int, float]:
    if _can_win(cell, headline):
        return 0, cell.summaries[headline.key].mean or 0.0
    accuracy = cell.summaries[ACCURACY.key].mean
    return (3, 0.0) if accuracy is None else (1 + cell.learned_nothing, -accuracy)


def _compared(best: CellAnswer, other: CellAnswer, measure: Measure) -> str:
    """How much less the best cell forgets than another, in words."""
    found = paired(other.summaries[measure.key].by_seed, best.summaries[measure.key].by_seed)
    if found.mean is None:
        return f"but shares no seed with {other.label}"
    interval = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    seeds = "seed" if found.n == 1 else "seeds"
    p = "" if found.p is None else f", p = {found.p:.2g}"
    agreeing = f"lower in {found.agreeing('higher')} of {found.n} {seeds} ({seeds_in_words(found.by_seed)}){p}"
    return f"{found.mean:.3f} less than {other.label}{interval}, {agreeing}: {found.verdict}"


def _no_answer(cells: Sequence[CellAnswer]) -> str:
    if not any(cell.seeds for cell in cells):
        return "No run finished, so there is no answer."
    if all(cell.learned_nothing for cell in cells if cell.seeds):
        return "No cell learned anything: no final accuracy is above chance."
    best = next(cell for cell in cells if cell.seeds)
    accuracy = _number(best.summaries[ACCURACY.key].mean)
    return f"No cell has forgetting to compare; {best.label} is the most accurate: {accuracy}."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
