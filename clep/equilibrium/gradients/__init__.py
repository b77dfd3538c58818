"""Gradient estimates, one file each, and their names."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from clep.checks import unknown
from clep.equilibrium.gradients.base import Criterion, Gradient, Needs, Prediction
from clep.equilibrium.gradients.bptt import Backpropagation
from clep.equilibrium.gradients.cep import CEP
from clep.equilibrium.gradients.clamped import Clamping
from clep.equilibrium.gradients.cost import CostNudging
from clep.equilibrium.gradients.linear import LinearNudging
from clep.equilibrium.gradients.ordinary import Autograd
from clep.errors import ConfigError
from clep.imports import check_name, import_path
from clep.specs.gradients import GRADIENTS


def gradient_class(name: str) -> type[Gradient]:
    """The class of a name of `clep.specs.gradients.GRADIENTS`, or of an import path `module:Class`.

    Raises:
        ConfigError: for an unknown name, or a path to something other than a `Gradient`.
    """
    check_name("gradient", name, GRADIENTS, "gradient")
    found = import_path(GRADIENTS.get(name, name), "gradient")
    if not (isinstance(found, type) and issubclass(found, Gradient)):
        raise ConfigError(f"gradient: `{name}` is not a class derived from `clep.equilibrium.Gradient`")
    return found


def gradient_options(cls: type[Gradient]) -> list[str]:
    """The names of an estimate's options: its fields except `adaptation`, which a strategy sets."""
    return [field.name for field in fields(cls) if field.name != "adaptation"] if is_dataclass(cls) else []


def gradient_from(values: Mapping[str, Any]) -> Gradient:
    """The estimate that is called `name` in `values`, with the other values as its options.

    Args:
        values: `name`, and options of the estimate by name.

    Raises:
        ConfigError: for an unknown name or option, or a value that does not fit.

    Example:
        >>> gradient_from({"name": "cost", "beta": 0.5}).phases
        'centered'
    """
    options = dict(values)
    cls = gradient_class(options.pop("name"))
    for key in options:
        if key not in gradient_options(cls):
            raise ConfigError(f"{key}: {unknown(key, gradient_options(cls), 'option')}")
    return cls(**options)


def known_name(gradient: Gradient) -> str:
    """The name of the built-in estimate that this one is or derives from; otherwise its import path."""
    names = (_name_of(cls) for cls in type(gradient).__mro__)
    return next((name for name in names if name in GRADIENTS), name_of(gradient))


def name_of(gradient: Gradient) -> str:
    """The name under which `gradient_class` finds the class of an estimate."""
    return _name_of(type(gradient))


def _name_of(cls: type) -> str:
    path = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, known in GRADIENTS.items() if known == path), path)


__all__ = [
    "CEP",
    "GRADIENTS",
    "Autograd",
    "Backpropagation",
    "Clamping",
    "CostNudging",
    "Criterion",
    "Gradient",
    "LinearNudging",
    "Needs",
    "Prediction",
    "gradient_class",
    "gradient_from",
    "gradient_options",
    "known_name",
    "name_of",
]
