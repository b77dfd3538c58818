"""Spontaneous activity of the inputs, as waves pass over the retina before the eyes open.

It has the mean of everything seen and the smoothness of images, and nothing else of them. Of noise whose pixels are
independent, units that learned from images make little: balanced by it, they answer images less evenly.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_ACROSS = 7  # independent places across an image


@dataclass
class Seen:
    """What is kept of all inputs so far: their mean and range, and which classes there were; no sample.

    Attributes:
        mean: of the inputs, (...), float32; None before the first.
        count: number of inputs behind the mean.
        low, high: the smallest and the largest value of any input, and zero.
        classes: of the samples.

    Example:
        >>> import torch
        >>> seen = Seen()
        >>> seen.add(torch.ones(3, 4), torch.tensor([2, 0, 2]))
        >>> seen.add(torch.zeros(1, 4), torch.tensor([5]))
        >>> seen.mean.tolist(), sorted(seen.classes), seen.nbytes
        ([0.75, 0.75, 0.75, 0.75], [0, 2, 5], 64)
    """

    mean: Tensor | None = None
    count: int = 0
    low: float = 0.0
    high: float = 0.0
    classes: set[int] = field(default_factory=set)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take inputs (B, ...) and their classes (B,) into account; every sample has the same weight."""
        total = x.sum(0, dtype=torch.float64).cpu()
        if self.mean is not None:
            total += self.mean.double() * self.count
        self.count += len(x)
        self.mean = (total / self.count).float()
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.classes |= set(y.tolist())

    @property
    def nbytes(self) -> int:
        """Size in bytes: of the mean, and 8 for each other number."""
        return (0 if self.mean is None else self.mean.nbytes) + 8 * (3 + len(self.classes))


def waves(seen: Seen, n: int, generator: torch.Generator) -> Tensor:
    """Inputs that are either silent or at their largest, each as often as the mean says, and alike at near places.

    An image (C, H, W) is where a smooth random field, the same in all channels, is below a level that differs from
    pixel to pixel. Entries of anything else are independent.

    Args:
        seen: whose mean and range they have, the mean up to 1/n.
        n: how many to make.
        generator: source of randomness.

    Returns:
        (n, ...), float32, on the CPU.

    Example:
        >>> import torch
        >>> from clep.sleep import Seen
        >>> seen = Seen()
        >>> seen.add(torch.tensor([[0.0, 0.0], [1.0, 0.5]]), torch.tensor([0, 1]))
        >>> waves(seen, 4, torch.Generator().manual_seed(0)).mean(0).tolist()
        [0.5, 0.25]
    """
    assert seen.mean is not None
    shape = seen.mean.shape
    if len(shape) == 3:
        coarse = torch.rand(n, 1, _ACROSS, _ACROSS, generator=generator)
        values = interpolate(coarse, size=shape[1:], mode="bicubic")
    else:
        values = torch.rand(n, *shape, generator=generator)
    ranks = (values.argsort(0).argsort(0) + 0.5) / n
    chance = (seen.mean - seen.low) / max(seen.high - seen.low, 1e-12)
    return torch.where(ranks < chance, seen.high, seen.low)
