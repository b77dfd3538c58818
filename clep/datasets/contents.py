"""The contents of data sets as digests, remembered by the files they came from, so that they are cheap to ask for."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import numpy as np

from clep.datasets.arrays import Raw
from clep.datasets.files import kind_of
from clep.destinations import cache_folder

_LENGTH = 16  # characters of a digest; MLflow accepts 36
_REMEMBERED = 500  # data sets in the file of digests
_DEPTH = 3  # of folders with files of a data set: readers look no deeper
_SETTLED = 2.0  # seconds; a file changed a moment ago can change again without another time or size


def digests_of(raw: Raw) -> tuple[str, str]:
    """Digests of the samples to learn from and of those to test on: their values, types, shapes, order and class names.

    Example:
        >>> import numpy as np
        >>> from clep.datasets.arrays import Raw
        >>> x, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
        >>> def of(test):
        ...     return digests_of(Raw("mine", (x, y, test, y), ("a", "b", "c", "d"), ""))
        >>> of(x) == of(x.copy()), of(x)[0] == of(x + 1)[0], of(x)[1] == of(x + 1)[1]
        (True, True, False)
    """
    x_train, y_train, x_test, y_test = raw.arrays
    train, test = ((), ()) if raw.experiences is None else ((raw.experiences[0],), (raw.experiences[1],))
    return _digest(raw.class_names, x_train, y_train, *train), _digest(raw.class_names, x_test, y_test, *test)


def _digest(class_names: tuple[str, ...], *arrays: np.ndarray) -> str:
    found = hashlib.sha256(json.dumps(class_names).encode())
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        # The buffer protocol does not know every type, and what is no number is refused later, by name.
        found.update(np.ascontiguousarray(array).data if array.dtype.kind in "biufc" else array.tobytes())
    return found.hexdigest()[:_LENGTH]


def signature(place: Path | None) -> str:
    """What changes with the files of a data set: their names, sizes and times. Reads none of them.

    Args:
        place: the file or the folder; None for the digits that come with scikit-learn, known by its version.

    Returns:
        The signature; empty if there is nothing, or if it was changed a moment ago and may be changing.
    """
    if place is None:
        return f"scikit-learn {metadata.version('scikit-learn')}"
    found, latest = hashlib.sha256(), 0.0
    for name, stat in sorted(_files(place)):
        found.update(repr((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)).encode())
        latest = max(latest, stat.st_mtime, stat.st_ctime)
    return found.hexdigest() if 0 < latest < time.time() - _SETTLED else ""


def _files(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    if kind_of(place) == "file":
        yield place.name, place.stat()
    for folder, deeper, names in os.walk(place, followlinks=True):
        if len(Path(folder).relative_to(place).parts) >= _DEPTH:
            deeper.clear()  # a loop of links among them
        for name in names:
            path = Path(folder, name)
            with suppress(OSError):  # a link to nothing: the reader refuses it if it is an image
                yield path.relative_to(place).as_posix(), path.stat()


def remembered(key: str, signed: str) -> tuple[str, str] | None:
    """The digests of a data set whose files have not changed since; None if they are not known.

    Args:
        key: its name and place.
        signed: its `signature`.
    """
    entry = _entries().get(key)
    match entry:
        case [str(known), str(train), str(test)] if signed and known == signed:
            return train, test
    return None


def remember(key: str, signed: str, digests: tuple[str, str]) -> None:
    """Keep digests for `remembered`; a cache that cannot be written only costs time."""
    entries = _entries()
    if not signed or entries.get(key) == [signed, *digests]:
        return
    entries.pop(key, None)
    kept = [*entries.items(), (key, [signed, *digests])][-_REMEMBERED:]
    path = _path()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(dict(kept), indent=1), encoding="utf-8")
        draft.replace(path)
    with suppress(OSError):
        draft.unlink(missing_ok=True)


def _entries() -> dict[str, object]:
    try:
        values = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _path() -> Path:
    return cache_folder() / "digests.json"
