"""The choices: parts of every kind, configurations and claims, one line each."""

import ast
import importlib.util
import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

from clep import config, parts

_KINDS = {parts.plural(kind): kind for kind in parts.KINDS}
_GROUPS = {"networks": "network", "configs": "pipeline", "claims": "claim"}  # folders of configs/
SECTIONS = tuple(dict.fromkeys([*_KINDS, *_GROUPS]))
_INDENT = "  "
_NARROWEST = 20  # characters that a description needs
_BESIDE_PATHS = 40  # characters that it needs beside import paths


@dataclass(frozen=True)
class Catalogue:
    """Names and descriptions, by section.

    Attributes:
        sections: section -> rows of (name, description), or of (name, import path, description) for registered parts.
        failures: what is wrong with the parts that other packages register, one line each.
    """

    sections: dict[str, list[tuple[str, ...]]]
    failures: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, list[list[str]]]:
        """Plain containers."""
        return {name: [list(row) for row in rows] for name, rows in self.sections.items()}

    def to_text(self) -> str:
        """Aligned columns; several sections each get their name as a heading.

        On a terminal, lines are as wide as it is, and import paths are left out where they leave no room. Elsewhere
        each name has one line with everything.
        """
        width = terminal_width()
        if len(self.sections) == 1:
            return "\n".join(line for rows in self.sections.values() for line in columns(rows, width))
        inside = width and width - len(_INDENT)
        return "\n\n".join(
            f"\n{_INDENT}".join([f"{name}:", *columns(rows, inside)]) for name, rows in self.sections.items()
        )


def catalogue(section: str | None = None) -> Catalogue:
    """List one of `SECTIONS`, or all of them. Imports no part of clep, so it is fast; those of other packages it tries.

    Example:
        >>> [name for name, description in catalogue("networks").sections["networks"]][:2]
        ['bptt', 'chl']
    """
    chosen = [section] if section else SECTIONS
    return Catalogue({name: list(_rows(name)) for name in chosen}, parts.problems())


def _rows(section: str) -> Iterator[tuple[str, ...]]:
    if section in _GROUPS:
        yield from config.builtin(_GROUPS[section]).items()
        if section == "networks":  # whose models of clep are behind these files
            foreign = {name: entry for name, entry in parts.registered("network").items() if not parts.is_own(entry)}
            yield from ((name, _first_docline(entry)) for name, entry in foreign.items())
        return
    kind = _KINDS[section]
    described = config.builtin(kind)
    for name, entry in parts.registered(kind).items():
        yield name, entry.value, _first_docline(entry) or described.get(name, "")


def _first_docline(entry: EntryPoint) -> str:
    """The first line of the docstring of a part, of clep's own read from its source."""
    if not parts.is_own(entry):
        with suppress(Exception):  # `parts.problems` says which
            found = entry.load()
            says = inspect.isclass(found) or inspect.isroutine(found)  # an object has the docstring of its class
            return (found.__doc__ or "").strip().partition("\n")[0] if says else ""
    if (file := _source_of(entry.module)) is None:
        return ""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return _said(tree.body, entry.attr).partition("\n")[0]


def _source_of(module: str) -> Path | None:
    """The file of one of clep's modules; to look for it by its whole name would import the packages around it."""
    inside = module.split(".")
    spec = importlib.util.find_spec(".".join(inside[:2])) if inside[0] == "clep" else None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    return file.parent.joinpath(*inside[2:]).with_suffix(".py") if inside[2:] else file


def _said(statements: Sequence[ast.stmt], name: str) -> str:
    """The docstring of a class or a function, or the text below a constant."""
    for node, below in zip(statements, [*statements[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
        is_named = isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)
        if is_named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            return str(below.value.value)
    return ""


def terminal_width() -> int | None:
    """The width of the terminal that the text goes to; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Align the columns of a table; descriptions, in the last one, are wrapped at `width`.

    Args:
        rows: the cells of each row, the description last.
        width: characters in a line; None for lines of any length.

    Example:
        >>> columns([("run", "train"), ("list", "say what there is")], None)
        ['run   train', 'list  say what there is']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None and len(widths) > 2 and width - sum(widths[:-1]) - 2 * len(widths) < _BESIDE_PATHS:
        return columns([(row[0], row[-1]) for row in rows], width)
    lines = []
    for row in rows:
        *left, last = row
        start = "".join(f"{cell:{size}}  " for cell, size in zip(left, widths, strict=False))
        room = max(_NARROWEST, width - len(start)) if width else max(1, len(last))
        first, *rest = textwrap.wrap(last, room, break_on_hyphens=False) or [""]
        lines += [f"{start}{first}".rstrip(), *(" " * len(start) + more for more in rest)]
    return lines
