"""An ordinary feed-forward network, trained by backpropagation: the baseline for equilibrium networks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from clep.checks import one_of
from clep.equilibrium import INITIALIZATIONS
from clep.equilibrium.connections import initial_bound
from clep.equilibrium.modules import Modules
from clep.equilibrium.stack import DenseLayer, DenseStack, own_bias
from clep.errors import ConfigError
from clep.specs.network import Initialization, NetworkSpec
from clep.specs.neurons import FEEDFORWARD_ACTIVATIONS


class Feedforward(nn.Module):
    """Dense layers with a linear output.

    Shapes: input (B, ...) is flattened to (B, sizes[0]); output (B, sizes[-1]).

    Args:
        sizes: units per layer from input to output, at least two layers.
        activation: of the hidden layers, one of `FEEDFORWARD_ACTIVATIONS`.
        bias: whether layers have biases.
        init: initial weights, `fan_in` or `glorot`, as in `network.init`; biases are U(-1/sqrt(n_in), 1/sqrt(n_in)).
        seed: seeds them.

    Raises:
        ConfigError: for a layer without units, or an unknown activation or `init`.

    Example:
        >>> import torch
        >>> Feedforward([64, 32, 10])(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        bias: bool = NetworkSpec.bias,
        init: Initialization = NetworkSpec.init,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigError(f"sizes: expected at least two layers of at least one unit, got {list(sizes)}")
        one_of("activation", activation, FEEDFORWARD_ACTIVATIONS, "activation")
        one_of("init", init, INITIALIZATIONS)
        self.sizes, self.activation, self.bias, self.init = tuple(sizes), activation, bias, init
        generator = torch.Generator().manual_seed(seed)
        self.layers: Modules[nn.Linear] = Modules(
            nn.Linear(below, above, bias=bias) for below, above in pairwise(self.sizes)
        )
        with torch.no_grad():
            for layer in self.layers:
                fans = layer.in_features, layer.out_features
                bounds = initial_bound(init, *fans), initial_bound("fan_in", *fans)
                for parameter, bound in zip(layer.parameters(), bounds, strict=False):  # the bias, if any, is second
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
        return {"sizes": list(self.sizes), "activation": self.activation, "bias": self.bias, "init": self.init}
