"""Files of data sets in their published formats, written by hand, and comparisons of what was loaded."""

import gzip
import struct
from pathlib import Path

import numpy as np
import torch

from clep.datasets.cifar10 import CIFAR10_FILES
from clep.datasets.idx import IDX_FILES

IMAGES = {
    part: np.random.default_rng(n).integers(0, 256, (n, 4, 5), np.uint8) for part, n in (("train", 6), ("t10k", 3))
}
LABELS = {"train": np.array([0, 1, 2, 0, 1, 2], np.uint8), "t10k": np.array([2, 0, 1], np.uint8)}
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_FILES


def idx(array: np.ndarray) -> bytes:
    """The idx format, from its description: 0, 0, type 8, number of dimensions, big-endian sizes, bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(root: Path, folder: str = "MNIST", compress: bool = False) -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name in IDX_FILES:
        content = idx((IMAGES if "images" in name else LABELS)[name.split("-")[0]])
        (raw / f"{name}.gz").write_bytes(gzip.compress(content)) if compress else (raw / name).write_bytes(content)
    return raw


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A pickle as Python 2 wrote CIFAR-10's: byte strings for text, integers for dtype's flags, old module names."""
    shape = b"(K\x01M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb\x89"
    content = b"T" + struct.pack("<i", data.size) + data.tobytes() + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + shape + dtype + content
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def write_cifar(root: Path) -> Path:
    """Batch b has two images, of labels b and 0 (the test batch: 5 and 0); one pixel of each plane is marked."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(CIFAR10_FILES, start=1):
        data = np.full((2, 3072), number, np.uint8)
        data[0, 2 * 32 + 7] = 255  # the red plane comes first, each plane row by row: row 2, column 7
        data[0, 1024 + 3 * 32 + 1] = 200  # green: row 3, column 1
        data[0, 2048 + 31 * 32 + 30] = 100  # blue: row 31, column 30
        (folder / name).write_bytes(python2_pickle(data, [min(number, 5), 0]))
    return folder


def write_npz(folder: Path, **changes) -> Path:
    """A file that loads, but for the `changes`; None leaves an array out."""
    arrays = {
        "x_train": np.array([[0.0, 0.5], [1.0, 0.25], [0.5, 0.5], [0.0, 0.0]]),
        "y_train": np.array([0, 1, 2, 0]),
        "x_test": np.array([[0.125, 0.5], [1.0, 1.0]]),
        "y_test": np.array([1, 0]),
    } | changes
    path = folder / "data.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def listing(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything below a folder, with times and contents; a file made and removed shows in its folder's time."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


def same(first, second) -> bool:
    return all(
        torch.equal(getattr(first, key), getattr(second, key)) for key in ("x_train", "y_train", "x_test", "y_test")
    )
