"""Gradient estimates, one file each, and their names."""

from collections.abc import Mapping, Sequence
from typing import Any

from clep import parts
from clep.checks import one_of
from clep.equilibrium.gradients.base import Criterion, Gradient, Needs, Prediction
from clep.equilibrium.gradients.bptt import Backpropagation
from clep.equilibrium.gradients.cep import CEP
from clep.equilibrium.gradients.clamped import Clamping
from clep.equilibrium.gradients.cost import CostNudging
from clep.equilibrium.gradients.linear import LinearNudging
from clep.errors import ConfigError
from clep.parameters import check_arguments
from clep.specs.layers import ConvLayer
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSpec
from clep.specs.refusals import Setup, refuse


def gradient_class(name: str) -> type[Gradient]:
    """The class of a registered name, or of an import path `module:Class`.

    Raises:
        ConfigError: for an unknown name, or a path to something other than a `Gradient`.
    """
    found = parts.find("gradient", name, "gradient")
    if not (isinstance(found, type) and issubclass(found, Gradient)):
        raise ConfigError(f"gradient: `{name}` is not a class derived from `clep.equilibrium.Gradient`")
    return found


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
    check_options(cls, options)
    try:
        return cls(**options)
    except TypeError as error:  # an abstract method without a body
        raise ConfigError(f"gradient: `{values['name']}` cannot be made ({error})") from error


_SET_BY_STRATEGIES = ("adaptation",)


def check_options(cls: type[Gradient], options: Mapping[str, Any]) -> None:
    """Refuse options that an estimate does not have, or whose values do not fit.

    Raises:
        ConfigError: naming the option.
    """
    for key in options:
        one_of(key, key, cls.option_names(), "option")
    check_arguments(cls, options, given=_SET_BY_STRATEGIES)


def refuse_gradient(network: NetworkSpec, convolutions: Sequence[ConvLayer], gradient: Gradient) -> None:
    """Refuse an estimate that has no meaning in a network.

    Raises:
        ConfigError: with the option, the reason and what to set instead.
    """
    if not isinstance(gradient, Gradient):
        raise ConfigError(f"gradient: expected a `clep.equilibrium.Gradient`, got {type(gradient).__name__}")
    refuse("gradient", Setup(network, convolutions, learner_of(gradient)))


def learner_of(gradient: Gradient, **optimization: Any) -> LearnerSpec:
    """A learner's options with this estimate, or with the built-in one that it derives from, as refusals see it."""
    name = known_name(gradient)
    known = (
        gradient_class(name).option_names() if name in parts.own("gradient") else []
    )  # one of your own may have others
    options = {key: value for key, value in gradient.plain().items() if key in known}
    return LearnerSpec(**options, **optimization, gradient=name)


def known_name(gradient: Gradient) -> str:
    """The name of the built-in estimate that this one is or derives from; otherwise its import path."""
    names = (_name_of(cls) for cls in type(gradient).__mro__)
    return next((name for name in names if name in parts.own("gradient")), name_of(gradient))


def name_of(gradient: Gradient) -> str:
    """The name under which `gradient_class` finds the class of an estimate."""
    return _name_of(type(gradient))


def _name_of(cls: type) -> str:
    return parts.name_of("gradient", cls)


__all__ = [
    "CEP",
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
    "known_name",
    "learner_of",
    "name_of",
    "refuse_gradient",
]
