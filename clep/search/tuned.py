"""The result of a search."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clep.config import Config, to_yaml
from clep.masking import masked


@dataclass(frozen=True)
class Tuned:
    """Result of a search.

    Attributes:
        accuracy: `{"mean", "std", "n"}` of the best trial over the seeds, on validation data. The best of many
            trials is biased upwards, so report test accuracy on other seeds.
        values: its hyperparameters, by their keys.
        trials: (number, accuracy, values) of all finished trials, best first.
        config: the configuration with these values, evaluated on test data.
        tracking_uri, parent_run_id: where MLflow keeps the trials.
    """

    accuracy: dict[str, Any]
    values: dict[str, Any]
    trials: list[tuple[int, float, dict[str, Any]]]
    config: Config
    tracking_uri: str
    parent_run_id: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers, without the configuration."""
        return {
            "accuracy": self.accuracy,
            "values": self.values,
            "trials": [{"number": n, "accuracy": a, "values": v} for n, a, v in self.trials],
            "tracking_uri": masked(self.tracking_uri),
            "parent_run_id": self.parent_run_id,
        }

    def to_text(self) -> str:
        """The ten best trials and the best values, plus an empty line."""
        lines = [f"{'trial':>5}  accuracy"]
        lines += [f"{number:5d}  {accuracy:.4f}" for number, accuracy, _ in self.trials[:10]]
        return "\n".join([*lines, "", *(f"{key}: {value}" for key, value in self.values.items()), ""])


def write(tuned: Tuned, path: str | Path) -> None:
    """Write the configuration of the best trial; the first line says where it comes from."""
    mean, n = tuned.accuracy["mean"], len(tuned.trials)
    head = f"# Best of {n} trials of `clep tune`, {mean:.3f} on validation data (biased upwards: the best of {n})\n"
    Path(path).write_text(head + to_yaml(tuned.config), encoding="utf-8")
