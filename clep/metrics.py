"""Continual-learning metrics: pure functions of the accuracy matrix, and the table of metrics that a run records.

`R` has shape (n, n): `R[i, j]` is the accuracy on experience `j` after training on experience `i` and all of `i`'s
consolidation; NaN means not measured (joint training has only its last row; see also `stream.evaluate`).
`learned[j]` is the accuracy on experience `j` right after training it, before consolidation. Every function reads row
`i` (default: the last), counts the experiences `j <= i` as seen, and returns NaN if the metric is undefined: no
experience that another row measures is left out. One without samples to measure on is NaN in every row and counts
nowhere.

A stream can have other experiences to measure on than to learn from, and `R` is then (n, m). `learned_at[j]` is the
training experience that teaches evaluation experience `j` first, in ascending order; j itself without `learned_at`.
It then takes the place of j in `R[j, j]` and in `j <= i`. It is None for an experience that each training experience
teaches: that is seen from the start, and has nothing to learn, to forget or to transfer.

References:
    Chaudhry et al., 2018. Riemannian Walk for Incremental Learning: Understanding Forgetting and Intransigence.
    Lopez-Paz & Ranzato, 2017. Gradient Episodic Memory for Continual Learning.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clep import metric_names

Array = NDArray[np.float64]
LearnedAt = Sequence[int | None] | None
"""For each evaluation experience, the training experience that teaches it first; None or empty: its own index."""

_NONE_IN_PARTICULAR = -1


def average_accuracy(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Mean over the seen experiences, `mean_{j<=i} R[i, j]`: Lopez-Paz & Ranzato's ACC when `i` is the last one.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> average_accuracy([[1.0, 0.0], [0.5, 1.0]])
        0.75
    """
    R, i, at = _matrix(R, i, learned_at)
    return _mean(R[i, _seen(R, i, at)])


def seen_accuracy(R: ArrayLike, sizes: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Accuracy on all test samples of the seen experiences, `sum_{j<=i} sizes[j] R[i, j] / sum_{j<=i} sizes[j]`.

    Args:
        R: the accuracy matrix, (n, n).
        sizes: number of test samples of each experience, (n,).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> seen_accuracy([[1.0, 0.0], [0.5, 1.0]], sizes=[10, 30])
        0.875
    """
    R, i, _ = _matrix(R, i, learned_at)
    return pooled_accuracy(R[i], sizes, i, learned_at)


def pooled_accuracy(row: ArrayLike, sizes: ArrayLike, i: int, learned_at: LearnedAt = None) -> float:
    """Accuracy on all samples of the experiences up to `i`, of one row of accuracies.

    Args:
        row: accuracy on each experience, (n,).
        sizes: number of samples of each experience, (n,).
        i: the last experience to count.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> pooled_accuracy([0.5, float("nan"), 1.0], sizes=[10, 0, 30], i=2)
        0.875
    """
    seen = _at(learned_at, len(np.asarray(row))) <= i
    values, weights = (np.asarray(part, dtype=np.float64)[seen] for part in (row, sizes))
    measured = weights > 0.0
    return float(values[measured] @ weights[measured] / weights.sum()) if measured.any() else math.nan


def learned_accuracy(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Mean accuracy on each experience right after training it, `mean_{j<=i} R[j, j]`.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> learned_accuracy([[1.0, 0.0], [0.5, 0.5]])
        0.75
    """
    R, i, at = _matrix(R, i, learned_at)
    return _mean(taught(R, learned_at)[_seen(R, i, at, taught=True)])


def forgetting_per_experience(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> Array:
    """How much each earlier experience lost since it was trained, `R[j, j] - R[i, j]` for `j < i`; negative is a gain.

    This is Avalanche's forgetting.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Returns:
        `i` values, none after the first experience.

    Example:
        >>> forgetting_per_experience([[1.0, 0.0], [0.25, 1.0]])
        array([0.75])
    """
    return forgetting_since_training_per_experience(R, taught(R, learned_at), i, learned_at)


def forgetting(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Mean loss of the earlier experiences, `mean_{j<i} (R[j, j] - R[i, j])`; NaN after the first experience.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> forgetting([[1.0, 0.0], [0.25, 1.0]])
        0.75
    """
    return forgetting_since_training(R, taught(R, learned_at), i, learned_at)


def forgetting_since_training_per_experience(
    R: ArrayLike, learned: ArrayLike, i: int = -1, learned_at: LearnedAt = None
) -> Array:
    """How much of what training taught about each earlier experience is gone, `learned[j] - R[i, j]` for `j < i`.

    Avalanche's forgetting starts from `R[j, j]`, after consolidation: what the first consolidation of an experience
    takes away does not count there. Here it does.

    Args:
        R: the accuracy matrix, (n, n).
        learned: accuracy on each experience right after training it, before consolidation, (n,).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Returns:
        `i` values, none after the first experience.

    Example:
        >>> forgetting_since_training_per_experience([[0.75, 0.0], [0.5, 1.0]], learned=[1.0, 1.0])
        array([0.5])
    """
    R, i, at = _matrix(R, i, learned_at)
    earlier = at < i
    lost: Array = np.asarray(learned, dtype=np.float64)[earlier] - R[i, earlier]
    return lost


def forgetting_since_training(R: ArrayLike, learned: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Mean loss of what training taught, `mean_{j<i} (learned[j] - R[i, j])`; NaN after the first experience.

    Args:
        R: the accuracy matrix, (n, n).
        learned: accuracy on each experience right after training it, before consolidation, (n,).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> forgetting_since_training([[0.75, 0.0], [0.5, 1.0]], learned=[1.0, 1.0])
        0.5
    """
    R, i, at = _matrix(R, i, learned_at)
    values = forgetting_since_training_per_experience(R, learned, i, learned_at)
    return _mean(values[_seen(R, i, at, taught=True, before=True)])


def learned_in_training(
    learned: ArrayLike, i: int = -1, sizes: ArrayLike | None = None, learned_at: LearnedAt = None
) -> float:
    """Mean accuracy on each experience right after training it, before consolidation, `mean_{j<=i} learned[j]`.

    Args:
        learned: these accuracies, (n,).
        i: the experience just trained.
        sizes: number of test samples of each experience, (n,), to leave out those without; None if all have some.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> learned_in_training([1.0, 0.5])
        0.75
    """
    values = np.asarray(learned, dtype=np.float64)
    at = _at(learned_at, len(values))
    measured = np.full(len(values), True) if sizes is None else np.asarray(sizes) > 0
    if not learned_at:
        i = range(len(values))[i]
    seen = measured & (at != _NONE_IN_PARTICULAR) & ((at <= i) | (i < 0))
    return _mean(values[seen])


def max_forgetting(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Forgetting against the best accuracy so far, `mean_{j<i} (max_{l<i} R[l, j] - R[i, j])` (Chaudhry et al., 2018).

    It is never below `forgetting`, since the maximum runs over `R[j, j]` too; NaN after the first experience.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> max_forgetting([[0.5, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.5, 1.0]])
        0.5
    """
    R, i, at = _matrix(R, i, learned_at)
    if i == 0:
        return math.nan
    return _mean((R[:i].max(axis=0) - R[i])[_seen(R, i, at, taught=True, before=True)])


def backward_transfer(R: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Influence of later training on earlier experiences, `mean_{j<i} (R[i, j] - R[j, j])` (Lopez-Paz & Ranzato, 2017).

    It is `-forgetting`; NaN after the first experience.

    Args:
        R: the accuracy matrix, (n, n).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> backward_transfer([[1.0, 0.0], [0.25, 1.0]])
        -0.75
    """
    return -forgetting(R, i, learned_at)


def forward_transfer(R: ArrayLike, untrained: ArrayLike, i: int = -1, learned_at: LearnedAt = None) -> float:
    """Influence on experiences still to come, `mean_{1<=j<=i} (R[j-1, j] - untrained[j])` (Lopez-Paz & Ranzato, 2017).

    NaN after the first experience.

    Args:
        R: the accuracy matrix, (n, n).
        untrained: accuracies before any training, (n,).
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> forward_transfer([[1.0, 0.25], [0.5, 1.0]], untrained=[0.0, 0.125])
        0.125
    """
    R, i, at = _matrix(R, i, learned_at)
    before = np.asarray(untrained, dtype=np.float64)
    seen = _seen(R, i, at)
    to_come = seen[at[seen] > 0]
    return _mean(R[at[to_come] - 1, to_come] - before[to_come])


def taught(R: ArrayLike, learned_at: LearnedAt = None) -> Array:
    """Accuracy on each experience right after the training experience that teaches it, `R[j, j]`.

    Args:
        R: the accuracy matrix, (n, m).
        learned_at: which training experience teaches each evaluation experience; see the module.

    Returns:
        (m,); NaN for an experience that each training experience teaches.

    Example:
        >>> taught([[1.0, 0.0], [0.25, 0.75]]).tolist()
        [1.0, 0.75]
        >>> taught([[0.5, 0.0], [0.75, 0.0], [0.75, 1.0]], learned_at=[0, 2]).tolist()
        [0.5, 1.0]
    """
    R, _, at = _matrix(R, -1, learned_at)
    return np.where(at == _NONE_IN_PARTICULAR, np.nan, R[at, np.arange(len(at))])


class Accuracies(Protocol):
    """The accuracies behind a run's metrics.

    Attributes:
        matrix: R, (n, m).
        untrained: accuracies before any training, (m,).
        sizes: number of evaluation samples of each experience, (m,).
        learned_at: which training experience teaches each of them, (m,).
    """

    matrix: Array
    untrained: Array
    sizes: Array
    learned_at: tuple[int | None, ...]

    @property
    def learned(self) -> Array:
        """Accuracy on each experience right after training it, before consolidation, (m,)."""
        ...


AFTER_EACH: dict[str, Callable[[Accuracies, int], float]] = {
    metric_names.ACCURACY_SEEN: lambda a, i: seen_accuracy(a.matrix, a.sizes, i, a.learned_at),
    metric_names.ACCURACY_AVERAGE: lambda a, i: average_accuracy(a.matrix, i, a.learned_at),
    metric_names.ACCURACY_LEARNED: lambda a, i: learned_accuracy(a.matrix, i, a.learned_at),
    metric_names.ACCURACY_LEARNED_BEFORE: lambda a, i: learned_in_training(a.learned, i, a.sizes, a.learned_at),
    metric_names.FORGETTING_AVERAGE: lambda a, i: forgetting(a.matrix, i, a.learned_at),
    metric_names.FORGETTING_SINCE_TRAINING_AVERAGE: lambda a, i: forgetting_since_training(
        a.matrix, a.learned, i, a.learned_at
    ),
    metric_names.FORGETTING_MAX_AVERAGE: lambda a, i: max_forgetting(a.matrix, i, a.learned_at),
    metric_names.BACKWARD_TRANSFER: lambda a, i: backward_transfer(a.matrix, i, a.learned_at),
    metric_names.FORWARD_TRANSFER: lambda a, i: forward_transfer(a.matrix, a.untrained, i, a.learned_at),
}
"""Name -> value after experience `i`. A new row also registers its name, by `metric_names.metric(name, meaning)`."""

OF_EXPERIENCES: dict[str, Callable[[Accuracies, int], Iterable[float]]] = {
    metric_names.ACCURACY_EXPERIENCE: lambda a, i: a.matrix[i],
    metric_names.FORGETTING_EXPERIENCE: lambda a, i: forgetting_per_experience(a.matrix, i, a.learned_at),
    metric_names.FORGETTING_SINCE_TRAINING_EXPERIENCE: lambda a, i: forgetting_since_training_per_experience(
        a.matrix, a.learned, i, a.learned_at
    ),
}
"""Name with the field `experience` -> values for the experiences 0, 1, ... after experience `i`."""


def after_experience(accuracies: Accuracies, i: int) -> dict[str, float]:
    """Every metric of the two tables after experience `i`, by name; NaN if undefined.

    Args:
        accuracies: those of the stream so far.
        i: the experience just trained.
        learned_at: which training experience teaches each evaluation experience; see the module.

    Example:
        >>> import numpy as np
        >>> from clep.training import TrainingResult
        >>> R = np.array([[1.0, 0.0], [0.25, 1.0]])
        >>> so_far = TrainingResult(R, before=R, untrained=np.zeros(2), sizes=np.array([10, 10]))
        >>> after_experience(so_far, 1)["forgetting/average"]
        0.75
    """
    values = {name: function(accuracies, i) for name, function in AFTER_EACH.items()}
    for name, function in OF_EXPERIENCES.items():
        values |= {name.format(experience=j): float(value) for j, value in enumerate(function(accuracies, i))}
    return values


def mean_std(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Mean and sample standard deviation (ddof 1) of the defined values.

    Args:
        values: None and NaN are dropped.

    Returns:
        `{"mean", "std", "n"}`: `std` is None for fewer than two values, `mean` is None for none.

    Example:
        >>> mean_std([0.5, 1.0, None])["mean"]
        0.75
    """
    defined = np.array([v for v in values if v is not None and not math.isnan(v)], dtype=np.float64)
    n = len(defined)
    return {
        "mean": float(defined.mean()) if n > 0 else None,
        "std": float(defined.std(ddof=1)) if n > 1 else None,
        "n": n,
    }


def none_if_nan(value: float) -> float | None:
    """The value as a Python float, or None for NaN: JSON has no NaN.

    Args:
        value: a number or NaN.

    Example:
        >>> none_if_nan(0.5), none_if_nan(float("nan"))
        (0.5, None)
    """
    return None if math.isnan(value) else float(value)


def _matrix(R: ArrayLike, i: int, learned_at: LearnedAt) -> tuple[Array, int, NDArray[np.int64]]:
    """Check the shape of `R`, resolve a negative `i`, and say where each evaluation experience is taught."""
    R = np.asarray(R, dtype=np.float64)
    if R.ndim != 2 or len(R) == 0 or (not learned_at and R.shape[1] > R.shape[0]):
        raise ValueError(f"R: expected an accuracy matrix of shape (n, n) with n >= 1, got shape {R.shape}")
    return R, range(len(R))[i], _at(learned_at, R.shape[1])


def _at(learned_at: LearnedAt, n: int) -> NDArray[np.int64]:
    """`learned_at` as an array, (n,)."""
    if not learned_at:
        return np.arange(n)
    if len(learned_at) != n:
        raise ValueError(f"learned_at: expected an entry for each of {n} evaluation experiences, got {len(learned_at)}")
    return np.array([_NONE_IN_PARTICULAR if index is None else index for index in learned_at])


def _seen(R: Array, i: int, at: NDArray[np.int64], *, taught: bool = False, before: bool = False) -> NDArray[np.intp]:
    """The experiences seen by `i` that have samples; `before`: without `i`'s; `taught`: by one in particular.

    One with samples is measured in row `i`, or else in the row where it was seen first: then what row `i` lacks makes a
    mean NaN.
    """
    last, first = i - before, 0 if taught else _NONE_IN_PARTICULAR
    measured = ~np.isnan(R[i]) | ~np.isnan(R[np.maximum(at, 0), np.arange(len(at))])
    return np.flatnonzero((first <= at) & (at <= last) & measured)


def _mean(values: Array) -> float:
    """The mean, or NaN of nothing, without NumPy's warning."""
    return float(values.mean()) if len(values) else math.nan
