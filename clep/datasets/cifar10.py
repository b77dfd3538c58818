"""CIFAR-10, from its six pickled batches."""

import hashlib
import io
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clep.datasets.arrays import Raw
from clep.datasets.checking import checked_labels
from clep.datasets.files import AGAIN, ALL_AGAIN, found, read_bytes, reason
from clep.errors import DataError, InputWarning

CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ARRAYS = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # bytes, as Python 3 writes them for Python 2
}
"""What a pickle of arrays names; anything else in a batch would be code that runs."""


def cifar10(*, root: Path, download: bool) -> Raw:
    """CIFAR-10: 60 000 colour photographs of 32 x 32 pixels; downloads 170 MB on first use."""
    folder = root / "cifar-10-batches-py"
    with warnings.catch_warnings():  # NumPy 2.4.0 - 2.4.4 warns about the official, old pickles
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be")
        files = found(folder, CIFAR10_FILES, root, download, "CIFAR10", "they are in cifar-10-python.tar.gz")
        _name_others(files)
        batches = [read_cifar_batch(file) for file in files]
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:-1], strict=True))
    source, test = str(folder), str(files[-1])
    sources = (source, source, test, test)
    names = CLASS_NAMES if y_train.max() < len(CLASS_NAMES) else ()
    return Raw("cifar10", (x_train, y_train, *batches[-1]), sources, ALL_AGAIN, "channels_first", names)


def _name_others(files: Sequence[Path]) -> None:
    """Say which files are not the published ones, before one is opened as a pickle."""
    from torchvision.datasets.cifar import CIFAR10  # takes seconds; needed only here

    known = dict(CIFAR10.train_list + CIFAR10.test_list)
    others = [file for file in files if hashlib.md5(read_bytes(file)).hexdigest() != known[file.name.partition(".")[0]]]
    if others:
        names = ", ".join(file.name for file in others)
        text = f"{others[0].parent}: not as published: {names}; read as data of the same layout. If they should be "
        text += "CIFAR-10, delete them and download them again"
        warnings.warn(text, InputWarning, stacklevel=3)


class _ArraysOnly(pickle.Unpickler):
    """Reads containers, numbers, text and arrays, and runs nothing else that a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return super().find_class(module, name)


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the images (N, 3, 32, 32), red plane first, and the labels (N,) of one pickled batch; no code in it is run.

    Raises:
        DataError: if the file is anything else.
    """
    content = read_bytes(path)
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()  # written by Python 2
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path}: not a CIFAR-10 batch ({type(error).__name__}: {reason(error)}). {AGAIN}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (3072,) or labels.shape != images.shape[:1]:
        got = f"{images.dtype} data of shape {images.shape} and {labels.shape} labels"
        raise DataError(f"{path}: expected uint8 data of shape (N, 3072) and N labels, got {got}. {AGAIN}")
    return images.reshape(-1, 3, 32, 32), checked_labels(labels, f"{path}: `labels`", AGAIN)
