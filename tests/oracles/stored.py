"""Results of runs as a store holds them, made up: any number of cells, seeds and experiences, in no time."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from clep.config import Config, label
from clep.results import Comparison, Result

DEFAULT_CELLS = tuple(map(label, Config.default("cells")))


def result(label: str, seed: int, *, keeps: float = 0.5, experiences: int = 5, labels: int = 10, **fields) -> Result:
    """A run of a cell that keeps a share of what it learned at each further experience.

    Args:
        label: of the cell. Strategies that consolidate are known by their names; `joint` has the last row alone.
        seed: of its noise.
        keeps: in [0, 1]; 0 forgets everything at the next experience.
        experiences, labels: of the stream; an experience has `labels / experiences` of them.
        fields: replace those of the result.
    """
    twin = "naive" if label == "neuronal_adaptation" else label  # adaptation alone changes nothing on digits
    rng = np.random.default_rng([seed, *twin.encode()])
    n, names = experiences, label.split("+")
    age = np.subtract.outer(np.arange(n), np.arange(n))  # of experience j after experience i
    noise = rng.uniform(-0.03, 0.03, (n, n))
    before = np.where(age >= 0, np.clip(0.96 * keeps ** np.maximum(age, 0) + noise, 0, 1), 0.02)
    sleeps = any("sleep" in name for name in names)
    after = np.where(age > 0, before + 0.6 * (0.9 - before), np.where(age == 0, before - 0.07, before))
    after = np.clip(after, 0, 1) if sleeps else before
    sizes, order = [36] * n, np.random.default_rng(seed).permutation(labels)  # all cells of a seed share it
    seen = [float(after[i, : i + 1].mean()) for i in range(n)]
    numbers = {
        "accuracy": seen[-1],
        "accuracy_seen": seen,
        "accuracy_matrix": after.tolist(),
        "accuracy_before_consolidation": before.tolist(),
        "learned_accuracy": float(np.diagonal(after).mean()),
        "learned_in_training": float(np.diagonal(before).mean()),
    }
    if n > 1:
        numbers["forgetting"] = float((np.diagonal(after) - after[-1])[:-1].mean())
        numbers["forgetting_since_training"] = float((np.diagonal(before) - after[-1])[:-1].mean())
        numbers["backward_transfer"] = -numbers["forgetting"]
    if "joint" in names:
        blank = [[None] * n for _ in range(n - 1)]
        numbers = {
            "accuracy": seen[-1],
            "accuracy_seen": [*[None] * (n - 1), seen[-1]],
            "accuracy_matrix": [*blank, after[-1].tolist()],
            "accuracy_before_consolidation": [*blank, before[-1].tolist()],
        }
    seconds = {"train": 1.0 + rng.uniform(), "consolidation": 0.4 * sleeps, "eval": 0.1}
    kept = 13000 if any("rehearsal" in name for name in names) else 0
    return Result(
        run_id=f"{crc32(label.encode()):016x}{seed:016x}",
        status="FINISHED",
        tracking_uri="sqlite:////tmp/mlflow.db",
        stream="digits",
        network="ep",
        strategies=names,
        seed=seed,
        **{
            **numbers,
            "seconds": seconds | {"total": sum(seconds.values())},
            "memory": {"exemplars": kept // 256, "exemplar_bytes": kept, "statistics_bytes": 296 * sleeps},
            "sizes": sizes,
            "classes": [sorted(map(int, part)) for part in np.array_split(order, n)],
            "updates": 240 * n,
            "chance": 1 / labels,
            **fields,
        },
    )


def failed(label: str, seed: int, error: str = "DivergenceError: the states are not finite") -> Result:
    """A run that ended in an error."""
    names = label.split("+")
    return Result("0" * 32, "FAILED", "sqlite:////tmp/mlflow.db", "digits", "ep", names, seed, error=error)


def comparison(
    cells: Sequence[str] = DEFAULT_CELLS, seeds: Sequence[int] = (0, 1, 2), more: Sequence[Result] = (), **options
) -> Comparison:
    """Cells over seeds; `naive`, and `neuronal_adaptation` alone, forget everything and coincide, others keep more
    the later they stand.

    Args:
        cells: their labels.
        seeds: of every cell.
        more: further runs, after those.
        options: for `result`.
    """
    keeps = np.linspace(0.7, 0.98, len(cells))
    share = {c: 0.0 if c in ("naive", "neuronal_adaptation") else float(k) for c, k in zip(cells, keeps, strict=True)}
    runs = [result(cell, seed, keeps=share[cell], **options) for cell in cells for seed in seeds]
    return Comparison("f" * 32, "sqlite:////tmp/mlflow.db", [*runs, *more], options.get("labels", 10), {"total": 61.0})
