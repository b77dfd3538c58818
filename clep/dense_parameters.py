"""The parameters behind the layers of a dense stack: what strategies need that act on updates instead of weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clep.equilibrium.stack import DenseStack
from clep.errors import ConfigError


@dataclass
class DenseParameters:
    """The parameters of a dense layer with n units above m.

    Attributes:
        name: of the layer.
        weight: (n, m).
        bias: (n,), or None.
        down: weights of untied feedback, (n, m), or None.
        feedback: factor on what the layer sends down; 0 where nothing below it moves, or where it sends nothing.
        settles: whether the units above relax, and so may be silent; a linear output does not.
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    down: Tensor | None
    feedback: float
    settles: bool

    @property
    def all(self) -> list[Tensor]:
        """Weight, bias and feedback weights, as far as there are any."""
        return [parameter for parameter in (self.weight, self.bias, self.down) if parameter is not None]

    def joined(self) -> Tensor:
        """Weight and bias in one matrix, (n, m) or (n, m + 1)."""
        return joined(self.weight.detach(), None if self.bias is None else self.bias.detach())


def joined(weight: Tensor, bias: Tensor | None) -> Tensor:
    """A weight (n, m) with the bias (n,), if there is one, as its last column.

    Example:
        >>> import torch
        >>> joined(torch.zeros(3, 2), torch.ones(3)).sum(0)
        tensor([0., 0., 3.])
    """
    return weight if bias is None else torch.cat([weight, bias[:, None]], 1)


def parameters_of(model: nn.Module, stack: DenseStack, user: str) -> list[DenseParameters]:
    """The parameters of each layer of a stack, lowest first, if the model has no others.

    Args:
        model: the model.
        stack: its layers.
        user: the strategy that asks, for messages.

    Raises:
        ConfigError: for a stack that does not know the signals below its layers, a layer whose weights are computed
            from other parameters, such as those of dendrites, or parameters outside of the stack, such as those of
            convolutions.

    Example:
        >>> from clep.equilibrium import Network
        >>> from clep.equilibrium.stack import stack_of
        >>> model = Network([4, 3, 2], bias=True)
        >>> [len(layer.all) for layer in parameters_of(model, stack_of(model), "mine")]
        [2, 2]
    """
    if stack.activity is None:
        raise ConfigError(
            f"strategies: {user} needs the signals below each layer, and {type(model).__name__} does not tell them; "
            "give it a method `dense_stack()` that returns a `clep.equilibrium.stack.DenseStack` with `activity`."
        )
    owners = {id(module._parameters.get("weight")): module for module in model.modules()}
    layers: list[DenseParameters] = []
    for index, layer in enumerate(stack.layers):
        owner: Any = owners.get(id(layer.weight))
        if owner is None:
            raise ConfigError(
                f"strategies: {user} needs the weights of each layer in one matrix, and those of {layer.name} are "
                "computed from other parameters; use dense layers, or leave it out."
            )
        relaxes = hasattr(owner, "add_down")  # a connection; a read-out is an ordinary layer
        feedback = owner.feedback_scale if relaxes and index > 0 else 0.0
        down = getattr(owner, "feedback", None) if relaxes else None
        settles = relaxes or index < len(stack) - 1
        layers.append(DenseParameters(layer.name, layer.weight, owner.bias, down, feedback, settles))
    known = {id(parameter) for layer in layers for parameter in layer.all}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in known:
            raise ConfigError(
                f"strategies: {user} works on the weights of dense layers, and `{name}` of {type(model).__name__} is "
                "none of them; use dense layers, or leave it out."
            )
    return layers
