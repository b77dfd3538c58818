"""What results of earlier versions lack, as far as the store has it."""

from dataclasses import replace

import numpy as np

from clep import metric_names, metrics, tracking
from clep.results import Result, plain_matrix


def completed(uri: str, result: Result) -> Result:
    """A result with what is known since training: forgetting, learned accuracy, and R'[j, j] before consolidation.

    Earlier versions recorded the running mean of R'[j, j] only. Where nothing consolidated, R' is R. If neither tells,
    the result stays as it is.

    Args:
        uri: the store.
        result: of any version.
    """
    n = len(result.accuracy_matrix)
    if result.failed or result.accuracy_before_consolidation or not n or result.run_id is None:
        return result
    learned = _learned(uri, result.run_id, result.matrix)
    if learned is None or np.isnan(learned).any():
        return result
    before = np.full((n, n), np.nan)
    np.fill_diagonal(before, learned)
    return replace(
        result,
        accuracy_before_consolidation=plain_matrix(before),
        learned_in_training=metrics.none_if_nan(metrics.learned_in_training(learned)),
        forgetting_since_training=metrics.none_if_nan(metrics.forgetting_since_training(result.matrix, learned)),
    )


def learned_from(means: dict[int, float], n: int) -> np.ndarray | None:
    """R'[j, j] of n experiences from its running mean; None if a step is missing.

    Args:
        means: experience -> mean over the experiences up to it.
        n: number of experiences.

    Example:
        >>> learned_from({0: 1.0, 1: 0.75}, 2).tolist(), learned_from({0: 1.0}, 2)
        ([1.0, 0.5], None)
    """
    if any(j not in means for j in range(n)):
        return None
    sums = np.array([(j + 1) * means[j] for j in range(n)])
    return np.round(np.diff(sums, prepend=0.0), 12)  # no more digits than the means had


def _learned(uri: str, run_id: str, matrix: np.ndarray) -> np.ndarray | None:
    means = tracking.points_of(uri, run_id, metric_names.ACCURACY_LEARNED_BEFORE)
    if (learned := learned_from(means, len(matrix))) is not None:
        return learned
    signs = (metric_names.CONSOLIDATION_ACCURACY_BEFORE, metric_names.SLEEP_ACCURACY_BEFORE)
    consolidated = any(tracking.points_of(uri, run_id, name) for name in signs)
    return None if consolidated else np.diagonal(matrix)
