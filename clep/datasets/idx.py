"""MNIST and its relatives, from their four idx files."""

import math
from pathlib import Path

import numpy as np

from clep.datasets.arrays import Raw
from clep.datasets.files import AGAIN, ALL_AGAIN, found, read_bytes
from clep.errors import DataError

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def mnist(*, root: Path, download: bool) -> Raw:
    """MNIST: 70 000 handwritten digits of 28 x 28 pixels; downloads 12 MB on first use."""
    return _dataset("mnist", "MNIST", root, download)


def fashion_mnist(*, root: Path, download: bool) -> Raw:
    """Fashion-MNIST: 70 000 pieces of clothing, 28 x 28 pixels; downloads 31 MB on first use."""
    return _dataset("fashion_mnist", "FashionMNIST", root, download)


def kmnist(*, root: Path, download: bool) -> Raw:
    """Kuzushiji-MNIST: 70 000 cursive Japanese characters, 28 x 28 pixels; downloads 21 MB on first use."""
    return _dataset("kmnist", "KMNIST", root, download)


def _dataset(name: str, class_name: str, root: Path, download: bool) -> Raw:
    files = found(root / class_name / "raw", IDX_FILES, root, download, class_name, "`.gz` is fine")
    arrays = [read_idx(file, dimensions) for file, dimensions in zip(files, (3, 1, 3, 1), strict=True)]
    x_train, y_train, x_test, y_test = arrays
    a, b, c, d = map(str, files)
    return Raw(name, (x_train, y_train, x_test, y_test), (a, b, c, d), ALL_AGAIN)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an idx file of unsigned bytes: the magic number 0 0 8 d, d big-endian sizes, then the bytes.

    Raises:
        DataError: if the file is anything else, or cut short.
    """
    content, magic, header = read_bytes(path), bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if len(content) < header or not content.startswith(magic):
        got = f"{len(content)} that begin with {content[:4].hex(' ') or 'nothing'}"
        raise DataError(f"{path}: expected {header} bytes or more that begin with {magic.hex(' ')}, got {got}. {AGAIN}")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    if len(content) != header + math.prod(shape):
        raise DataError(f"{path}: {len(content) - header} bytes after the header, which promises {shape}. {AGAIN}")
    if 0 in shape:  # beside which the other sizes can be too large for an array
        raise DataError(f"{path}: it is empty: its header promises {shape}. {AGAIN}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
