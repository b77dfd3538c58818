"""Datasets as tensors, loaded once: samples in [0, 1] and integer labels, from scikit-learn, torchvision or npz."""

import difflib
import gzip
import math
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from clep.errors import ConfigError, DataError

# torchvision and scikit-learn take seconds to import and most loads need neither: each is imported where used.

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
AGAIN = "Delete it and download it again."
ALL_AGAIN = "Delete these files and download them again."


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples of one dataset.

    `x_train` is (N, C, H, W) or (N, features), float32, in [0, 1] unless the file stores other floats or the data are
    standardized; `y_train` is (N,), int64. `x_test` and `y_test` likewise.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str

    @property
    def classes(self) -> int:
        """Number of classes: the largest label of both parts, plus one."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    path: str | Path | None = None,
    standardize: bool = False,
) -> Dataset:
    """Load a dataset by name.

    Args:
        name: A key of `DATASETS`.
        root: Folder of the image files in torchvision's layout; `default_root()` if None. Written to only to download.
        download: Whether files that are not under `root` may be downloaded.
        path: The file of the dataset `npz`.
        standardize: Subtract the mean of `x_train` and divide by its standard deviation, one pair per channel of an
            image, one pair for vectors. This looks ahead: the statistics include classes that are still to be learnt.

    Raises:
        ConfigError: The name is unknown, or `path` and `npz` do not come together.
        DataError: A file is missing, damaged or of the wrong shape.
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else "."
        raise ConfigError(f"stream.name: unknown dataset `{name}`{hint} Valid names: {', '.join(DATASETS)}.")
    if path is not None and name != "npz":
        raise ConfigError(
            f"stream.path: only `npz` takes a path, got `{path}` with `{name}`; use `stream=npz` or drop it."
        )
    folder = default_root() if root is None else Path(root).expanduser()
    dataset = DATASETS[name](folder, download, None if path is None else Path(path).expanduser())
    return _standardized(dataset) if standardize else dataset


def default_root() -> Path:
    """The user's cache directory for clep. Neither created nor written to unless something is downloaded."""
    return platformdirs.user_cache_path("clep", appauthor=False)


def digits(root: Path, download: bool, path: Path | None) -> Dataset:
    """1 797 digits of 8x8 (scikit-learn, no download); grouped by writer, hence one fixed stratified 80/20 split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images, labels = bunch.images[:, None] / 16, bunch.target  # (N, 1, 8, 8), 17 grey levels
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    return _dataset("digits", (x_train, y_train, x_test, y_test), ["digits"] * 4, "")


def mnist(root: Path, download: bool, path: Path | None) -> Dataset:
    """MNIST: 70 000 handwritten digits of 28x28, 10 classes (12 MB)."""
    return _idx_dataset("mnist", "MNIST", root, download)


def fashion_mnist(root: Path, download: bool, path: Path | None) -> Dataset:
    """FashionMNIST: 70 000 pictures of clothes of 28x28, 10 classes (31 MB)."""
    return _idx_dataset("fashion_mnist", "FashionMNIST", root, download)


def kmnist(root: Path, download: bool, path: Path | None) -> Dataset:
    """KMNIST: 70 000 handwritten Japanese characters of 28x28, 10 classes (21 MB)."""
    return _idx_dataset("kmnist", "KMNIST", root, download)


def cifar10(root: Path, download: bool, path: Path | None) -> Dataset:
    """CIFAR-10: 60 000 colour photographs of 32x32, 10 classes (170 MB)."""
    folder = root / "cifar-10-batches-py"
    with warnings.catch_warnings():  # the official pickles are older than NumPy 2.4.0 - 2.4.4 likes
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be")
        files = _found(folder, CIFAR10_FILES, root, download, "CIFAR10", "they are in cifar-10-python.tar.gz")
        batches = [_read_cifar_batch(file) for file in files]
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:-1], strict=True))
    return _dataset("cifar10", (x_train, y_train, *batches[-1]), [str(folder)] * 4, ALL_AGAIN)


def npz(root: Path, download: bool, path: Path | None) -> Dataset:
    """Your own arrays: the file `stream.path` with x_train, y_train, x_test, y_test (unsigned integers are scaled)."""
    if path is None:
        raise ConfigError(f"stream.path: `npz` needs the path of a file with {', '.join(NPZ_KEYS)}, got none.")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct `stream.path`, or write it with `numpy.savez`.")
    arrays = [_npz_array(path, key, array) for key, array in _read_npz(path).items()]
    if len({array.dtype for array in arrays[::2]}) > 1 and "u" in (arrays[0].dtype.kind, arrays[2].dtype.kind):
        types = f"{arrays[0].dtype} and {arrays[2].dtype}"
        raise DataError(f"{path}: `x_train` and `x_test` are {types}, which would be scaled apart; save one type.")
    dataset = _dataset("npz", arrays, [f"{path}: `{key}`" for key in NPZ_KEYS], "Save arrays that fit together.")
    labels = enumerate([*dataset.y_train.unique().tolist(), dataset.classes])
    if (absent := next((label for label, found in labels if label != found), None)) is not None:
        found = f"no sample of class {absent}, but labels go up to {dataset.classes - 1}"
        raise DataError(f"{path}: `y_train` has {found}; number the classes from 0, each with training samples.")
    return dataset


DATASETS: dict[str, Callable[[Path, bool, Path | None], Dataset]] = {
    loader.__name__: loader for loader in (digits, mnist, fashion_mnist, kmnist, cifar10, npz)
}


def _idx_dataset(name: str, class_name: str, root: Path, download: bool) -> Dataset:
    files = _found(root / class_name / "raw", IDX_FILES, root, download, class_name, "`.gz` is fine")
    arrays = [_read_idx(file, dimensions) for file, dimensions in zip(files, (3, 1, 3, 1), strict=True)]
    return _dataset(name, arrays, [str(file) for file in files], ALL_AGAIN)


def _found(folder: Path, names: Sequence[str], root: Path, download: bool, class_name: str, note: str) -> list[Path]:
    """The files `names` in `folder`, each as it is or as `.gz`; downloaded by torchvision's class if one is missing."""

    def look() -> dict[str, Path]:
        # Of two forms the plain file is taken, as torchvision would.
        candidates = [(name, folder / f"{name}{end}") for end in (".gz", "") for name in names]
        return {name: file for name, file in candidates if file.is_file()}

    files, reason = look(), "`data.download` is false"
    if len(files) < len(names) and download:
        import torchvision

        try:
            getattr(torchvision.datasets, class_name)(str(root), train=False, download=True)
            reason = "the download left them out"
        except Exception as error:  # network, disk, permissions, checksum: torchvision raises whatever it meets
            reason = f"the download failed ({' '.join(str(error).split()) or type(error).__name__})"
        files = look()
    if missing := [name for name in names if name not in files]:
        what = f"incomplete (no {', '.join(missing)})" if files else "not"
        raise DataError(
            f"{class_name} is {what} under `data.root` ({root}) and {reason}. Put these {len(names)} files in "
            f"{folder}, {note}: {', '.join(names)}. Or use `stream=digits`, which needs no download."
        )
    return [files[name] for name in names]


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). {AGAIN}") from error


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of unsigned bytes: the magic number 0 0 8 d, d big-endian sizes, then the bytes."""
    content, magic, header = _read_bytes(path), bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if len(content) < header or not content.startswith(magic):
        got = f"{len(content)} that begin with {content[:4].hex(' ') or 'nothing'}"
        raise DataError(f"{path}: expected {header} bytes or more that begin with {magic.hex(' ')}, got {got}. {AGAIN}")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    if len(content) != header + math.prod(shape):
        raise DataError(f"{path}: {len(content) - header} bytes after the header, which promises {shape}. {AGAIN}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
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


def _read_npz(path: Path) -> dict[str, np.ndarray]:
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


def _npz_array(path: Path, key: str, array: np.ndarray) -> np.ndarray:
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


def _dataset(name: str, arrays: Sequence[np.ndarray], sources: Sequence[str], fix: str) -> Dataset:
    """Tensors of x_train, y_train, x_test, y_test; `sources` says in an error where each of the four comes from."""
    for x, y, x_source, y_source in zip(arrays[::2], arrays[1::2], sources[::2], sources[1::2], strict=True):
        if x.size == 0:
            raise DataError(f"{x_source}: empty, its shape is {x.shape}. {fix}")
        if len(x) != len(y):
            raise DataError(f"{y_source}: {len(y)} labels, but {len(x)} samples in {x_source}. {fix}")
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        shapes = f"samples of shape {arrays[2].shape[1:]}, but {arrays[0].shape[1:]} in {sources[0]}"
        raise DataError(f"{sources[2]}: {shapes}. {fix}")
    x_train, x_test = (_scaled(x if x.ndim != 3 else x[:, None]) for x in arrays[::2])
    y_train, y_test = (torch.from_numpy(y.astype(np.int64)) for y in arrays[1::2])
    return Dataset(x_train, y_train, x_test, y_test, name)


def _scaled(x: np.ndarray) -> Tensor:
    """Float32; unsigned integers are divided by the largest value of their type, floats stay as they are."""
    scaled = torch.from_numpy(np.array(x, dtype=np.float32, order="C"))
    return scaled.div_(float(np.iinfo(x.dtype).max)) if x.dtype.kind == "u" else scaled


def _standardized(dataset: Dataset) -> Dataset:
    x = dataset.x_train
    axes = (0, 2, 3) if x.ndim == 4 else (0, 1)
    std, mean = torch.std_mean(x, dim=axes, correction=0, keepdim=True)
    std[x.amax(axes, keepdim=True) == x.amin(axes, keepdim=True)] = 1  # a constant channel becomes 0, not noise
    return replace(dataset, x_train=(x - mean) / std, x_test=(dataset.x_test - mean) / std)
