"""Loading a data set by its name or import path."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from clep import parts
from clep.datasets import names
from clep.datasets.arrays import Dataset, Raw, dataset_of
from clep.datasets.calling import called
from clep.datasets.contents import digests_of, remember, remembered, signature
from clep.datasets.files import user_path
from clep.errors import DataError

__all__ = ["Dataset", "Raw", "default_root", "digests", "load"]


def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    path: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    scale: float | None = None,
    standardize: bool = False,
) -> Dataset:
    """Load a data set by name.

    Args:
        name: one of `clep list datasets`, or the import path `module:function` of your own.
        root: folder of the image files, with torchvision's layout; None for `default_root()`. Only a download writes to
            it.
        download: whether files missing from `root` may be downloaded.
        path: the file of the data set `npz`, or the folder of `folder`; or what your own function takes as `path`.
        options: parameters of the function of the data set.
        layout: `channels_first`, `channels_last`, or `auto` to tell by the shape of the images.
        scale: the number by which samples are divided, 1 to take them as they are; None to tell by their type and
            range.
        standardize: subtract the mean of `x_train` and divide by its standard deviation: one pair per channel for
            images, one pair altogether for vectors. This looks ahead: the statistics include classes that are learned
            later.

    Returns:
        Samples (N, C, H, W) or (N, features), and labels (N,), to learn from and to test on.

    Raises:
        ConfigError: if the name is unknown, a path is missing, a path would be ignored, or the layout or the scale is
            unclear.
        DataError: if a file is missing, damaged or of the wrong shape, or holds labels that number no classes.

    Example:
        >>> data = load("digits")
        >>> tuple(data.x_train.shape), data.classes
        ((1437, 1, 8, 8), 10)
    """
    with _fitting_into_memory(path or name):
        raw, digests = _read(name, root, download, path, options)
        data = dataset_of(raw, layout=layout, scale=scale, standardize=standardize)
        return replace(data, digests=digests)


def digests(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    path: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, str]:
    """Digests of the samples to learn from and to test on.

    Files of clep's own data sets are read only if they have changed; nothing tells that of another data set's samples,
    so they are loaded.

    Args:
        name, root, download, path, options: as `load` takes them.

    Raises:
        ConfigError, DataError: as `load`, if the samples must be read.

    Example:
        >>> from clep.datasets import load
        >>> digests("digits") == load("digits").digests
        True
    """
    names.check(name, path)
    if name in names.DATASETS:
        place = _place(name, root, path)
        if (known := remembered(_key(name, place), signature(place))) is not None:
            return known
    with _fitting_into_memory(path or name):
        return _read(name, root, download, path, options)[1]


def _read(
    name: str,
    root: str | Path | None,
    download: bool,
    path: str | Path | None,
    options: Mapping[str, Any] | None,
) -> tuple[Raw, tuple[str, str]]:
    """The arrays of a data set and their digests, which are remembered for clep's own if no file changed meanwhile."""
    names.check(name, path)
    loader = parts.find("dataset", name, "name")
    passed = {"root": _data_folder(root), "download": download}
    passed |= {} if path is None else {"path": user_path(path, "path")}
    if name not in names.DATASETS:
        raw = called(name, loader, passed, options or {})
        return raw, digests_of(raw)
    place = _place(name, root, path)
    before = signature(place)
    raw = called(name, loader, passed, options or {})
    found = digests_of(raw)
    if before == signature(place):
        remember(_key(name, place), before, found)
    return raw, found


def _place(name: str, root: str | Path | None, path: str | Path | None) -> Path | None:
    """The file or the folder that holds a data set; None for one that comes with a package."""
    if path is not None:
        return user_path(path, "path")
    folder = names.DATASETS[name].folder
    return None if folder is None else _data_folder(root) / folder


def _key(name: str, place: Path | None) -> str:
    return name if place is None else f"{name} {place.absolute()}"


def _data_folder(root: str | Path | None) -> Path:
    return default_root() if root is None else user_path(root, "root")


@contextmanager
def _fitting_into_memory(what: str | Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{what}: does not fit into memory; use fewer or smaller samples.") from error


def default_root() -> Path:
    """The user's cache folder for clep. Only a download creates it."""
    return platformdirs.user_cache_path("clep", appauthor=False)
