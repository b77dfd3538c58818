"""CIFAR-10, from its six pickled batches."""

import pickle
import warnings
from pathlib import Path

import numpy as np

from clep.datasets.arrays import Dataset, dataset_of
from clep.datasets.files import AGAIN, ALL_AGAIN, found, read_bytes
from clep.errors import DataError

CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def cifar10(root: Path, download: bool) -> Dataset:
    """CIFAR-10: 60 000 colour photographs of 32x32, 10 classes (170 MB)."""
    folder = root / "cifar-10-batches-py"
    with warnings.catch_warnings():  # NumPy 2.4.0 - 2.4.4 warns about the official, old pickles
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be")
        files = found(folder, CIFAR10_FILES, root, download, "CIFAR10", "they are in cifar-10-python.tar.gz")
        batches = [read_cifar_batch(file) for file in files]
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:-1], strict=True))
    return dataset_of("cifar10", (x_train, y_train, *batches[-1]), [str(folder)] * 4, ALL_AGAIN)


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the images (N, 3, 32, 32), red plane first, and the labels (N,) of one pickled batch.

    Raises:
        DataError: if the file is anything else.
    """
    content = read_bytes(path)
    try:
        batch = pickle.loads(content, encoding="latin1")  # written by Python 2
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path}: not a CIFAR-10 batch ({type(error).__name__}: {error}). {AGAIN}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (3072,) or labels.shape != images.shape[:1]:
        got = f"{images.dtype} data of shape {images.shape} and {labels.shape} labels"
        raise DataError(f"{path}: expected uint8 data of shape (N, 3072) and N labels, got {got}. {AGAIN}")
    return images.reshape(-1, 3, 32, 32), labels
