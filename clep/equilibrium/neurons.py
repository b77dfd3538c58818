"""Activations rho, in place on a pre-activation, by the names a config uses."""

from collections.abc import Callable

from torch import Tensor


def hard_sigmoid(u: Tensor) -> Tensor:
    """rho(u) = min(max(u, 0), 1), in place. Its states are read as firing rates in [0, 1]."""
    return u.clamp_(0.0, 1.0)


def half_hard_sigmoid(u: Tensor) -> Tensor:
    """rho(u) = min(max(u / 2, 0), 1), in place (Laborieux et al. 2021, `my_hard_sig`)."""
    return u.mul_(0.5).clamp_(0.0, 1.0)


def shifted_sigmoid(u: Tensor) -> Tensor:
    """rho(u) = 1 / (1 + exp(-4 (u - 1/2))), in place (Ernoult et al. 2019, `mysig`); smooth, slope 1 at u = 1/2."""
    return u.sub_(0.5).mul_(4.0).sigmoid_()


def tanh(u: Tensor) -> Tensor:
    """rho(u) = tanh(u), in place; states in [-1, 1]."""
    return u.tanh_()


NEURONS: dict[str, Callable[[Tensor], Tensor]] = {
    function.__name__: function for function in (hard_sigmoid, half_hard_sigmoid, shifted_sigmoid, tanh)
}
"""Activation name -> in-place function."""
