"""Your own arrays, in one npz file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from clep.datasets.arrays import Dataset, dataset_of
from clep.errors import DataError

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


def npz(path: Path) -> Dataset:
    """Your own arrays: an npz file with x_train, y_train, x_test, y_test (unsigned integers are scaled)."""
    arrays = read_npz(path)
    dataset = dataset_of("npz", arrays, [f"{path}: `{key}`" for key in NPZ_KEYS], "Save arrays that fit together.")
    labels = enumerate([*dataset.y_train.unique().tolist(), dataset.classes])
    if (absent := next((label for label, found in labels if label != found), None)) is not None:
        found = f"no sample of class {absent}, but labels go up to {dataset.classes - 1}"
        raise DataError(f"{path}: `y_train` has {found}; number the classes from 0, each with training samples.")
    return dataset


def read_npz(path: Path) -> list[np.ndarray]:
    """Read the arrays `NPZ_KEYS` of an npz file.

    Raises:
        DataError: if the file or an array is missing, an array has the wrong type or shape, or training and test
            samples have different types.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct the path, or write it with `numpy.savez`.")
    arrays = [_checked(path, key, array) for key, array in _arrays(path).items()]
    if len({array.dtype for array in arrays[::2]}) > 1 and "u" in (arrays[0].dtype.kind, arrays[2].dtype.kind):
        types = f"{arrays[0].dtype} and {arrays[2].dtype}"
        raise DataError(
            f"{path}: `x_train` and `x_test` are {types}, which would be scaled differently; save one type."
        )
    return arrays


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an npz file, or cut short; write it with `numpy.savez`.")
    arrays, key = {}, "the index"
    try:
        with np.load(path, allow_pickle=False) as content:
            if missing := [key for key in NPZ_KEYS if key not in content]:
                has = ", ".join(content) or "nothing"
                raise DataError(f"{path}: no `{'`, `'.join(missing)}`; add it. The file has: {has}.")
            for key in NPZ_KEYS:
                arrays[key] = np.asarray(content[key])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: `{key}` cannot be read ({error}); save plain arrays of numbers.") from error
    return arrays


def _checked(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """The array, if its type, shape and values suit samples or labels."""
    if key.startswith("y"):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            got = f"{array.dtype} of shape {array.shape}"
            raise DataError(f"{path}: `{key}` must be integers of shape (N,), got {got}; save class numbers from 0.")
        if array.size and array.min() < 0:
            raise DataError(f"{path}: `{key}` has the negative label {array.min()}; number the classes from 0.")
        return array
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "uf":
        raise DataError(
            f"{path}: `{key}` must be unsigned integers or floats of shape (N, features), (N, H, W) or (N, C, H, W), "
            f"got {array.dtype} of shape {array.shape}; convert it, for example to uint8 or float32."
        )
    if array.dtype.kind == "f" and (wrong := np.count_nonzero(~(np.abs(array) <= np.finfo(np.float32).max))):
        raise DataError(f"{path}: `{key}` has {wrong} values that are NaN or infinite in float32; replace them.")
    return array
