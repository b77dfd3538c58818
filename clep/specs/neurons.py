"""Activations rho, a constant each. The functions use only methods of tensors, so torch is not imported."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from clep import parts
from clep.errors import ConfigError
from clep.parameters import made

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Neuron:
    """An activation.

    Attributes:
        rho: the activation, in place on a pre-activation of any shape; if `analytic`, on complex ones too.
        slope: rho' as a function of the potential (a new tensor), for energy-based dynamics.
        bounds: smallest and largest potential in energy-based dynamics; rho is flat beyond them.
        analytic: whether rho is analytic; holomorphic phases need it to be.
        probability: whether rho lies in [0, 1], so that states can be probabilities of firing.
        ramp: (slope, lowest, highest) if rho(u) = min(max(slope u, lowest), highest), which compiled steps can take.

    Example:
        >>> import torch
        >>> relu = Neuron(lambda u: u.relu_(), lambda u: (u > 0).to(u.dtype))
        >>> relu(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    rho: "Callable[[Tensor], Tensor]"
    slope: "Callable[[Tensor], Tensor]"
    bounds: tuple[float, float] | None = None
    analytic: bool = False
    probability: bool = False
    ramp: tuple[float, float, float] | None = None

    def __call__(self, u: "Tensor") -> "Tensor":
        """rho(u), in place."""
        return self.rho(u)


def _constant(value: float) -> "Callable[[Tensor], Tensor]":
    return lambda u: u.clone().fill_(value)


def _logistic(u: "Tensor") -> "Tensor":
    return u.neg_().exp_().add_(1.0).reciprocal_() if u.is_complex() else u.sigmoid_()


def _shifted_sigmoid_slope(u: "Tensor") -> "Tensor":
    rate = (4.0 * (u - 0.5)).sigmoid()
    return 4.0 * rate * (1.0 - rate)


def _ramp(slope: float, lowest: float, highest: float, *, probability: bool = False) -> Neuron:
    """rho(u) = min(max(slope u, lowest), highest)."""

    def rho(u: "Tensor") -> "Tensor":
        return (u if slope == 1.0 else u.mul_(slope)).clamp_(lowest, highest)

    bounds = lowest / slope, highest / slope
    return Neuron(rho, _constant(slope), bounds, probability=probability, ramp=(slope, lowest, highest))


HARD_SIGMOID = _ramp(1.0, 0.0, 1.0, probability=True)
"""rho(u) = min(max(u, 0), 1); its states are read as firing rates in [0, 1]."""

HALF_HARD_SIGMOID = _ramp(0.5, 0.0, 1.0, probability=True)
"""rho(u) = min(max(u / 2, 0), 1), `my_hard_sig` of Laborieux et al. 2021."""

CENTERED_HARD_SIGMOID = _ramp(1.0, -0.5, 0.5)
"""rho(u) = min(max(u, -1/2), 1/2), `ctrd_hard_sig` of Laborieux et al. 2021."""

SHIFTED_SIGMOID = Neuron(
    lambda u: _logistic(u.sub_(0.5).mul_(4.0)), _shifted_sigmoid_slope, analytic=True, probability=True
)
"""rho(u) = 1 / (1 + exp(-4 (u - 1/2))), `mysig` of Ernoult et al. 2019; slope 1 at u = 1/2."""

TANH = Neuron(lambda u: u.tanh_(), lambda u: 1.0 - u.tanh().square(), analytic=True)
"""rho(u) = tanh(u); states in [-1, 1]."""

NEURONS: dict[str, Neuron] = {
    "hard_sigmoid": HARD_SIGMOID,
    "half_hard_sigmoid": HALF_HARD_SIGMOID,
    "centered_hard_sigmoid": CENTERED_HARD_SIGMOID,
    "shifted_sigmoid": SHIFTED_SIGMOID,
    "tanh": TANH,
}
"""Name -> neuron, for those of clep. Every update looks its neuron up, so they are here besides the entry points."""

FEEDFORWARD_ACTIVATIONS: "dict[str, Callable[[Tensor], Tensor]]" = {
    "relu": lambda u: u.relu(),
    "tanh": lambda u: u.tanh(),
    "sigmoid": lambda u: u.sigmoid(),
}
"""Activations of the feed-forward network."""


def neuron_of(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Neuron:
    """The neuron of a name or of an import path: a `Neuron`, or what a class or function makes with options.

    Args:
        name: a registered name, or an import path `module:NEURON`.
        options: typed keyword-only parameters of the class or function.

    Raises:
        ConfigError: for an unknown name or option, or a path to something else.

    Example:
        >>> neuron_of("tanh").analytic
        True
    """
    found = NEURONS.get(name) or parts.find("neuron", name, "neuron")
    if isinstance(found, Neuron):
        if options:
            raise ConfigError(f"neuron_options: `{name}` takes none; leave it {{}}, got {dict(options)}")
        return found
    expected = "expected a `clep.equilibrium.Neuron`, or a class or function that makes one"
    if not callable(found):
        raise ConfigError(f"neuron: `{name}` is a {type(found).__name__}, {expected}")
    neuron = _made(found, json.dumps(options, sort_keys=True))
    if not isinstance(neuron, Neuron):
        raise ConfigError(f"neuron: `{name}` makes a {type(neuron).__name__}, {expected}")
    return neuron


@lru_cache(maxsize=64)
def _made(maker: Callable[..., Any], options: str) -> Any:
    """A neuron, made once: every update asks for it."""
    return made(maker, json.loads(options), key="neuron")
