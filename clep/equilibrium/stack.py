"""Dense layers on top of each other: all that consolidation needs from a model.

A model returns a `DenseStack` from its method `dense_stack()`. Equilibrium networks and `clep.feedforward.Feedforward`
have one. For other models, the `nn.Linear` layers are used if they form a stack.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from clep.errors import ConfigError, within
from clep.renames import announce


@dataclass(frozen=True)
class Branches:
    """The branches on which the inputs of a layer's units arrive.

    Args:
        weight: (B, n_l, n_{l-1}), masked.
        mask: 1 where there is a synapse and 0 elsewhere, shaped as `weight`.
        write: takes new weights (B, n_l, n_{l-1}) and changes the model to match.
    """

    weight: Tensor
    mask: Tensor
    write: Callable[[Tensor], Any]


@dataclass(frozen=True)
class DenseLayer:
    """One layer of a stack.

    Args:
        name: for logs and messages.
        weight: (n_l, n_{l-1}); a parameter, or a tensor computed from parameters when the stack was made.
        time_step: dt of each unit, (n_l,); None for units without dynamics.
        write: takes a new weight (n_l, n_{l-1}) and changes the model to match, as far as possible; by default the new
            weight is copied into `weight`.
        branches: of which `weight` is the mean, for units that have them.
        bias: of the units, (..., n_l), a parameter; None for units without, and where it is computed from others.
    """

    name: str
    weight: Tensor
    time_step: Tensor | None = None
    write: Callable[[Tensor], Any] | None = None
    branches: Branches | None = None
    bias: Tensor | None = None


@dataclass(frozen=True)
class DenseStack:
    """The dense layers of a model, lowest first.

    Args:
        layers: at least one; the inputs of each are the outputs of the one below.
        activity: x (B, ...) -> activity below each layer, (B, n_{l-1}), lowest first; by default that of ReLU units
            without biases, starting from `x`.
        residual: x (B, ...) -> how far the model is from its fixed point after settling; None for models that do not
            settle.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import DenseLayer
        >>> lower, upper = nn.Linear(4, 3), nn.Linear(3, 2)
        >>> stack = DenseStack([DenseLayer("lower", lower.weight), DenseLayer("upper", upper.weight)])
        >>> [state.shape for state in stack.presynaptic(torch.rand(5, 4))]
        [torch.Size([5, 4]), torch.Size([5, 3])]
        >>> stack.write([torch.zeros(3, 4), torch.ones(2, 3)])
        >>> upper.weight.sum().item()
        6.0
    """

    layers: Sequence[DenseLayer]
    activity: Callable[[Tensor], list[Tensor]] | None = None
    residual: Callable[[Tensor], float] | None = None

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def weights(self) -> list[Tensor]:
        """Weight of each layer, (n_l, n_{l-1}), lowest first."""
        return [layer.weight for layer in self.layers]

    def presynaptic(self, x: Tensor) -> list[Tensor]:
        """Activity below each layer for a batch (B, ...): (B, n_{l-1}), lowest first."""
        if self.activity is not None:
            return self.activity(x)
        states = [x.flatten(1)]
        for weight in self.weights[:-1]:
            states.append(torch.relu(states[-1] @ weight.T))
        return states

    @torch.no_grad()
    def write(self, weights: Sequence[Tensor]) -> None:
        """Give the layers new weights (n_l, n_{l-1}), lowest first."""
        for layer, new in zip(self.layers, weights, strict=True):
            if layer.write is None:
                layer.weight.copy_(new)
            else:
                layer.write(new)


def stack_of(model: nn.Module) -> DenseStack:
    """Return the stack of a model: its own `dense_stack()`, or its `nn.Linear` layers in order.

    Raises:
        ConfigError: if it has none; the message begins with `network`.

    Example:
        >>> from torch import nn
        >>> [layer.name for layer in stack_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))).layers]
        ['0', '2']
    """
    own: Callable[[], DenseStack] | None = getattr(model, "dense_stack", None)
    if own is not None:
        with within("network"):
            return own()
    if any(hasattr(model, member) for member in _OLD_MEMBERS):
        return _stack_of_old_members(model)
    return DenseStack(_linear_layers(model))


def refuse_computed(name: str, module: nn.Module, weight: str) -> None:
    """Refuse a weight that is computed from other parameters (parametrized, pruned): what is written to it is lost.

    Args:
        name: of the module, for the message.
        module: a layer.
        weight: name of one of its weights.

    Raises:
        ConfigError: naming the layer.
    """
    if weight not in module._parameters:
        raise ConfigError(
            f"{name}.{weight}: it is computed from other parameters, and what consolidation writes would be lost; "
            "call `torch.nn.utils.parametrize.remove_parametrizations` first (`prune.remove` for pruned weights), or "
            "leave consolidation out"
        )


def own_bias(module: nn.Module) -> Tensor | None:
    """The bias of a layer, if it has one that is a parameter of its own.

    Example:
        >>> from torch import nn
        >>> own_bias(nn.Linear(4, 3, bias=False)) is None
        True
    """
    return module._parameters.get("bias")


def _linear_layers(model: nn.Module) -> list[DenseLayer]:
    """The `nn.Linear` layers; they must fit on top of each other and hold all parameters of the model."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for name, module in linear:
        with within("network"):
            refuse_computed(name, module, "weight")
    fit = all(low.out_features == high.in_features for (_, low), (_, high) in pairwise(linear))
    inside = {id(parameter) for _, module in linear for parameter in module.parameters()}
    if not linear or not fit or any(id(parameter) not in inside for parameter in model.parameters()):
        raise ConfigError(
            f"network: no stack of dense layers was found in {type(model).__name__}; give it a method `dense_stack()` "
            "that returns a `clep.equilibrium.stack.DenseStack`."
        )
    return [DenseLayer(name, module.weight, bias=own_bias(module)) for name, module in linear]


# The rest reads models written for `sleep_layers()` and its five companions. Once they are no longer supported, delete
# it together with its call in `stack_of`.

_OLD_MEMBERS = ("sleep_layers", "set_sleep_layers", "sleep_time_steps", "presynaptic")
_WARNED: WeakSet[type] = WeakSet()


def _stack_of_old_members(model: Any) -> DenseStack:
    _warn_of_old_members(type(model))
    own_layers, own_write = getattr(model, "sleep_layers", None), getattr(model, "set_sleep_layers", None)
    layers = _linear_layers(model) if own_layers is None else [DenseLayer(*layer) for layer in own_layers()]
    steps = model.sleep_time_steps() if hasattr(model, "sleep_time_steps") else [None] * len(layers)
    written: list[Tensor] = []

    def write(new: Tensor) -> None:  # the old method takes all weights at once
        written.append(new)
        if len(written) == len(layers):
            model.set_sleep_layers(list(written))
            written.clear()

    def residual(x: Tensor) -> float:
        model.free_phase(x)
        return float(model.residual)

    return DenseStack(
        [
            DenseLayer(layer.name, layer.weight, time_step, None if own_write is None else write)
            for layer, time_step in zip(layers, steps, strict=True)
        ],
        getattr(model, "presynaptic", None),
        residual if hasattr(model, "free_phase") and hasattr(model, "residual") else None,
    )


def _warn_of_old_members(model: type) -> None:
    if model in _WARNED:
        return
    announce(f"{model.__name__}.{', '.join(_OLD_MEMBERS)}", f"{model.__name__}.dense_stack()")
    _WARNED.add(model)
