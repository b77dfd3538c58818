"""Loading a data set by its name."""

from importlib import import_module
from pathlib import Path

import platformdirs

from clep.datasets import names
from clep.datasets.arrays import Dataset, dataset_of
from clep.datasets.files import user_path
from clep.errors import DataError

__all__ = ["Dataset", "default_root", "load"]


def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    path: str | Path | None = None,
    layout: str = "auto",
    scale: float | None = None,
    standardize: bool = False,
) -> Dataset:
    """Load a data set by name.

    Args:
        name: a key of `DATASETS`.
        root: folder of the image files, with torchvision's layout; None for `default_root()`. Only a download writes to
            it.
        download: whether files missing from `root` may be downloaded.
        path: the file of the data set `npz`, or the folder of `folder`.
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
    names.check(name, path)
    module, _, function = names.DATASETS[name].loader.partition(":")
    loader = getattr(import_module(module), function)
    try:
        if path is None:
            raw = loader(default_root() if root is None else user_path(root, "root"), download)
        else:
            raw = loader(user_path(path, "path"))
        return dataset_of(raw, layout=layout, scale=scale, standardize=standardize)
    except MemoryError as error:
        raise DataError(f"{path or name}: does not fit into memory; use fewer or smaller samples.") from error


def default_root() -> Path:
    """The user's cache folder for clep. Only a download creates it."""
    return platformdirs.user_cache_path("clep", appauthor=False)
