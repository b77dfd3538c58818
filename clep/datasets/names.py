"""The data sets of clep by name, one row each: where its files are, and what a path means.

Their functions, and those of others, come through the door of `clep.parts`.

Nothing here imports torch, so checking a configuration takes no time.
"""

from dataclasses import dataclass
from pathlib import Path

from clep import parts
from clep.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A data set.

    Attributes:
        path: what its path names, for data sets in the user's own files; None for all others.
        example: an example of such a path.
        folder: where its files lie in the data folder, for published data sets; None if it has none there.
    """

    path: str | None = None
    example: str | None = None
    folder: str | None = None


GIVEN = ("root", "download", "path")
"""What the function of a data set gets besides its own parameters, by name, if it takes them."""

DATASETS = {
    "digits": Row(),
    "mnist": Row(folder="MNIST/raw"),
    "fashion_mnist": Row(folder="FashionMNIST/raw"),
    "kmnist": Row(folder="KMNIST/raw"),
    "cifar10": Row(folder="cifar-10-batches-py"),
    "npz": Row(path="the file with x_train, y_train, x_test and y_test", example="FILE.npz"),
    "folder": Row(path="the folder with train/CLASS/IMAGE and test/CLASS/IMAGE", example="FOLDER"),
}
"""Every data set that comes with clep."""


def check(name: str, path: str | Path | None = None) -> None:
    """Check that the data set exists, and that one of clep has a path if and only if it needs one.

    What others take, their signature says; see `clep.datasets.calling`.

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
    parts.check_name("dataset", name, "name")
    if (row := DATASETS.get(name)) is None:
        return
    if row.path and not path:
        raise ConfigError(f"path: expected {row.path}, got null; for example {row.example}")
    if path is not None and not row.path:
        takers = " and ".join(f"`{taker}`" for taker, other in DATASETS.items() if other.path)
        raise ConfigError(f"path: only {takers} take a path, got `{path}` with `{name}`; use one of them or drop it")
