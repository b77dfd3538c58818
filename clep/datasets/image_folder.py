"""Images in folders, one per class, or in a zip file of such folders."""

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from clep import progress
from clep.datasets.arrays import Dataset, dataset_of
from clep.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
_LEFT_BY_FILE_MANAGERS = ("Thumbs.db", "desktop.ini", "__MACOSX")  # hidden files are skipped as well
_READ_AS = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB"}  # Pillow's mode of a file -> the mode it is read in


def folder(path: Path) -> Dataset:
    """Your own images: a folder with train/CLASS/*.png or *.jpg and test/CLASS/*, or two such zips."""
    x_train, y_train, classes = read_image_folder(path, "train")
    x_test, y_test, _ = read_image_folder(path, "test", classes)
    sources = [str(path / part) for part in ("train", "train", "test", "test")]
    return dataset_of("folder", (x_train, y_train, x_test, y_test), sources, "Give all images one size and colours.")


def read_image_folder(
    folder: Path, part: str, classes: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read `folder/part/CLASS/FILE`, or `CLASS/FILE` in `folder/part.zip` if there is no folder `part`.

    Args:
        folder: where the parts are.
        part: `train` or `test`.
        classes: names of the classes in the order of their labels; None takes those found, sorted by name.

    Returns:
        Bytes (N, C, H, W) with C = 1 (grey levels) or 3 (colours), sorted by class and file; labels (N,); classes.

    Raises:
        DataError: if the part is missing, a class is empty or unknown, a file is not an image in the folder of a class,
            or an image differs from the first one in size or colours.
    """
    with _opened(folder, part) as (source, names, read):
        found, files = _sorted_out(source, names)
        if classes is not None and (new := [name for name in found if name not in classes]):
            raise DataError(
                f"{source}: no image of class `{new[0]}` to learn from; the classes are: {', '.join(classes)}."
            )
        classes = list(classes or found)
        images, first = None, ""
        for row, name in enumerate(progress.bar(files, desc=f"reading {part} images", unit="image", delay=2)):
            image = _decoded(f"{source}/{name}", partial(read, name))
            if images is None:
                images, first = np.empty((len(files), *image.shape), np.uint8), name
            if image.shape != images.shape[1:]:
                raise DataError(
                    f"{source}/{name}: {_described(image)}, but {_described(images[0])} in {first}; give all images "
                    "one size, and either colours or grey levels."
                )
            images[row] = image
    assert images is not None
    labels = np.array([classes.index(name.partition("/")[0]) for name in files])
    return images, labels, classes


@contextmanager
def _opened(folder: Path, part: str) -> Iterator[tuple[Path, list[str], Callable[[str], bytes]]]:
    """Where a part is, the relative paths of its files and folders (folders end in a slash), and a reader of files."""
    source = folder / part
    if source.is_dir():
        yield source, list(_walk(source)), lambda name: (source / name).read_bytes()
        return
    source = folder / f"{part}.zip"
    if not source.is_file():
        raise DataError(
            f"{folder}: found neither `{part}/` nor `{part}.zip`; the path names a folder with train/CLASS/IMAGE "
            "and test/CLASS/IMAGE, or with train.zip and test.zip that contain CLASS/IMAGE."
        )
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        raise DataError(f"{source}: not a zip file, or cut short ({error}); make or copy it again.") from error
    with archive:
        yield source, archive.namelist(), archive.read


def _walk(source: Path) -> Iterator[str]:
    for path, folders, files in os.walk(source, followlinks=True):
        inside = Path(path).relative_to(source)
        yield from ((inside / name).as_posix() + "/" for name in folders)
        yield from ((inside / name).as_posix() for name in files)


def _sorted_out(source: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Classes and image files, both sorted."""
    visible = [n for n in names if not any(p.startswith(".") or p in _LEFT_BY_FILE_MANAGERS for p in n.split("/"))]
    files = sorted(name for name in visible if not name.endswith("/"))
    for name in files:
        if name.count("/") != 1 or not name.lower().endswith(SUFFIXES):
            raise DataError(f"{source}/{name}: expected CLASS/IMAGE, a {', '.join(SUFFIXES)} file; move or convert it.")
    classes = sorted({name.partition("/")[0] for name in visible})
    if empty := sorted(set(classes) - {name.partition("/")[0] for name in files}):
        raise DataError(f"{source}/{empty[0]}: no image in this class; add some, or remove it.")
    if not files:
        raise DataError(f"{source}: no images; expected CLASS/IMAGE, {', '.join(SUFFIXES)} files.")
    return classes, files


def _decoded(source: str, read: Callable[[], bytes]) -> np.ndarray:
    """The image (C, H, W) in a file."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read())) as image:
            mode = image.mode
            pixels = np.asarray(image.convert(_READ_AS[mode])) if mode in _READ_AS else None
    except Exception as error:  # a damaged image can raise anything
        raise DataError(f"{source}: cannot be read ({error}); replace or remove it.") from error
    if pixels is None:
        raise DataError(f"{source}: pixels of type {mode}; save it in 8 bits, as grey levels or RGB without alpha.")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _described(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width} x {height} pixels in {'colours' if channels == 3 else 'grey levels'}"
