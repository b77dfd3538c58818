"""Images in folders, one per class, or in a zip file of such folders."""

import os
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from clep import progress
from clep.checks import unknown
from clep.datasets.arrays import Raw
from clep.datasets.files import kind_of, reason, regular
from clep.datasets.images import decoded, described
from clep.errors import DataError, InputWarning

SUFFIXES = (".png", ".jpg", ".jpeg")
_LEFT_BY_FILE_MANAGERS = ("Thumbs.db", "desktop.ini", "__MACOSX")  # hidden files are skipped as well
_DEPTH = 3  # PART/CLASS/IMAGE; deeper folders are refused by their names, a loop of links among them


def folder(*, path: Path) -> Raw:
    """Your own images: stream.path=FOLDER with train/CLASS/*.png or *.jpg and test/CLASS/*, or both as zip files."""
    x_train, y_train, classes = read_image_folder(path, "train")
    x_test, y_test, _ = read_image_folder(path, "test", classes)
    train, test = str(path / "train"), str(path / "test")
    arrays, sources = (x_train, y_train, x_test, y_test), (train, train, test, test)
    return Raw("folder", arrays, sources, "Give all images one size and colours.", "channels_first", tuple(classes))


def read_image_folder(
    folder: Path, part: str, classes: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read `folder/part/CLASS/FILE`, or `CLASS/FILE` in `folder/part.zip` if there is no folder `part`.

    Args:
        folder: where the parts are.
        part: `train` or `test`.
        classes: names of the classes in the order of their labels; None takes those found, in their natural order.

    Returns:
        Bytes (N, C, H, W) with C = 1 (grey levels) or 3 (colours), sorted by class and file; labels (N,); classes.

    Raises:
        DataError: if the part is missing, a class is empty or unknown, a file is not an image in the folder of a class,
            or an image differs from the first one in size or colours.
    """
    with _opened(folder, part) as (source, names, read):
        found, files = _sorted_out(source, part, names)
        if classes is not None and (new := [name for name in found if name not in classes]):
            raise DataError(
                f"{source}: no image of class `{new[0]}` to learn from; {unknown(new[0], classes, 'class')}."
            )
        classes = list(classes or found)
        images, first = None, ""
        for row, name in enumerate(progress.bar(files, desc=f"reading {part} images", unit="image", delay=2)):
            image = decoded(f"{source}/{name}", partial(read, name))
            if images is None:
                images, first = np.empty((len(files), *image.shape), np.uint8), name
            if image.shape != images.shape[1:]:
                raise DataError(
                    f"{source}/{name}: {described(image)}, but {described(images[0])} in {first}; give all images "
                    "one size, and either colours or grey levels."
                )
            images[row] = image
    assert images is not None
    labels = np.array([classes.index(_class_of(name)) for name in files])
    return images, labels, classes


def natural(name: str) -> tuple[tuple[int, str] | str, ...]:
    """The key that sorts names as people do: `class 2` before `class 10`; otherwise capitals first, as plain text.

    Example:
        >>> sorted(["class 10", "class 2", "Class 3"], key=natural)
        ['Class 3', 'class 2', 'class 10']
    """
    parts = re.split("([0-9]+)", name)  # text at even places, digits at odd ones
    numbers = ((len(digits), digits) for digits in (part.lstrip("0") for part in parts[1::2]))
    key: list[tuple[int, str] | str] = list(parts)
    key[1::2] = numbers
    return (*key, name)


@contextmanager
def _opened(folder: Path, part: str) -> Iterator[tuple[Path, list[str], Callable[[str], bytes]]]:
    """Where a part is, the relative paths of its files and folders (folders end in a slash), and a reader of files."""
    source = folder / part
    if kind_of(source) == "folder":
        yield source, list(_walk(source)), lambda name: regular(source / name, "replace or remove it.").read_bytes()
        return
    source = folder / f"{part}.zip"
    if not kind_of(source):
        raise DataError(
            f"{folder}: found neither `{part}/` nor `{part}.zip`; the path names a folder with train/CLASS/IMAGE "
            "and test/CLASS/IMAGE, or with train.zip and test.zip that contain CLASS/IMAGE."
        )
    try:
        archive = zipfile.ZipFile(regular(source, "make it with `zip`."))
    except DataError:
        raise
    except Exception as error:  # a damaged index can raise anything
        raise DataError(f"{source}: not a zip file, or cut short ({reason(error)}); make or copy it again.") from error
    with archive:
        yield source, archive.namelist(), archive.read


def _walk(source: Path) -> Iterator[str]:
    for path, folders, files in os.walk(source, followlinks=True):
        inside = Path(path).relative_to(source)
        yield from ((inside / name).as_posix() + "/" for name in folders)
        yield from ((inside / name).as_posix() for name in files)
        if len(inside.parts) >= _DEPTH:
            folders.clear()


def _class_of(name: str) -> str:
    """The class of a file, `CLASS/IMAGE`; letters with accents are written in one way, however the system writes."""
    return unicodedata.normalize("NFC", name.split("/")[-2])


def _sorted_out(source: Path, part: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Classes and image files, both in natural order.

    A folder with the name of the part around all classes, as `zip -r train.zip train` makes it, does not count.
    """
    visible = [n for n in names if not any(p.startswith(".") or p in _LEFT_BY_FILE_MANAGERS for p in n.split("/"))]
    around = f"{part}/" if visible and all(name.startswith(f"{part}/") for name in visible) else ""
    if around:
        text = f"{source}: everything in this zip or folder is in another folder, `{around}`, which is passed over"
        warnings.warn(text, InputWarning, stacklevel=2)
    visible = [name for name in visible if name != around]
    files = [name for name in visible if not name.endswith("/")]
    for name in sorted(files):
        if name.removeprefix(around).count("/") != 1 or not name.lower().endswith(SUFFIXES):
            raise DataError(
                f"{source}/{name}: expected CLASS/IMAGE, a {', '.join(SUFFIXES)} file; move or convert it"
                f"{', or zip what is in the folder' if source.suffix else ''}."
            )
    classes = sorted({_class_of(f"{name.removeprefix(around).partition('/')[0]}/") for name in visible}, key=natural)
    if empty := sorted(set(classes) - {_class_of(name) for name in files}):
        raise DataError(f"{source}/{empty[0]}: no image in this class; add some, or remove it.")
    if not files:
        raise DataError(f"{source}: no images; expected CLASS/IMAGE, {', '.join(SUFFIXES)} files.")
    return classes, sorted(files, key=lambda name: (natural(_class_of(name)), natural(name)))
