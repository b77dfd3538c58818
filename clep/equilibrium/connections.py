"""Connections between two layers: the terms of Phi that hold parameters."""

import math

import torch
from torch import Tensor, nn


class Dense(nn.Module):
    """All-to-all connection with tied feedback: phi(below, above) = above . (W below + b).

    Shapes: `below` (B, n_below), `above` (B, n_above), `weight` (n_above, n_below), `bias` (n_above,) or None.

    Args:
        below: number of units below.
        above: number of units above.
        bias: whether the upper layer has biases.
        generator: source of the initial weights, U(-1/sqrt(n_below), 1/sqrt(n_below)) as in `torch.nn.Linear`.
    """

    def __init__(self, below: int, above: int, *, bias: bool, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(below)
        # Drawn where the generator lives, then moved: the same weights on every default device.
        weight = torch.empty(above, below, device=generator.device).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight.to(torch.get_default_device()))
        self.bias = None
        if bias:
            values = torch.empty(above, device=generator.device).uniform_(-bound, bound, generator=generator)
            self.bias = nn.Parameter(values.to(torch.get_default_device()))

    def up(self, below: Tensor, out: Tensor | None = None) -> Tensor:
        """dphi/dabove = W below + b, shape (B, n_above); written to `out` if given."""
        if self.bias is None:
            return torch.mm(below, self.weight.T, out=out)
        return torch.addmm(self.bias, below, self.weight.T, out=out)

    def add_down(self, drive: Tensor, above: Tensor, out: Tensor) -> Tensor:
        """`drive` + dphi/dbelow, shape (B, n_below), written to `out` (which may be `drive` itself)."""
        return torch.addmm(drive, above, self.weight, out=out)

    def down(self, above: Tensor) -> Tensor:
        """dphi/dbelow = W^T above, shape (B, n_below)."""
        return above @ self.weight

    def phi_difference(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> list[Tensor]:
        """dphi/dtheta(first) - dphi/dtheta(second), summed over the batch, in the order of `parameters()`.

        With a above and b below, a1 b1' - a2 b2' is taken as (a1 - a2) b1' + a2 (b1 - b2)': the states differ little,
        and differences of states keep the digits that a difference of products loses (all, if nothing differs).

        Args:
            first: (below, above) of one relaxation.
            second: (below, above) of the other; if `below` is the same tensor, one product serves both.
        """
        (below_1, above_1), (below_2, above_2) = first, second
        difference = above_1 - above_2
        weight = difference.T @ below_1
        if below_1 is not below_2:
            weight.addmm_(above_2.T, below_1 - below_2)
        return [weight] if self.bias is None else [weight, difference.sum(0)]
