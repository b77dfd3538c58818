"""The highest hidden layer of a network: what its output is read from."""

import torch
from torch import Tensor, nn

from clep.equilibrium import Network
from clep.feedforward import Feedforward

BATCH = 1000
"""Inputs that relax at a time."""


def has_hidden_states(network: nn.Module) -> bool:
    """Whether clep knows where a network has its hidden layers, and there is one.

    Args:
        network: any module.

    Example:
        >>> from torch import nn
        >>> from clep.equilibrium import Network
        >>> has_hidden_states(Network([64, 32, 10])), has_hidden_states(nn.Linear(64, 10))
        (True, False)
    """
    if isinstance(network, Network):
        return network.hidden > 0
    return isinstance(network, Feedforward) and len(network.sizes) > 2


@torch.no_grad()
def hidden_states(network: nn.Module, x: Tensor) -> Tensor:
    """States of the highest hidden layer, (B, n): at the free equilibrium, or in a forward pass.

    Nothing is drawn, also where neurons spike: the network is in evaluation mode meanwhile.

    Args:
        network: one that `has_hidden_states`.
        x: inputs, (B, ...), where the network is.

    Example:
        >>> import torch
        >>> from clep.equilibrium import Network
        >>> hidden_states(Network([64, 32, 10]), torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 32])
    """
    was_training = network.training
    network.eval()
    try:
        return torch.cat([_top(network, part) for part in x.split(BATCH)])
    finally:
        network.train(was_training)


def _top(network: nn.Module, x: Tensor) -> Tensor:
    if isinstance(network, Network):
        return network.free_phase(x).states[network.hidden - 1].flatten(1).float()
    assert isinstance(network, Feedforward)
    return network.presynaptic(x)[-1]
