"""What sleep knows about the inputs: their mean, and the largest input of any unit in each layer."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from clep.equilibrium.stack import DenseStack


@dataclass(frozen=True)
class Statistics:
    """Statistics of the samples seen so far, without any sample.

    Attributes:
        mean: mean input of the lowest layer, float32; an image (C, H, W) if the inputs are images, otherwise (n_0,).
        count: number of samples behind the mean.
        maxima: of each layer, the largest pre-activation of any unit on any sample.
        low, high: if inputs are negative, the smallest and the largest of the first batch. All statistics are then of
            the rates `(input - low) / (high - low)`, since a neuron cannot fire less than never; 0 and 1 otherwise,
            and the inputs are the rates.

    Example:
        >>> import torch
        >>> Statistics(torch.zeros(64), count=100, maxima=[1.0, 2.0]).count
        100
    """

    mean: Tensor
    count: int
    maxima: list[float]
    low: float = 0.0
    high: float = 1.0

    @property
    def nbytes(self) -> int:
        """Their size in bytes."""
        return self.mean.nbytes + 8 * (1 + len(self.maxima) + (2 if self.low < 0.0 else 0))


@torch.no_grad()
def observe(
    stack: DenseStack, batches: Iterable[Tensor], before: Statistics | None = None, *, signed: bool = False
) -> Statistics:
    """Take the statistics of batches of inputs, on top of earlier statistics if given.

    Args:
        stack: the layers as they are now.
        batches: inputs (B, ...), on the device of the layers.
        before: statistics of earlier inputs; every sample has the same weight.
        signed: whether negative inputs stay what they are.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from clep.equilibrium.stack import stack_of
        >>> first = observe(stack_of(nn.Linear(3, 2)), [torch.ones(2, 3)])
        >>> both = observe(stack_of(nn.Linear(3, 2)), [torch.zeros(6, 3)], first)
        >>> both.mean, both.count
        (tensor([0.2500, 0.2500, 0.2500]), 8)
    """
    maxima = [0.0] * len(stack) if before is None else before.maxima
    low, high = (0.0, 1.0) if before is None else (before.low, before.high)
    total, count = torch.zeros(()), 0
    for x in batches:
        below = list(stack.presynaptic(x))
        pictures = _as_pictures(below[0], x)
        if not signed and before is None and count == 0 and float(pictures.min()) < 0.0:
            low, high = float(pictures.min()), float(pictures.max())
        if low < 0.0:
            pictures, below[0] = ((part - low) / max(high - low, 1e-12) for part in (pictures, below[0]))
        total = total + pictures.sum(0, dtype=torch.float64).cpu()
        count += len(x)
        largest = [float((state @ weight.T).max()) for state, weight in zip(below, stack.weights, strict=True)]
        maxima = [max(pair) for pair in zip(maxima, largest, strict=True)]
    if before is not None:
        total, count = before.mean.double() * before.count + total, before.count + count
    return Statistics((total / count).float(), count, maxima, low, high)


def _as_pictures(activity: Tensor, x: Tensor) -> Tensor:
    """The activity below the first layer, (B, n); in the shape of `x` if it is `x` itself."""
    same = activity.shape == x.flatten(1).shape and bool((activity == x.flatten(1)).all())
    return x if same else activity
