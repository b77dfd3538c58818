"""Check the strategies of a package, a file or a module against the contract of strategies."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from avalanche.core import BasePlugin
from avalanche.training.templates.base import BaseTemplate

from clep import parts, progress, registry
from clep.catalogue import columns, terminal_width
from clep.checks import unknown
from clep.errors import ConfigError
from clep.testing import Outcome, Subject, cases, check_strategy


@dataclass(frozen=True)
class Checked:
    """What the checks say about each strategy.

    Attributes:
        outcomes: name of the strategy -> an outcome for each case of each check.
    """

    outcomes: Mapping[str, Sequence[Outcome]]

    @property
    def failed(self) -> bool:
        """Whether a check fails."""
        return any(outcome.status == "fails" for found in self.outcomes.values() for outcome in found)

    def to_json(self) -> dict[str, Any]:
        """Plain containers: name -> check -> status and note."""
        return {
            name: {outcome.check: {"status": outcome.status, "note": outcome.note} for outcome in found}
            for name, found in self.outcomes.items()
        }

    def to_text(self) -> str:
        """A line for each check, and a sum below those of each strategy."""
        width = terminal_width()
        return "\n\n".join("\n".join(_lines(name, found, width)) for name, found in self.outcomes.items())


def _lines(name: str, found: Sequence[Outcome], width: int | None) -> Iterator[str]:
    yield f"{name}:"
    indented = width and width - 2
    rows = [(outcome.status, outcome.check, outcome.note) for outcome in found]
    yield from (f"  {line}" for line in columns(rows, indented))
    counts = Counter(outcome.status for outcome in found)
    yield f"  {counts['ok']} ok, {counts['fails']} failed, {counts['skipped']} skipped"


def run(target: str, parameters: Mapping[str, Mapping[str, Any]] | None = None) -> Checked:
    """Check every strategy that is found.

    Args:
        target: an installed distribution, a registered name, an import path, a module, a Python file, or the folder of
            a package or project.
        parameters: name of a strategy -> its parameters.

    Raises:
        ConfigError: if nothing is found, or for a parameter of another strategy.
    """
    names = subjects(target)
    if foreign := [name for name in parameters or {} if name not in names]:
        raise ConfigError(f"strategy.{foreign[0]}: {unknown(foreign[0], names, 'strategy')}")
    outcomes: dict[str, list[Outcome]] = {}
    lines = progress.Lines()
    with progress.bar(total=len(names) * len(cases()), desc="checks", unit="check", lines=False) as bar:
        for name in names:
            outcomes[name] = []
            for outcome in check_strategy(Subject(name, **dict((parameters or {}).get(name, {})))):
                outcomes[name].append(outcome)
                bar.update()
                lines.tell(f"{name}: {len(outcomes[name])}/{len(cases())} checks")
    return Checked(outcomes)


def subjects(target: str) -> list[str]:
    """The strategies that a target stands for, by the names that `clep.registry.find` takes.

    Args:
        target: as for `run`.

    Raises:
        ConfigError: if there are none.

    Example:
        >>> subjects("sleep_replay")
        ['sleep_replay']
    """
    if target in parts.registered("strategy"):
        return [target]
    if ":" in target:
        registry.find(target)
        return [target]
    names = _of_path(Path(target).resolve()) if _is_path(target) else _of_distribution(target)
    if names is None:
        names = _of_module(target)
    if not names:
        raise ConfigError(
            f"check: `{target}` has no strategy: neither a registered one nor a class of Avalanche's kind"
        )
    return names


def _is_path(target: str) -> bool:
    """Whether a target is meant as a path; a folder with anything else in it may be called like a package."""
    path = Path(target)
    is_own = any((path / file).is_file() for file in ("__init__.py", "pyproject.toml"))
    return path.exists() and (is_own or path.is_file() or "/" in target or target.startswith("."))


def _of_distribution(name: str) -> list[str] | None:
    """The strategies that an installed distribution registers; None if there is no such distribution."""
    try:
        own = metadata.distribution(name).entry_points
    except (metadata.PackageNotFoundError, ValueError):
        return None
    group = parts.KINDS["strategy"].group
    return [_registered_as(entry.name, entry.value) for entry in own if entry.group == group]


def _registered_as(name: str, path: str) -> str:
    """The name if it stands for this class, otherwise its import path."""
    entry = parts.registered("strategy").get(name)
    return name if entry is not None and entry.value == path else path


def _of_module(name: str) -> list[str]:
    """The strategies that a module defines, and the modules below it."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"check: {_unknown(name)}")
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"check: `{name}` cannot be imported: {error}") from error
        raise ConfigError(f"check: {_unknown(name)}") from error
    except Exception as error:  # a module can raise anything while it is imported
        raise ConfigError(f"check: `{name}` cannot be imported: {type(error).__name__}: {error}") from error
    modules = [found]
    for below in pkgutil.walk_packages(getattr(found, "__path__", []), f"{name}.", onerror=lambda broken: None):
        with suppress(Exception):  # a script among the modules of a package; its strategies are not for others
            modules.append(importlib.import_module(below.name))
    return [path for module in modules for path in _defined(module)]


def _defined(module: Any) -> Iterator[str]:
    """The strategies of a module, not those that it imports or calls its own."""
    for name, value in vars(module).items():
        is_plugin = inspect.isclass(value) and issubclass(value, BasePlugin) and not issubclass(value, BaseTemplate)
        if (
            is_plugin
            and not name.startswith("_")
            and value.__module__ == module.__name__
            and not inspect.isabstract(value)
        ):
            yield registry.name_of(value)


def _of_path(path: Path) -> list[str]:
    """The strategies of a Python file, of the folder of a package, or of a project with a pyproject.toml."""
    if path.is_file():
        if path.suffix != ".py" or not path.stem.isidentifier():
            raise ConfigError(f"check: expected a Python file, such as my_strategy.py, got {path}")
        return _of_module_in(path.parent, path.stem)
    if (path / "__init__.py").is_file():
        return _of_module_in(path.parent, path.name)
    project = path / "pyproject.toml"
    if not project.is_file():
        raise ConfigError(f"check: {path} is neither a package (__init__.py) nor a project (pyproject.toml)")
    said = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    entries = said.get("entry-points", {}).get(parts.KINDS["strategy"].group, {})
    _reach(*(folder for folder in (path / "src", path) if folder.is_dir()))
    return [_registered_as(name, value) for name, value in entries.items()]


def _of_module_in(folder: Path, name: str) -> list[str]:
    while (folder / "__init__.py").is_file():  # a module of a package is imported by its whole name
        folder, name = folder.parent, f"{folder.name}.{name}"
    _reach(folder)
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    places = [*(spec.submodule_search_locations or []), spec.origin or ""] if spec is not None else []
    if not any(Path(place).resolve().is_relative_to(folder) for place in places):
        raise ConfigError(f"check: another `{top}` can be imported first, from {places[0]}; give yours another name")
    return _of_module(name)


def _reach(*folders: Path) -> None:
    """Let modules in these folders be imported, after those that can be already."""
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]


def _unknown(name: str) -> str:
    every = {entry.dist.name for kind in parts.KINDS for entry in parts.registered(kind).values() if entry.dist}
    known = sorted({*every, *parts.names("strategy")})
    return f"{unknown(name, known, 'package or strategy')}; or give a module, a Python file or a folder"
