"""What every reader's samples and labels must satisfy, whatever file they come from."""

from collections.abc import Sequence

import numpy as np

from clep.errors import DataError

_LARGEST_LABEL = 2**31 - 1  # a network has an output for each; far below where int64 wraps around


def checked_samples(x: np.ndarray, source: str, fix: str) -> np.ndarray:
    """The array, if it can hold samples.

    Args:
        x: (N, features), (N, H, W) or (N, C, H, W) numbers.
        source: where it comes from.
        fix: how to repair it.

    Raises:
        DataError: for another shape or type, nothing in it, or numbers that are not finite in float32.
    """
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "buif":
        raise DataError(
            f"{source} must be numbers of shape (N, features), (N, H, W), (N, C, H, W) or (N, H, W, C), got {x.dtype} "
            f"of shape {x.shape}; convert it, for example to uint8 or float32."
        )
    if x.size == 0:
        raise DataError(f"{source}: empty, its shape is {x.shape}. {fix}")
    if x.dtype.kind == "f" and (wrong := np.count_nonzero(~(np.abs(x) <= np.finfo(np.float32).max))):
        raise DataError(f"{source} has {wrong} values that are NaN or infinite in float32; replace them.")
    return x


def checked_labels(y: np.ndarray, source: str, fix: str) -> np.ndarray:
    """The labels as int64, if they number classes.

    Raises:
        DataError: for anything but integers (N,), and for a label that is negative or too large to be a class.
    """
    if y.ndim != 1 or y.dtype.kind not in "iu":
        got = f"{y.dtype} of shape {y.shape}"
        raise DataError(f"{source} must be integers of shape (N,), got {got}; number the classes from 0. {fix}")
    if y.size and y.min() < 0:
        raise DataError(f"{source} has the negative label {y.min()}; number the classes from 0. {fix}")
    if y.size and y.max() > _LARGEST_LABEL:
        raise DataError(f"{source} has the label {y.max()}; number the classes from 0, without gaps. {fix}")
    return y.astype(np.int64)


def check_parts(
    arrays: Sequence[np.ndarray], sources: Sequence[str], fix: str, class_names: Sequence[str] = ()
) -> None:
    """Check that samples and labels, and the two parts, fit together, and that every class can be learned.

    Args:
        arrays: x_train, y_train, x_test, y_test.
        sources: where they come from.
        fix: how to repair them.
        class_names: names of the classes, if they have any.

    Raises:
        DataError: otherwise.
    """
    for x, y, x_source, y_source in zip(arrays[::2], arrays[1::2], sources[::2], sources[1::2], strict=True):
        if len(x) != len(y):
            raise DataError(f"{y_source}: {len(y)} labels, but {len(x)} samples in {x_source}. {fix}")
    x_train, y_train, x_test, y_test = arrays
    if x_train.shape[1:] != x_test.shape[1:]:
        shapes = f"samples of shape {x_test.shape[1:]}, but {x_train.shape[1:]} in {sources[0]}"
        raise DataError(f"{sources[2]}: {shapes}. {fix}")
    found, top = np.unique(y_train), int(max(y_train.max(), y_test.max()))
    if len(found) <= top:
        gaps = np.flatnonzero(found != np.arange(len(found)))
        absent = int(gaps[0]) if len(gaps) else len(found)
        raise DataError(
            f"{sources[1]} has no sample of class {named(absent, class_names)}, but labels go up to {top}; number the "
            f"classes from 0, each with training samples. {fix}"
        )


def check_experiences(
    experiences: Sequence[np.ndarray] | None, labels: Sequence[np.ndarray], sources: Sequence[str], fix: str
) -> None:
    """Check that each sample has an experience, and that they number from 0 without gaps.

    Args:
        experiences: of the samples to learn from and to test on; None if the data do not come in experiences.
        labels: y_train, y_test.
        sources: where the four arrays come from.
        fix: how to repair them.

    Raises:
        DataError: otherwise.
    """
    for numbers, y, source in zip(experiences or (), labels, sources[1::2], strict=False):
        if numbers.shape != y.shape or numbers.dtype.kind not in "iu":
            got = f"{numbers.dtype} of shape {numbers.shape}"
            raise DataError(f"{source}: expected an experience for each of {len(y)} labels, got {got}. {fix}")
        if not np.array_equal(found := np.unique(numbers), np.arange(len(found))):
            listed = ", ".join(map(str, found[:10]))
            raise DataError(f"{source}: number the experiences from 0, without gaps, got {listed}. {fix}")


def named(label: int, class_names: Sequence[str]) -> str:
    """A class in words: its number, and its name if it has one."""
    return f"{label} (`{class_names[label]}`)" if label < len(class_names) else str(label)
