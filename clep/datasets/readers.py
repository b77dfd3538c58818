"""Readers of data files, one per format: from a path to arrays of numbers, or a `DataError` that names the file."""

import gzip
import math
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np

from clep.errors import DataError

AGAIN = "Delete it and download it again."
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). {AGAIN}") from error


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of unsigned bytes: the magic number 0 0 8 d, d big-endian sizes, then the bytes."""
    content, magic, header = _read_bytes(path), bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if len(content) < header or not content.startswith(magic):
        got = f"{len(content)} that begin with {content[:4].hex(' ') or 'nothing'}"
        raise DataError(f"{path}: expected {header} bytes or more that begin with {magic.hex(' ')}, got {got}. {AGAIN}")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    if len(content) != header + math.prod(shape):
        raise DataError(f"{path}: {len(content) - header} bytes after the header, which promises {shape}. {AGAIN}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32), the red plane first, and labels (N,) of one pickled batch."""
    content = _read_bytes(path)
    try:
        batch = pickle.loads(content, encoding="latin1")  # written by Python 2
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        raise DataError(f"{path}: not a CIFAR-10 batch ({type(error).__name__}: {error}). {AGAIN}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (3072,) or labels.shape != images.shape[:1]:
        got = f"{images.dtype} data of shape {images.shape} and {labels.shape} labels"
        raise DataError(f"{path}: expected uint8 data of shape (N, 3072) and N labels, got {got}. {AGAIN}")
    return images.reshape(-1, 3, 32, 32), labels


def read_npz(path: Path) -> list[np.ndarray]:
    """The arrays `NPZ_KEYS` of an npz file, each checked by itself, and the types of the samples against each other."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct `stream.path`, or write it with `numpy.savez`.")
    arrays = [_checked(path, key, array) for key, array in _arrays(path).items()]
    if len({array.dtype for array in arrays[::2]}) > 1 and "u" in (arrays[0].dtype.kind, arrays[2].dtype.kind):
        types = f"{arrays[0].dtype} and {arrays[2].dtype}"
        raise DataError(f"{path}: `x_train` and `x_test` are {types}, which would be scaled apart; save one type.")
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
    """The array, checked by itself."""
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
