"""The source of code as hashes: of clep itself, and of a plug-in with what it imports from its package or folder."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata, util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from clep import distribution, parts
from clep.errors import ConfigError

_LENGTH = 12  # characters of a hash
_OWN = ("clep", "clep.configs", "clep.strategies", "clep.pipelines")
_ENDINGS = (".py", *EXTENSION_SUFFIXES)
_INSTALLED = ("site-packages", "dist-packages")
_FOUNDATIONS = ("avalanche", "numpy", "pytorch_lightning", "sklearn", "torch", "torchvision")
"""What clep is built on: large, and the same for every result of an environment."""


@cache
def own_code() -> str:
    """Version of clep and a hash of all its source, `VERSION+HASH`; read once, since a process keeps what it imported.

    The hash tells a checkout with changes from its commit without asking git.

    Example:
        >>> from clep.distribution import version
        >>> own_code().startswith(version() + "+")
        True
    """
    files: dict[str, Path] = {}
    for package in _OWN:
        folder = Path(str(sys.modules[package].__file__ if package in sys.modules else _origin(package))).parent
        inside = package.replace(".", "/")  # where an installed clep has it, so that a checkout has the same hash
        files |= {f"{inside}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.py")}
    return f"{distribution.version()}+{_hash(files)}"


def plugin_code(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The code from outside clep behind parts.

    Args:
        named: (kind, name) of each part, as `clep.parts.find` takes them.

    Returns:
        Module -> a hash of its source and of what it imports from its own package or folder, `VERSION+HASH` if it
        belongs to a distribution. What clep is built on counts by its version and the file of the module.

    Raises:
        ConfigError: if an import path cannot be imported.

    Example:
        >>> plugin_code([("strategy", "sleep_replay")]), list(plugin_code([("cost", "torch.nn:HuberLoss")]))
        ({}, ['torch.nn', 'torch.nn.modules.loss'])
    """
    found: dict[str, str] = {}
    for kind, name in named:
        entry = parts.registered(kind).get(name)
        owner = None if entry is None or parts.is_own(entry) else entry.dist
        for module in _modules(kind, name, entry):
            found[module] = _installed(module) if _is_installed(module) else _code(module, owner)
    return found


def _modules(kind: str, name: str, entry: metadata.EntryPoint | None) -> list[str]:
    """The modules outside clep that a name leads to: the named one, and those of the class and its bases."""
    named = name.replace(":", ".").rpartition(".")[0] if entry is None else entry.module
    found = parts.find(kind, name)
    bases = found.__mro__ if isinstance(found, type) else (found,)
    homes = [str(getattr(base, "__module__", "")) for base in bases]
    # Every strategy derives from Avalanche's plug-ins and every cost from torch's modules.
    kept = [home for i, home in enumerate(homes) if i == 0 or _top(home) not in _FOUNDATIONS]
    return sorted({module for module in (named, *kept) if module and not _is_own(module)})


def _is_own(module: str) -> bool:
    top = _top(module)
    return top == "clep" or (top in sys.stdlib_module_names and top != "__main__")


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_installed(module: str) -> bool:
    origin = _origin(module)
    return origin is not None and _root(module, origin).name in _INSTALLED


@cache
def _installed(module: str) -> str:
    """`_code` of a module in an environment, whose code does not change while a process runs."""
    return _code(module)


def _code(module: str, owner: metadata.Distribution | None = None) -> str:
    """Version of the distribution, if there is one, and hash of the source.

    Args:
        module: the module.
        owner: its distribution, if it is known, as that of an entry point; an editable one lies elsewhere.
    """
    origin = _origin(module)
    if origin is None:
        return _hash({})
    root = _root(module, origin)
    files = {origin} if _top(module) in _FOUNDATIONS else _imported(module, origin, root)
    digest = _hash({path.relative_to(root).as_posix(): path for path in files})
    distribution = owner or _distribution(_top(module), root)
    return digest if distribution is None else f"{distribution.name}-{distribution.version}+{digest}"


def _origin(module: str) -> Path | None:
    """The file of a module; None for one that has none, such as a package without `__init__.py`."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is None:
        try:
            spec = util.find_spec(module)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"plug-in: cannot find `{module}`: {error}") from error
        loaded = spec.origin if spec is not None else None
    path = Path(loaded) if loaded else None
    return path if path is not None and path.is_file() else None


def _root(module: str, origin: Path) -> Path:
    """The folder that a module is imported from."""
    deep = module.count(".") + (origin.stem == "__init__")
    return origin.parents[deep]


def _distribution(top: str, root: Path) -> metadata.Distribution | None:
    """The distribution that a top-level module in a folder belongs to."""
    there = [*metadata.distributions(path=[str(root)])]
    for found in there:
        if top in (found.read_text("top_level.txt") or "").split():
            return found
    for found in there:  # lists of files are long
        if any(_top(file.parts[0]) == top for file in found.files or ()):
            return found
    return None


def _imported(module: str, origin: Path, root: Path) -> set[Path]:
    """The file of a module, and those of all that it imports from its folder; in an environment, from its own package.

    Imports are read, not run, so that those within functions count, and in every process the same.
    """
    files, seen, waiting = {origin}, {module}, [*_packages(module), *_names_in(origin, module)]
    while waiting:
        name = waiting.pop()
        is_foreign = root.name in _INSTALLED and _top(name) != _top(module)
        if name in seen or is_foreign or _top(name) == "clep":
            continue
        seen.add(name)
        waiting += _packages(name)
        if (path := _file(root, name)) is not None:
            files.add(path)
            waiting += _names_in(path, name)
    return files


def _packages(module: str) -> list[str]:
    """The packages around a module, which run first."""
    return [module.rpartition(".")[0]] if "." in module else []


def _file(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    candidates = [place / f"__init__{ending}" for ending in _ENDINGS]
    candidates += [place.with_name(place.name + ending) for ending in _ENDINGS]
    return next((path for path in candidates if path.is_file()), None)


def _names_in(path: Path, module: str) -> Iterator[str]:
    """What a source file imports, by absolute names; a name in a module may be a module of its own."""
    if path.suffix != ".py":
        return
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*around, *filter(None, [node.module])])
            yield from filter(None, [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)])


def _hash(files: dict[str, Path]) -> str:
    """A hash of names and contents."""
    found = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()[:_LENGTH]
