"""Where results go: files, folders and streams are tried before the work that fills them."""

import codecs
import os
import sys
from pathlib import Path

from clep.errors import ConfigError

# Dashes, dots and signs of a result -> what says the same in ASCII.
_PLAIN = {"\u00b1": "+-", "\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2026": "...", "\u2192": "->"}
_PLAIN |= {"\u00b7": "*", "\u2265": ">=", "\u2264": "<="}


def cache_folder() -> Path:
    """The user's folder for what clep can make again, or that which `CLEP_CACHE` names. It need not be there."""
    import platformdirs

    given = os.environ.get("CLEP_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("clep", appauthor=False)


def check_folder(key: str, path: str | Path) -> None:
    """Refuse a folder that cannot be made or written to; nothing is made yet.

    Args:
        key: the option that names it.
        path: the folder.

    Raises:
        ConfigError: with the part of the path that stands in the way.

    Example:
        >>> check_folder("--output", "/dev/null/tables")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: --output: `/dev/null` is no folder; give another place than `/dev/null/tables`
    """
    place = Path(path)
    there = next(part for part in (place, *place.absolute().parents) if part.exists() or part.is_symlink())
    if not there.is_dir():
        raise ConfigError(f"{key}: `{there}` is no folder; give another place than `{path}`")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: `{there}` cannot be written to; give another place than `{path}`")


def check_file(key: str, path: str | Path) -> None:
    """Refuse a file that cannot be written; its folder must be there.

    Args:
        key: the option that names it.
        path: the file.

    Raises:
        ConfigError: with what stands in the way.

    Example:
        >>> check_file("--output", "/absent/best.yaml")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: --output: there is no folder `/absent`; make it, or give another place
    """
    place = Path(path)
    if place.is_dir():
        raise ConfigError(f"{key}: `{path}` is a folder; give the path of a file")
    if not place.parent.exists():
        raise ConfigError(f"{key}: there is no folder `{place.parent}`; make it, or give another place")
    if place.exists() and not os.access(place, os.W_OK):
        raise ConfigError(f"{key}: `{path}` cannot be written to; give another place")
    if not place.exists():
        check_folder(key, place.parent)


def ready_streams() -> None:
    """Make stdout and stderr take any text, whatever the terminal can show; a closed stderr is replaced.

    Raises:
        ConfigError: if stdout is closed.
    """
    if sys.stderr is None:  # the next file to be opened would be taken for it
        descriptor = os.open(os.devnull, os.O_WRONLY)
        if descriptor != 2:
            os.dup2(descriptor, 2)
            os.close(descriptor)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        raise ConfigError("stdout: it is closed, and the result could not be printed; send it to a file or /dev/null")
    codecs.register_error("clep", _as_plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="clep")


def _as_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for a character that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(each, "?" if each.isprintable() else ascii(each)[1:-1]) for each in found)
    return plain, error.end
