"""Your own arrays, in one npz file."""

import zipfile
from pathlib import Path

import numpy as np

from clep.datasets.arrays import Raw
from clep.datasets.files import reason, regular
from clep.errors import DataError

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


def npz(*, path: Path) -> Raw:
    """Your own arrays: stream.path=FILE.npz with x_train, y_train, x_test, y_test."""
    x_train, y_train, x_test, y_test = read_npz(path)
    a, b, c, d = (f"{path}: `{key}`" for key in NPZ_KEYS)
    return Raw("npz", (x_train, y_train, x_test, y_test), (a, b, c, d), "Save arrays that fit together.")


def read_npz(path: Path) -> list[np.ndarray]:
    """Read the arrays `NPZ_KEYS` of an npz file; no code in it is run.

    Raises:
        DataError: if the file or an array is missing, or cannot be read.
    """
    regular(path, "correct the path, or write it with `numpy.savez`.")
    arrays, key = {}, "the index"
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: not an npz file, or cut short; write it with `numpy.savez`.")
        with np.load(path, allow_pickle=False) as content:
            if missing := [key for key in NPZ_KEYS if key not in content]:
                has = ", ".join(content) or "nothing"
                raise DataError(f"{path}: no `{'`, `'.join(missing)}`; add it. The file has: {has}.")
            for key in NPZ_KEYS:
                arrays[key] = np.asarray(content[key])
    except DataError:
        raise
    except Exception as error:  # a damaged file can raise anything: compression, encryption, sizes beyond memory
        raise DataError(f"{path}: `{key}` cannot be read ({reason(error)}); save plain arrays of numbers.") from error
    return list(arrays.values())
