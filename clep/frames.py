"""Results as pandas data frames in tidy form: a line for each run, or for each pair of experiences of one run.

MLflow brings pandas; it is imported when a frame is asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PLAIN = (str, int, float, bool, type(None))


def of_runs(runs: Iterable[Mapping[str, Any]]) -> Any:
    """A data frame with a line for each run: every number of it, and those of `seconds` and `memory` by dotted names.

    Args:
        runs: as `Result.to_json` gives them.

    Example:
        >>> runs = [{"label": "naive", "seed": 0, "accuracy": 0.25, "seconds": {"total": 2.0}, "sizes": [50, 50]}]
        >>> of_runs(runs).to_dict("records")
        [{'label': 'naive', 'seed': 0, 'accuracy': 0.25, 'seconds.total': 2.0}]
    """
    import pandas

    return pandas.DataFrame([_line(run) for run in runs])


def of_matrices(run: Mapping[str, Any]) -> Any:
    """A data frame with a line for each pair of experiences: the accuracy on experience `tested` after experience
    `trained`, before its consolidation and after it; NaN where it was not measured or not recorded.

    Args:
        run: as `Result.to_json` gives it.

    Example:
        >>> run = {"label": "naive", "seed": 3, "accuracy_matrix": [[0.75]], "accuracy_before_consolidation": [[1.0]]}
        >>> of_matrices(run).to_dict("records")
        [{'label': 'naive', 'seed': 3, 'trained': 0, 'tested': 0, 'before': 1.0, 'after': 0.75}]
    """
    import pandas

    after, before = run["accuracy_matrix"], run["accuracy_before_consolidation"]
    lines = [
        {
            "label": run["label"],
            "seed": run["seed"],
            "trained": i,
            "tested": j,
            "before": _at(before, i, j),
            "after": value,
        }
        for i, row in enumerate(after)
        for j, value in enumerate(row)
    ]
    columns = ["label", "seed", "trained", "tested", "before", "after"]
    return pandas.DataFrame(lines, columns=columns).astype({"before": float, "after": float})


def _at(matrix: Sequence[Sequence[float | None]], i: int, j: int) -> float | None:
    return matrix[i][j] if matrix else None


def _line(run: Mapping[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for key, value in run.items():
        if isinstance(value, Mapping):
            line |= {f"{key}.{name}": number for name, number in value.items()}
        elif key == "strategies":
            line[key] = "+".join(value)
        elif isinstance(value, _PLAIN):
            line[key] = value
    return line
