"""What pipelines return: plain numbers, ready for JSON and for tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from clep import metrics
from clep.config import Config, label
from clep.errors import DivergenceError
from clep.metrics import none_if_nan

SUMMARISED = ("accuracy", "forgetting", "backward_transfer", "learned_accuracy")
"""The fields of a `Result` that a comparison summarises over seeds."""


@dataclass(frozen=True)
class Result:
    """One run of a pipeline. Accuracies are fractions; None means undefined.

    Attributes:
        run_id, tracking_uri: where MLflow has it; `run_id` is None if the run could not be started.
        status: `FINISHED`, `FAILED` or `KILLED`.
        accuracy: accuracy on all test samples after the last consolidation.
        accuracy_matrix: R[i][j], accuracy on experience j after experience i, n x n.
        accuracy_seen: accuracy on the samples of the classes seen so far, after each experience.
        accuracy_epochs: the same after each epoch, through all experiences; empty unless `learner.evaluate_epochs`.
        residual: relaxation residual of the last batch trained on, where the network relaxes.
        unsettled: share of all training batches whose free phase oscillated or diverged.
        seconds: `train`, `consolidation`, `eval`, `total`.
        memory: what was kept of the past in the end: `exemplars`, `exemplar_bytes`, `statistics_bytes`.
        error: why it failed.
    """

    run_id: str | None
    status: str
    tracking_uri: str
    stream: str
    network: str
    strategies: list[str]
    seed: int
    accuracy: float | None = None
    forgetting: float | None = None
    backward_transfer: float | None = None
    learned_accuracy: float | None = None
    accuracy_matrix: list[list[float | None]] = field(default_factory=list)
    accuracy_seen: list[float | None] = field(default_factory=list)
    accuracy_epochs: list[float | None] = field(default_factory=list)
    residual: float | None = None
    unsettled: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def of(cls, config: Config, uri: str, run_id: str | None, status: str, **numbers: Any) -> "Result":
        """A run of a configuration and what came of it."""
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

    @property
    def diverged(self) -> bool:
        """Whether training ended in a `DivergenceError`."""
        return (self.error or "").startswith(f"{DivergenceError.__name__}:")

    @property
    def matrix(self) -> np.ndarray:
        """`accuracy_matrix` as an array, (n, n) with NaN where undefined."""
        return np.array(self.accuracy_matrix, dtype=float)

    @property
    def label(self) -> str:
        """Name of the cell in tables and plots."""
        return label(self.strategies)

    def to_json(self) -> dict[str, Any]:
        """Plain containers, with `label`."""
        return asdict(self) | {"label": self.label, "diverged": self.diverged}


@dataclass(frozen=True)
class Comparison:
    """Cells (composed sets of strategies) compared over seeds.

    Attributes:
        parent_run_id, tracking_uri: where MLflow has the comparison.
        runs: one per cell and seed, in the order of the cells.
        classes: number of classes, whose inverse is chance.
        seconds: wall time of the comparison: `total`.
    """

    parent_run_id: str
    tracking_uri: str
    runs: list[Result]
    classes: int
    seconds: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether any run did not finish."""
        return any(run.status != "FINISHED" for run in self.runs)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row per cell: mean and standard deviation (ddof 1) over the seeds that finished, and the worst status."""
        rows = []
        for name in dict.fromkeys(run.label for run in self.runs):
            runs = [run for run in self.runs if run.label == name]
            rows.append(
                {
                    "label": name,
                    "strategies": runs[0].strategies,
                    "network": runs[0].network,
                    "stream": runs[0].stream,
                    "status": next((run.status for run in runs if run.status != "FINISHED"), "FINISHED"),
                }
                | {key: metrics.mean_std(getattr(run, key) for run in runs) for key in SUMMARISED}
            )
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "parent_run_id": self.parent_run_id,
            "tracking_uri": self.tracking_uri,
            "runs": [run.to_json() for run in self.runs],
            "table": self.table,
            "seconds": self.seconds,
        }


def plain_matrix(matrix: np.ndarray) -> list[list[float | None]]:
    """A matrix as nested lists, None for NaN."""
    return [plain_row(row) for row in matrix]


def plain_row(row: Sequence[float] | np.ndarray) -> list[float | None]:
    """A row as a list, None for NaN."""
    return [none_if_nan(float(value)) for value in row]
