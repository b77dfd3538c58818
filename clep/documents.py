"""YAML text, before it is parsed: what cannot be meant, and files that are no text."""

import re
import stat
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml

from clep.errors import ConfigError

_OCTAL = re.compile(r"[-+]?0[0-7_]*[0-7]")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_SUSPECT = re.compile(r"(?<![\w.])0[0-7_]|[0-9]:[0-5]?[0-9]")  # worth a closer look, which takes milliseconds


def text_of(file: Traversable) -> str:
    """The text of a file.

    Raises:
        ConfigError: if it is no file; a pipe would be waited for without end.
        OSError, UnicodeDecodeError: if it cannot be read.
    """
    if isinstance(file, Path) and file.exists() and not stat.S_ISREG(file.stat().st_mode):
        raise ConfigError(f"{file}: is no file; give the path of a YAML file")
    return file.read_text(encoding="utf-8")


def why(error: Exception) -> str:
    """Why a text or a file could not be read, on one line.

    Example:
        >>> why(RecursionError("maximum recursion depth exceeded"))
        'it is nested too deeply'
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error).partition("\n")[0]


def line_of(error: Exception) -> str:
    """`, line 3` if an error knows where in a text it arose; otherwise empty."""
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def refuse_ambiguous(text: str, key: str = "") -> None:
    """Refuse numbers that YAML reads as hardly anybody means them: 010 as 8, 1:30 as 90.

    Args:
        text: a YAML document.
        key: the key whose value it is, for the message; empty for a whole file.

    Raises:
        ConfigError: with the path of the key.
        yaml.YAMLError: if the text is not YAML.

    Example:
        >>> refuse_ambiguous("{lr: 0.10, seed: '010'}")
        >>> refuse_ambiguous("010", "seed")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: seed: YAML reads `010` as the number 8; write 8, or '010' in quotes for text
    """
    if _SUSPECT.search(text) is None:
        return
    for path, written, tag in _scalars(yaml.compose(text, Loader=yaml.SafeLoader), key, set()):
        number = tag.rpartition(":")[2] in ("int", "float")
        if number and (_OCTAL.fullmatch(written) or _SIXTIES.fullmatch(written)):
            meant = yaml.safe_load(written)
            raise ConfigError(
                f"{path or 'config'}: YAML reads `{written}` as the number {meant}; write {meant}, or '{written}' in "
                "quotes for text"
            )


def _scalars(node: yaml.Node | None, path: str, seen: set[int]) -> Iterator[tuple[str, str, str]]:
    """The path, the text and the tag of each value that is written without quotes; keys are values as well."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.style is None:
            yield path, node.value, node.tag
    elif isinstance(node, yaml.SequenceNode):
        for i, entry in enumerate(node.value):
            yield from _scalars(entry, f"{path}[{i}]", seen)
    elif isinstance(node, yaml.MappingNode):
        for name, entry in node.value:
            inside = f"{path}.{getattr(name, 'value', '')}".lstrip(".")
            yield from _scalars(name, inside, seen)
            yield from _scalars(entry, inside, seen)
