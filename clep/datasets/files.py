"""Files of published data sets: found under the data folder, or downloaded into it."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from clep.errors import DataError

AGAIN = "Delete it and download it again."
ALL_AGAIN = "Delete these files and download them again."


def found(folder: Path, names: Sequence[str], root: Path, download: bool, class_name: str, note: str) -> list[Path]:
    """The files `names` in `folder`, each plain or as `.gz`.

    Args:
        folder: where they should be.
        names: their names, without `.gz`.
        root: the data folder; it contains `folder`.
        download: whether missing files may be downloaded.
        class_name: the class of `torchvision.datasets` that downloads them.
        note: what else to know about the files, for messages.

    Raises:
        DataError: if a file is missing and was not downloaded; lists the names of all files.
    """

    def look() -> dict[str, Path]:
        # If both forms exist, take the plain file, like torchvision.
        candidates = [(name, folder / f"{name}{end}") for end in (".gz", "") for name in names]
        return {name: file for name, file in candidates if file.is_file()}

    files, reason = look(), "downloads are switched off"
    if len(files) < len(names) and download:
        import torchvision  # takes seconds; needed only here

        try:
            getattr(torchvision.datasets, class_name)(str(root), train=False, download=True)
            reason = "the download did not contain all of it"
        except Exception as error:  # network, disk, permissions, checksum: torchvision passes on anything
            reason = f"the download failed ({' '.join(str(error).split()) or type(error).__name__})"
        files = look()
    if missing := [name for name in names if name not in files]:
        what = f"incomplete (no {', '.join(missing)})" if files else "not"
        raise DataError(
            f"{class_name} is {what} in the data folder {root}, and {reason}. Put these {len(names)} files into "
            f"{folder}, {note}: {', '.join(names)}. Or use `digits`, which needs no download."
        )
    return [files[name] for name in names]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked if it ends in `.gz`.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). {AGAIN}") from error
