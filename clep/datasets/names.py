"""The data sets by name, one row each: what it is, where the loader is, and what a path means.

Nothing here imports torch, so checking a configuration takes no time.
"""

from dataclasses import dataclass
from pathlib import Path

from clep.checks import one_of
from clep.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A data set.

    Attributes:
        about: what it is, in one line of `clep list streams`.
        loader: its loader as `module:function`, called as `loader(root, download)`, or `loader(path)` if it has a path.
        path: what its path names, for data sets in the user's own files; None for all others.
        example: an example of such a path.
        folder: where its files lie in the data folder, for published data sets; None if it has none there.
    """

    about: str
    loader: str
    path: str | None = None
    example: str | None = None
    folder: str | None = None


DATASETS = {
    "digits": Row(
        "1 797 handwritten digits of 8 x 8 pixels from scikit-learn; needs no download", "clep.datasets.digits:digits"
    ),
    "mnist": Row(
        "MNIST: 70 000 handwritten digits of 28 x 28 pixels; downloads 12 MB on first use",
        "clep.datasets.idx:mnist",
        folder="MNIST/raw",
    ),
    "fashion_mnist": Row(
        "Fashion-MNIST: 70 000 pieces of clothing, 28 x 28 pixels; downloads 31 MB on first use",
        "clep.datasets.idx:fashion_mnist",
        folder="FashionMNIST/raw",
    ),
    "kmnist": Row(
        "Kuzushiji-MNIST: 70 000 cursive Japanese characters, 28 x 28 pixels; downloads 21 MB on first use",
        "clep.datasets.idx:kmnist",
        folder="KMNIST/raw",
    ),
    "cifar10": Row(
        "CIFAR-10: 60 000 colour photographs of 32 x 32 pixels; downloads 170 MB on first use",
        "clep.datasets.cifar10:cifar10",
        folder="cifar-10-batches-py",
    ),
    "npz": Row(
        "Your own arrays: stream.path=FILE.npz with x_train, y_train, x_test, y_test",
        "clep.datasets.npz:npz",
        path="the file with x_train, y_train, x_test and y_test",
        example="FILE.npz",
    ),
    "folder": Row(
        "Your own images: stream.path=FOLDER with train/CLASS/*.png or *.jpg and test/CLASS/*, "
        "or train.zip and test.zip",
        "clep.datasets.image_folder:folder",
        path="the folder with train/CLASS/IMAGE and test/CLASS/IMAGE",
        example="FOLDER",
    ),
}
"""Every data set that `load`, `clep.stream` and `stream=NAME` know."""


def check(name: str, path: str | Path | None = None) -> None:
    """Check that the data set exists, and that it has a path if and only if it needs one.

    Raises:
        ConfigError: otherwise; names `name` or `path`.

    Example:
        >>> check("digits")
        >>> check("npz")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: path: expected the file with x_train, y_train, x_test and y_test, got null; \
for example FILE.npz
    """
    row = DATASETS[one_of("name", name, DATASETS, "data set")]
    if row.path and not path:
        raise ConfigError(f"path: expected {row.path}, got null; for example {row.example}")
    if path is not None and not row.path:
        takers = " and ".join(f"`{taker}`" for taker, other in DATASETS.items() if other.path)
        raise ConfigError(f"path: only {takers} take a path, got `{path}` with `{name}`; use one of them or drop it")
