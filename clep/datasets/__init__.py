"""Datasets as tensors, loaded once: samples in [0, 1] and integer labels, of a known name or your own."""

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from clep.datasets.image_folder import read_image_folder
from clep.datasets.readers import NPZ_KEYS, read_cifar_batch, read_idx, read_npz
from clep.errors import ConfigError, DataError

# torchvision and scikit-learn take seconds to import and most loads need neither: each is imported where used.

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
WITH_PATH = ("npz", "folder")
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
        path: The file of the dataset `npz`, the folder of `folder`.
        standardize: Subtract the mean of `x_train` and divide by its standard deviation, one pair per channel of an
            image, one pair for vectors. This looks ahead: the statistics include classes that are still to be learnt.

    Raises:
        ConfigError: The name is unknown, or a path is missing or would be ignored.
        DataError: A file is missing, damaged or of the wrong shape.
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else "."
        raise ConfigError(f"stream.name: unknown dataset `{name}`{hint} Valid names: {', '.join(DATASETS)}.")
    if path is not None and name not in WITH_PATH:
        raise ConfigError(
            f"stream.path: only `npz` and `folder` take a path, got `{path}` with `{name}`; use one of them or drop it."
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
        batches = [read_cifar_batch(file) for file in files]
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:-1], strict=True))
    return _dataset("cifar10", (x_train, y_train, *batches[-1]), [str(folder)] * 4, ALL_AGAIN)


def npz(root: Path, download: bool, path: Path | None) -> Dataset:
    """Your own arrays: the file `stream.path` with x_train, y_train, x_test, y_test (unsigned integers are scaled)."""
    if path is None:
        raise ConfigError(f"stream.path: `npz` needs the path of a file with {', '.join(NPZ_KEYS)}, got none.")
    arrays = read_npz(path)
    dataset = _dataset("npz", arrays, [f"{path}: `{key}`" for key in NPZ_KEYS], "Save arrays that fit together.")
    labels = enumerate([*dataset.y_train.unique().tolist(), dataset.classes])
    if (absent := next((label for label, found in labels if label != found), None)) is not None:
        found = f"no sample of class {absent}, but labels go up to {dataset.classes - 1}"
        raise DataError(f"{path}: `y_train` has {found}; number the classes from 0, each with training samples.")
    return dataset


def folder(root: Path, download: bool, path: Path | None) -> Dataset:
    """Your own images: the folder `stream.path` with train/CLASS/*.png or *.jpg and test/CLASS/*, or two such zips."""
    if path is None:
        raise ConfigError("stream.path: `folder` needs the path of a folder with `train` and `test`, got none.")
    x_train, y_train, classes = read_image_folder(path, "train")
    x_test, y_test, _ = read_image_folder(path, "test", classes)
    sources = [str(path / part) for part in ("train", "train", "test", "test")]
    return _dataset("folder", (x_train, y_train, x_test, y_test), sources, "Give all images one size and colours.")


DATASETS: dict[str, Callable[[Path, bool, Path | None], Dataset]] = {
    loader.__name__: loader for loader in (digits, mnist, fashion_mnist, kmnist, cifar10, npz, folder)
}


def _idx_dataset(name: str, class_name: str, root: Path, download: bool) -> Dataset:
    files = _found(root / class_name / "raw", IDX_FILES, root, download, class_name, "`.gz` is fine")
    arrays = [read_idx(file, dimensions) for file, dimensions in zip(files, (3, 1, 3, 1), strict=True)]
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
