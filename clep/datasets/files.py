"""Files: what a path is, and the files of published data sets, found under the data folder or downloaded into it."""

import gzip
import stat
from collections.abc import Sequence
from pathlib import Path

from clep.errors import ConfigError, DataError

AGAIN = "Delete it and download it again."
ALL_AGAIN = "Delete these files and download them again."
_LONGEST = 300  # characters of a reason


def user_path(path: str | Path, key: str) -> Path:
    """A path that the user typed, with `~` resolved.

    Raises:
        ConfigError: naming the key, if there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{key}: `{path}`: {error}; write the whole path") from error


def kind_of(path: Path) -> str:
    """`file`, `folder`, or what else a path is, in words; empty if there is nothing. Opens nothing: a pipe would wait.

    Raises:
        DataError: if one cannot even look.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:  # no permission, a loop of links, a name too long or with a null byte
        raise DataError(f"{path}: cannot be looked at ({error}); correct the path.") from error
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def regular(path: Path, fix: str) -> Path:
    """The path, if it is a file.

    Raises:
        DataError: if there is nothing, or something that is no file.
    """
    kind = kind_of(path)
    if kind != "file":
        raise DataError(f"{path}: {f'is {kind}, not a file' if kind else 'there is no such file'}; {fix}")
    return path


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
        return {name: file for name, file in candidates if kind_of(file)}

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
    return [regular(files[name], AGAIN) for name in names]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked if it ends in `.gz`.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except Exception as error:  # a damaged gz file can raise anything, one that lies fills the memory
        raise DataError(f"{path}: cannot be read ({reason(error)}). {AGAIN}") from error


def reason(error: BaseException) -> str:
    """Why something failed, on one line that is not too long, without addresses of objects."""
    text = " ".join(str(error).split())
    if not text or " at 0x" in text:
        return type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."  # some libraries show a whole file
