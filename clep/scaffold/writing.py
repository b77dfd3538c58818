"""Write the files of a new part from templates."""

import importlib.util
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clep import distribution, parts
from clep.checks import one_of
from clep.config import builtin
from clep.destinations import check_folder
from clep.errors import ConfigError

_SHARED = {"pyproject.toml": "shared/pyproject.toml", ".gitignore": "shared/gitignore"}

KINDS: Mapping[str, Mapping[str, str]] = {
    "strategy": _SHARED
    | {
        "README.md": "strategy/README.md",
        "{name}/__init__.py": "strategy/__init__.py",
        "{name}/strategy.py": "strategy/strategy.py",
        "tests/test_{name}.py": "strategy/test.py",
        "{name}.yaml": "strategy/claim.yaml",
    },
    "network": _SHARED
    | {
        "README.md": "network/README.md",
        "{name}/__init__.py": "network/__init__.py",
        "{name}/network.py": "network/network.py",
        "tests/test_{name}.py": "network/test.py",
    },
    "dataset": _SHARED
    | {
        "README.md": "dataset/README.md",
        "{name}/__init__.py": "dataset/__init__.py",
        "{name}/dataset.py": "dataset/dataset.py",
        "tests/test_{name}.py": "dataset/test.py",
    },
    "claim": {"{name}.yaml": "claim/claim.yaml"},
}
"""What can be made: kind -> file -> template."""

_ABOUT = {
    "strategy": "A strategy that moves weights back after each experience.",
    "network": "A small convolutional network.",
    "dataset": "A data set of noisy stripes.",
}
_NEXT = {
    "strategy": "pip install -e '.[dev]' && pytest && clep run strategies={name}",
    "network": "pip install -e '.[dev]' && pytest && clep run network={name}",
    "dataset": "pip install -e '.[dev]' && pytest && clep run stream={name} stream.experiences=2",
    "claim": "clep reproduce {name}.yaml --small",
}


@dataclass(frozen=True)
class Scaffold:
    """What was written.

    Attributes:
        folder: where.
        files: the files, from there.
        next: a command to go on with, in that folder.
    """

    folder: Path
    files: tuple[str, ...]
    next: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {"folder": str(self.folder), "files": list(self.files), "next": self.next}

    def to_text(self) -> str:
        """The files, and what to do next."""
        lines = [f"{self.folder}:", *(f"  {file}" for file in self.files)]
        there = "" if self.folder == Path() else f"cd {self.folder} && "
        return "\n".join([*lines, f"Go on: {there}{self.next}"])


def new(kind: str, name: str, into: str | Path | None = None) -> Scaffold:
    """Write a new part: a package in a folder of its own, or the file of a claim.

    Args:
        kind: one of `KINDS`.
        name: of the part, of its module, and of the package.
        into: the folder; by default one called like the part, in the working directory, and for a claim that itself.

    Raises:
        ConfigError: for a name that is none or taken, or if a file is there already.

    Example:
        >>> import tempfile
        >>> written = new("strategy", "slow_weights", tempfile.mkdtemp())
        >>> [file for file in written.files if file.endswith("strategy.py")]
        ['slow_weights/strategy.py']
    """
    one_of("new", kind, KINDS, "kind of part")
    _check_spelling(kind, name)
    folder = Path(into) if into is not None else Path(name if len(KINDS[kind]) > 1 else ".")
    check_folder("--into", str(folder))
    files = {target.format(name=name): template for target, template in KINDS[kind].items()}
    for file in files:
        if (folder / file).exists():
            raise ConfigError(f"--into: {folder / file} exists; choose another folder or name")
    _refuse_taken(kind, name)
    values = _values(kind, name)
    for file, template in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_templates().get_template(f"{template}.jinja").render(values), encoding="utf-8")
    return Scaffold(folder, tuple(files), _NEXT[kind].format(name=name))


def _values(kind: str, name: str) -> dict[str, str]:
    """What the templates fill in."""
    cls = "".join(part.capitalize() for part in name.split("_"))
    values = {"name": name, "cls": cls, "clep": distribution.NAME, "distribution": name.replace("_", "-")}
    if kind in parts.KINDS:
        path = f"{name}.{kind}:{cls if kind in ('strategy', 'network') else name}"
        values |= {"group": parts.KINDS[kind].group, "path": path, "about": _ABOUT[kind]}
    return values


def _check_spelling(kind: str, name: str) -> None:
    """Refuse what no module could be called."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) and not keyword.iskeyword(name):
        return
    nearest = re.sub(r"\W+", "_", name.lower()).strip("_")
    guess = f"; did you mean `{nearest}`?" if re.fullmatch(r"[a-z][a-z0-9_]*", nearest) and nearest != name else ""
    raise ConfigError(
        f"new: `{name}` is no name of a module: expected small letters, digits and `_`, as in my_{kind}{guess}"
    )


def _refuse_taken(kind: str, name: str) -> None:
    """Refuse the name of another part, or of a module that could be imported instead."""
    if kind == "claim":
        if name in builtin("claim"):
            raise ConfigError(f"new: clep has a claim `{name}` already; choose another name")
        return
    if name in parts.registered(kind):
        raise ConfigError(f"new: there is a {parts.KINDS[kind].word} `{name}` already; choose another name")
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        raise ConfigError(f"new: there is a module `{name}` already, in {spec.origin}; choose another name")


@cache
def _templates() -> Any:
    import jinja2  # needed by this command alone

    return jinja2.Environment(
        loader=jinja2.PackageLoader("clep.scaffold"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
