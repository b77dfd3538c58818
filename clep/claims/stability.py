"""Stability of training over seeds: what a claim's `columns` may ask for.

Results are the mappings of `Result.to_json`, those of one cell, a seed each. A run that ended in a `DivergenceError` is
a result here, not a failure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clep.config import Config
from clep.errors import ConfigError
from clep.metrics import mean_std
from clep.schema import unknown

LAST_EPOCHS = 5

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A number of a cell.

    Attributes:
        title: its heading.
        of_cell: its value from the cell's results, None if undefined.
        text: how it is written.
        of_run: its value in one run, where it has one.
        higher_is_better: of two values.
        of_epochs: whether it needs the accuracy after every epoch.
    """

    title: str
    of_cell: Callable[[Sequence[Run]], float | None]
    text: str = ".4f"
    of_run: Callable[[Run], float | None] | None = None
    higher_is_better: bool = False
    of_epochs: bool = False


def std(runs: Sequence[Run]) -> float | None:
    """Standard deviation (ddof 1) of the final accuracy over the seeds that finished; None for fewer than two."""
    return mean_std(run["accuracy"] for run in runs)["std"]


def worst(runs: Sequence[Run]) -> float | None:
    """Lowest final accuracy of a seed; a run that diverged has an accuracy of 0."""
    accuracies = [0.0 if run.get("diverged") else run["accuracy"] for run in runs]
    return min((value for value in accuracies if value is not None), default=None)


def std_last_epochs(run: Run) -> float | None:
    """Standard deviation (ddof 1) of the accuracy after each of the last `LAST_EPOCHS` epochs, or of all if fewer.

    It holds the trend of a run that is still improving, so it means stability only where training has levelled out.
    """
    return mean_std((run.get("accuracy_epochs") or [])[-LAST_EPOCHS:])["std"]


def residual(run: Run) -> float | None:
    """Largest distance of a unit from its target at the end of the free phase (T1), on the last batch trained on."""
    return run.get("residual")


def unsettled(run: Run) -> float | None:
    """Share of the training batches whose free phase oscillated or diverged (`train/unsettled`)."""
    return run.get("unsettled")


def oscillated(run: Run) -> float | None:
    """1 if the free phase of any training batch did not settle, else 0; None for a run that did not finish."""
    share = unsettled(run)
    return None if share is None else float(share > 0.0)


def diverged(run: Run) -> float:
    """1 if training ended in a `DivergenceError`, else 0."""
    return float(bool(run.get("diverged")))


def _mean(of_run: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], float | None]:
    return lambda runs: mean_std(of_run(run) for run in runs)["mean"]


def _total(of_run: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], float | None]:
    return lambda runs: float(sum(of_run(run) or 0.0 for run in runs)) if runs else None


COLUMNS = {
    "std": Column("std over seeds", std),
    "worst": Column("worst seed", worst, ".3f", higher_is_better=True),
    "std_last_epochs": Column(
        f"std, last {LAST_EPOCHS} epochs", _mean(std_last_epochs), of_run=std_last_epochs, of_epochs=True
    ),
    "diverged": Column("diverged runs", _total(diverged), ".0f", diverged),
    "oscillated": Column("unsettled runs", _total(oscillated), ".0f", oscillated),
    "unsettled": Column("unsettled free phases", _mean(unsettled), ".3f", unsettled),
    "residual": Column("residual at T1", _mean(residual), ".1e", residual),
}
"""Name in a claim -> column."""


def check_columns(names: Sequence[str], where: str) -> None:
    """Refuse columns that there are not.

    Raises:
        ConfigError: with the nearest name.
    """
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(f"{where}: columns: {unknown(str(name), COLUMNS, 'column')}")


def check_epochs(names: Sequence[str], config: Config) -> None:
    """Refuse columns of a run that will not measure what they need.

    Raises:
        ConfigError: with the key to set.
    """
    for name in names:
        if COLUMNS[name].of_epochs and not config.learner.evaluate_epochs:
            raise ConfigError(
                f"learner.evaluate_epochs: the column `{name}` needs the accuracy after every epoch; set it to true."
            )
