"""Parts of your own by their import path, `module:Name`."""

import importlib
from collections.abc import Iterable
from typing import Any

from clep.checks import unknown
from clep.errors import ConfigError


def is_import_path(name: str) -> bool:
    """Say whether a name is an import path: `module:Name`, or `module.Name`."""
    return ":" in name or "." in name


def check_name(key: str, name: str, valid: Iterable[str], what: str) -> None:
    """Refuse a name that is neither one of `valid` nor an import path.

    Raises:
        ConfigError: with the nearest valid name.
    """
    if name not in (known := list(valid)) and not is_import_path(name):
        raise ConfigError(f"{key}: {unknown(name, known, what)}, or an import path `module:Name`")


def import_path(path: str, what: str) -> Any:
    """Import what a path `module:Name` (or `module.Name`) names.

    Args:
        path: where it is.
        what: the parameter that names it, for the message.

    Raises:
        ConfigError: if it cannot be imported, saying why.
    """
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{what}: cannot import `{path}` ({error}); the module must be importable, e.g. installed or in the "
            "folder that Python starts from"
        ) from error
