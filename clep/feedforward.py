"""An ordinary feed-forward network, trained by backpropagation: the baseline for equilibrium networks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from clep.checks import one_of
from clep.equilibrium.modules import Modules
from clep.equilibrium.stack import DenseLayer, DenseStack, own_bias
from clep.errors import ConfigError
from clep.specs.network import NetworkSpec
from clep.specs.neurons import FEEDFORWARD_ACTIVATIONS


class Feedforward(nn.Module):
    """Dense layers with a linear output.

    Shapes: input (B, ...) is flattened to (B, sizes[0]); output (B, sizes[-1]).

    Args:
        sizes: units per layer from input to output, at least two layers.
        activation: of the hidden layers, one of `FEEDFORWARD_ACTIVATIONS`.
        bias: whether layers have biases.
        seed: seeds the initial weights, U(-1/sqrt(n_in), 1/sqrt(n_in)).

    Raises:
        ConfigError: for a layer without units or an unknown activation.

    Example:
        >>> import torch
        >>> Feedforward([64, 32, 10])(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: str = "relu", bias: bool = NetworkSpec.bias, seed: int = 0
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigError(f"sizes: expected at least two layers of at least one unit, got {list(sizes)}")
        one_of("activation", activation, FEEDFORWARD_ACTIVATIONS, "activation")
        self.sizes, self.activation, self.bias = tuple(sizes), activation, bias
        generator = torch.Generator().manual_seed(seed)
        self.layers: Modules[nn.Linear] = Modules(
            nn.Linear(below, above, bias=bias) for below, above in pairwise(self.sizes)
        )
        with torch.no_grad():
            for layer in self.layers:
                bound = 1.0 / math.sqrt(layer.in_features)
                for parameter in layer.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Output (B, K) for `x` (B, ...)."""
        return self.layers[-1](self.presynaptic(x)[-1])

    def presynaptic(self, x: Tensor) -> list[Tensor]:
        """Activity below each layer, (B, n_{l-1}), lowest (the input) first."""
        states = [x.flatten(1)]
        for layer in self.layers[:-1]:
            states.append(FEEDFORWARD_ACTIVATIONS[self.activation](layer(states[-1])))
        return states

    def dense_stack(self) -> DenseStack:
        """All layers, with their activity in a forward pass."""
        return DenseStack(
            [
                DenseLayer(f"layers.{index}", layer.weight, bias=own_bias(layer))
                for index, layer in enumerate(self.layers)
            ],
            self.presynaptic,
        )

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that define the architecture, as plain values (weights are state)."""
        return {"sizes": list(self.sizes), "activation": self.activation, "bias": self.bias}
