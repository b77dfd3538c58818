"""The data sets by name, one row each: where the loader is, and what a path means.

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
        loader: its loader as `module:function`, called as `loader(root, download)`, or `loader(path)` if it has a path.
        path: what its path names, for data sets in the user's own files; None for all others.
        example: an example of such a path.
    """

    loader: str
    path: str | None = None
    example: str | None = None


DATASETS = {
    "digits": Row("clep.datasets.digits:digits"),
    "mnist": Row("clep.datasets.idx:mnist"),
    "fashion_mnist": Row("clep.datasets.idx:fashion_mnist"),
    "kmnist": Row("clep.datasets.idx:kmnist"),
    "cifar10": Row("clep.datasets.cifar10:cifar10"),
    "npz": Row("clep.datasets.npz:npz", "the file with x_train, y_train, x_test and y_test", "FILE.npz"),
    "folder": Row(
        "clep.datasets.image_folder:folder", "the folder with train/CLASS/IMAGE and test/CLASS/IMAGE", "FOLDER"
    ),
}
"""Every data set that `load` and `clep.stream` know."""


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
