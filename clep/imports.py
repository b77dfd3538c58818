"""Your own code by import path. Imports only what it is asked for; parts by name are in `clep.parts`."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from clep.errors import ConfigError

HINT = "A module must be installed, or lie in the folder that Python starts from"


def is_import_path(name: str) -> bool:
    """Whether a name is an import path, `module:Name` or `module.Name`, rather than a registered name.

    Example:
        >>> is_import_path("my_module:Mine"), is_import_path("sleep_replay")
        (True, False)
    """
    return ":" in name or "." in name


def exported(package: str, name: str, homes: Mapping[str, str], public: Iterable[str]) -> Any:
    """A public name of a package, imported when it is first asked for.

    Args:
        package: the package.
        name: what it is asked for.
        homes: name -> module that has it; or that is it, if the module bears its name.
        public: all public names, for the message.

    Raises:
        AttributeError: if the name has no home.

    Example:
        >>> exported("clep", "stream", {"stream": "clep.streams"}, ["stream"]).__name__
        'stream'
    """
    if name not in homes:
        raise AttributeError(f"module '{package}' has no attribute '{name}'; public names: {', '.join(public)}")
    home = importlib.import_module(homes[name])
    return home if home.__name__ == f"{package}.{name}" else getattr(home, name)


def import_path(path: str, what: str) -> Any:
    """Import the object that a path names.

    Args:
        path: `module:Name`, or `module.Name`.
        what: the parameter that holds the path, for the message.

    Raises:
        ConfigError: if the module does not exist, fails to import, or has no such name.

    Example:
        >>> import_path("math:hypot", "neuron")(3.0, 4.0)
        5.0
        >>> import_path("math:hypott", "neuron")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: neuron: cannot import `math:hypott`: `math` has no `hypott`; did you mean `hypot`?
    """
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute or module_name.startswith("."):
        raise ConfigError(f"{what}: cannot import `{path}`: expected `module:Name`")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a module can raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{what}: cannot import `{path}`: {reason}. {HINT}") from error
    if not hasattr(found, attribute):
        nearest = difflib.get_close_matches(attribute, dir(found), n=1)
        guess = f"; did you mean `{nearest[0]}`?" if nearest else ""
        raise ConfigError(f"{what}: cannot import `{path}`: `{module_name}` has no `{attribute}`{guess}")
    return getattr(found, attribute)
