"""What pipelines return: plain numbers, ready for JSON and for tables."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from clep import frames, tables, tracking
from clep.answer import Answer, answer
from clep.columns import COMPARISON, LEGEND, Column, Row
from clep.config import Config, label
from clep.errors import DivergenceError
from clep.masking import masked
from clep.metrics import none_if_nan

FILE = "result.json"
"""Name of the artifact with the fields of a run's `Result`."""

_INDENT = 27
_MATRIX = "(row: trained up to this experience; column: tested on this one)"


@dataclass(frozen=True)
class Result:
    """One run of a pipeline. Accuracies are fractions; None means undefined.

    Attributes:
        run_id, tracking_uri: where MLflow keeps it; `run_id` is None if the run could not be started.
        status: `FINISHED`, `FAILED` or `KILLED`.
        stream, network: names of the data set and of the network.
        strategies: names of the set of strategies.
        seed: of everything random.
        accuracy: accuracy on all test samples after the last consolidation.
        forgetting_since_training: how much of what training taught is gone at the end, mean of `R'[j][j] - R[-1][j]`
            over the earlier experiences. R' is measured before consolidation.
        forgetting: the same against `R[j][j]`, after consolidation, as Avalanche counts it.
        backward_transfer: `-forgetting`.
        learned_in_training: accuracy on each experience right after training it, mean of `R'[j][j]`.
        learned_accuracy: the same after its consolidation, mean of `R[j][j]`.
        accuracy_matrix: `R[i][j]`, accuracy on experience j after experience i and its consolidation, n x m for n
            experiences to learn and m to measure on.
        accuracy_before_consolidation: `R'[i][j]`, the same before the consolidation of experience i; empty if it was
            not recorded.
        accuracy_seen: accuracy on the samples of the experiences seen so far, after each experience.
        accuracy_epochs: the same after each epoch, through all experiences; empty unless `learner.evaluate_epochs`.
        accuracy_of_means: accuracy on the experiences seen so far if the answer were the nearest class mean of hidden
            states, after each experience; empty if the network has no hidden layer that clep knows, or is not trained.
        accuracy_untrained: accuracy on each experience before any training.
        metrics: the numbers that `metrics` of the configuration asked for, by their names.
        logged: what strategies logged, by name, one value for each experience trained.
        residual: relaxation residual of the last training batch, if the network relaxes.
        unsettled: share of all training batches whose free phase oscillated or diverged.
        seconds: `train`, `consolidation`, `eval`, `total`.
        memory: what was kept of the past at the end: `exemplars`, `exemplar_bytes`, `statistics_bytes`.
        updates: of the weights, in the whole stream.
        sizes: samples of each evaluation experience.
        classes: labels of each evaluation experience.
        class_names: their names; empty if classes have numbers only.
        experience_names: names of the evaluation experiences, if their classes do not tell them apart.
        learned_at: for each evaluation experience, the index of the one that teaches it first; None if each of them
            does.
        undefined: why forgetting, transfer and learned accuracy have no meaning; empty where they have.
        chance: accuracy of the best constant answer on all evaluation samples.
        error: why it failed, if it did.
        cell: name of its cell in a comparison; empty for that of its strategies.

    Example:
        >>> result = Result("abc", "FINISHED", "", "digits", "ep", ["naive"], seed=0, accuracy=0.25)
        >>> result.label, result.failed, result.to_json()["accuracy"]
        ('naive', False, 0.25)
    """

    run_id: str | None
    status: str
    tracking_uri: str
    stream: str
    network: str
    strategies: list[str]
    seed: int
    accuracy: float | None = None
    forgetting_since_training: float | None = None
    forgetting: float | None = None
    backward_transfer: float | None = None
    learned_in_training: float | None = None
    learned_accuracy: float | None = None
    accuracy_matrix: list[list[float | None]] = field(default_factory=list)
    accuracy_before_consolidation: list[list[float | None]] = field(default_factory=list)
    accuracy_seen: list[float | None] = field(default_factory=list)
    accuracy_epochs: list[float | None] = field(default_factory=list)
    accuracy_of_means: list[float | None] = field(default_factory=list)
    accuracy_untrained: list[float | None] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    logged: dict[str, list[float | None]] = field(default_factory=dict)
    residual: float | None = None
    unsettled: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    updates: int | None = None
    sizes: list[int] = field(default_factory=list)
    classes: list[list[int]] = field(default_factory=list)
    class_names: list[list[str]] = field(default_factory=list)
    experience_names: list[str] = field(default_factory=list)
    learned_at: list[int | None] = field(default_factory=list)
    undefined: str = ""
    chance: float | None = None
    error: str | None = None
    cell: str = ""

    @classmethod
    def of(cls, config: Config, uri: str, run_id: str | None, status: str, **numbers: Any) -> "Result":
        """The result of a run of a configuration."""
        return cls(
            run_id=run_id,
            status=status,
            tracking_uri=uri,
            stream=config.stream.name,
            network=config.network.name,
            strategies=list(config.strategies),
            seed=config.seed,
            **numbers,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Result":
        """The result that `to_json` or a stored file describes, of this or an earlier version."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: value for name, value in values.items() if name in names})

    @property
    def failed(self) -> bool:
        """Whether the run did not finish."""
        return self.status != "FINISHED"

    @property
    def diverged(self) -> bool:
        """Whether training ended in a `DivergenceError`."""
        return (self.error or "").startswith(f"{DivergenceError.__name__}:")

    @property
    def matrix(self) -> np.ndarray:
        """`accuracy_matrix` as an array, (n, m); NaN if undefined."""
        return np.array(self.accuracy_matrix, dtype=float)

    @property
    def matrix_before(self) -> np.ndarray:
        """`accuracy_before_consolidation` as an array, (n, m); NaN if undefined."""
        return np.array(self.accuracy_before_consolidation, dtype=float)

    @property
    def label(self) -> str:
        """Name of the cell in tables and plots."""
        return self.cell or label(self.strategies)

    def to_json(self) -> dict[str, Any]:
        """Plain containers, with `label`."""
        more = {"label": self.label, "diverged": self.diverged, "tracking_uri": masked(self.tracking_uri)}
        return asdict(self) | more | {"error": self.error and masked(self.error)}

    def to_text(self) -> str:
        """The lines that `clep run` prints.

        Example:
            >>> result = Result("abc", "FINISHED", "", "digits", "ep", ["naive"], 0, 0.25, seconds={"total": 2.0})
            >>> print(result.to_text())
            strategies                 naive
            seed                       0
            status                     FINISHED
            forgetting since training  -
            forgetting                 -
            accuracy                   0.250
            learned in training        -
            accuracy matrix            (row: trained up to this experience; column: tested on this one)
            seconds                    total 2.0
        """
        why = {"no forgetting": self.undefined} if self.undefined else {}
        facts = self._facts() | why | {"accuracy matrix": _MATRIX}
        rows = ["  ".join(map(_number, row)) for row in self.accuracy_matrix]
        lines = [*(f"{name:{_INDENT}}{fact}" for name, fact in facts.items()), *(" " * _INDENT + row for row in rows)]
        return "\n".join([*lines, _seconds(self.seconds)])

    def to_frame(self) -> Any:
        """A pandas data frame with a line for each pair of experiences: `before` and `after` consolidation, accuracy on
        experience `tested` after experience `trained`."""
        return frames.of_matrices(self.to_json())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = tables.html([], self._facts().items())
        n = len(self.accuracy_matrix)
        titles = ["trained \\ tested", *map(str, range(self.matrix.shape[1]))] if n else []
        lines = [[str(i), *map(_number, row)] for i, row in enumerate(self.accuracy_matrix)]
        return facts + (f"<p>Accuracy {_MATRIX}</p>{tables.html(titles, lines)}" if n else "")

    def _facts(self) -> dict[str, str]:
        """Names of the numbers of a run and their values as text."""
        run = self.to_json()
        told = [(column, column.of_run) for column in COMPARISON if column.title and column.of_run]
        facts = {"strategies": self.label, "seed": str(self.seed), "status": self.status}
        return facts | {column.name.replace("_", " "): column.format(of_run(run)) for column, of_run in told}


@dataclass(frozen=True)
class Comparison:
    """Cells (composed sets of strategies) compared over seeds.

    Attributes:
        parent_run_id, tracking_uri: where MLflow keeps the comparison.
        runs: one per cell and seed, in the order of the cells.
        classes: number of classes; chance is 1 / `classes`.
        seconds: wall time of the comparison: `total`.
        baseline: label of the cell that the others are compared with; empty for the best one.
        columns: more columns of the table, as `clep.columns.chosen` makes them.

    Example:
        >>> from clep.results import Result
        >>> run = Result("abc", "FINISHED", "", "digits", "ep", ["naive"], 0, accuracy=0.25)
        >>> comparison = Comparison("def", "", [run], classes=10, seconds={"total": 2.0})
        >>> comparison.failed, comparison.table[0]["accuracy"]["mean"]
        (False, 0.25)
    """

    parent_run_id: str
    tracking_uri: str
    runs: list[Result]
    classes: int
    seconds: dict[str, float]
    baseline: str = ""
    columns: tuple[Column, ...] = ()

    @cached_property
    def answer(self) -> Answer:
        """Which cell forgets least, by how much, and whether it is real."""
        return answer(self.rows, self.baseline)

    @property
    def failed(self) -> bool:
        """Whether any run did not finish."""
        return any(run.failed for run in self.runs)

    @property
    def failures(self) -> list[str]:
        """Which runs did not finish, and why; one line each."""
        return [f"{run.label}, seed {run.seed}: {run.status}: {run.error}" for run in self.runs if run.failed]

    @property
    def again(self) -> str:
        """The command that runs what failed once more; empty if nothing did."""
        if not self.failed or not self.parent_run_id:
            return ""
        return tracking.resume_command(self.parent_run_id, self.tracking_uri)

    @cached_property
    def rows(self) -> list[Row]:
        """The cells with their runs, as `clep.columns` takes them."""
        labels = dict.fromkeys(run.label for run in self.runs)
        return [Row(name, [run.to_json() for run in self.runs if run.label == name]) for name in labels]

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns of the table."""
        return (*COMPARISON, *self.columns)

    @property
    def table(self) -> list[dict[str, Any]]:
        """For each cell, the columns of the comparison: mean and standard deviation (ddof 1) over the seeds that
        finished, and the first status of a run that did not."""
        return [
            {key: row.runs[0][key] for key in ("label", "strategies", "network", "stream")}
            | {column.name: column.json(row) for column in self.shown}
            for row in self.rows
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "parent_run_id": self.parent_run_id,
            "tracking_uri": masked(self.tracking_uri),
            "classes": self.classes,
            "baseline": self.baseline,
            "runs": [run.to_json() for run in self.runs],
            "table": self.table,
            "answer": self.answer.to_json(),
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """The lines that `clep compare` prints: the answer, the table, least forgetting first, what else to know, the
        seconds of all runs, and the wall time."""
        found = self.answer
        phases = Counter[str]()
        for run in self.runs:
            phases.update(run.seconds)
        table = tables.plain([cell.row for cell in found.cells], self.shown)
        below = (line for note in [*found.notes, LEGEND] for line in _wrapped(note))
        lines = [*_wrapped(found.sentence), "", table, "", *below]
        return "\n".join([*lines, _seconds({**phases, **self.seconds})])

    def to_frame(self) -> Any:
        """A pandas data frame with a line for each run: its cell as `label`, its seed, and every number of it."""
        return frames.of_runs(run.to_json() for run in self.runs)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, the table, least forgetting first, and what else to know."""
        found = self.answer
        columns = [column for column in self.shown if column.title]
        lines = [[cell.label, *(column.text(cell.row) for column in columns)] for cell in found.cells]
        table = tables.html(["cell", *(column.title for column in columns)], lines)
        notes = "".join(f"<p>{escape(note)}</p>" for note in [*found.notes, LEGEND])
        return f"<p><strong>{escape(found.sentence)}</strong></p>{table}{notes}"


def plain_matrix(matrix: np.ndarray) -> list[list[float | None]]:
    """A matrix as nested lists, None for NaN."""
    return [plain_row(row) for row in matrix]


def plain_row(row: Sequence[float] | np.ndarray) -> list[float | None]:
    """A row as a list, None for NaN."""
    return [none_if_nan(float(value)) for value in row]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, tables.WIDTH, break_long_words=False, break_on_hyphens=False)


def _number(value: float | None) -> str:
    return "-".center(5) if value is None else f"{value:.3f}"


def _seconds(phases: Mapping[str, float]) -> str:
    return f"{'seconds':{_INDENT}}{', '.join(f'{phase} {seconds:.1f}' for phase, seconds in phases.items())}"
