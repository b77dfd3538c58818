"""Activations rho by the names a config uses."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.errors import ConfigError
from clep.imports import check_name, import_path
from clep.specs.neurons import NEURON_FACTS, NeuronFacts


@dataclass(frozen=True)
class Neuron:
    """An activation.

    Attributes:
        rho: the activation, in place on a pre-activation of any shape; where `analytic`, complex ones too.
        slope: rho' as a function of the potential (a new tensor), for energy-based dynamics.
        facts: what else is known about it.

    Example:
        >>> import torch
        >>> from clep.equilibrium.neurons import NeuronFacts
        >>> relu = Neuron(lambda u: u.relu_(), lambda u: (u > 0).to(u.dtype), NeuronFacts())
        >>> relu(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    rho: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    facts: NeuronFacts = NeuronFacts()

    def __call__(self, u: Tensor) -> Tensor:
        """rho(u), in place."""
        return self.rho(u)


def _logistic(u: Tensor) -> Tensor:
    return u.neg_().exp_().add_(1.0).reciprocal_() if u.is_complex() else u.sigmoid_()


def _shifted_sigmoid_slope(u: Tensor) -> Tensor:
    rate = torch.sigmoid(4.0 * (u - 0.5))
    return 4.0 * rate * (1.0 - rate)


NEURONS: dict[str, Neuron] = {
    name: Neuron(*functions, NEURON_FACTS[name])
    for name, functions in {
        # rho(u) = min(max(u, 0), 1); its states are read as firing rates in [0, 1].
        "hard_sigmoid": (lambda u: u.clamp_(0.0, 1.0), torch.ones_like),
        # rho(u) = min(max(u / 2, 0), 1), `my_hard_sig` of Laborieux et al. 2021.
        "half_hard_sigmoid": (lambda u: u.mul_(0.5).clamp_(0.0, 1.0), lambda u: torch.full_like(u, 0.5)),
        # rho(u) = min(max(u, -1/2), 1/2), `ctrd_hard_sig` of Laborieux et al. 2021.
        "centered_hard_sigmoid": (lambda u: u.clamp_(-0.5, 0.5), torch.ones_like),
        # rho(u) = 1 / (1 + exp(-4 (u - 1/2))), `mysig` of Ernoult et al. 2019; slope 1 at u = 1/2.
        "shifted_sigmoid": (lambda u: _logistic(u.sub_(0.5).mul_(4.0)), _shifted_sigmoid_slope),
        # rho(u) = tanh(u); states in [-1, 1].
        "tanh": (lambda u: u.tanh_(), lambda u: 1.0 - torch.tanh(u).square()),
    }.items()
}
"""Activation name -> neuron."""


def neuron_of(name: str) -> Neuron:
    """The neuron of a name or of an import path `module:NEURON`.

    Raises:
        ConfigError: for an unknown name, or a path to anything but a `Neuron`.
    """
    if name in NEURONS:
        return NEURONS[name]
    check_name("neuron", name, NEURONS, "neuron")
    found = import_path(name, "neuron")
    if not isinstance(found, Neuron):
        raise ConfigError(f"neuron: `{name}` is a {type(found).__name__}, expected a `clep.equilibrium.Neuron`")
    return found
