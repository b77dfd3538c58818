"""One batch for each of several networks; shorter ones are padded, and what stands in a padded row counts nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batches:
    """One batch for each of S networks.

    Attributes:
        x: inputs, (S, B, n).
        sizes: samples of each, at most B.
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all batches are of one size.

    Example:
        >>> import torch
        >>> batches = Batches.of([torch.rand(5, 64), torch.rand(3, 64)])
        >>> batches.x.shape, batches.counts.sum().item()
        (torch.Size([2, 5, 64]), 8.0)
    """

    x: Tensor
    sizes: tuple[int, ...]
    counts: Tensor | None

    @classmethod
    def of(cls, inputs: Sequence[Tensor]) -> "Batches":
        """Stack inputs (B, ...), padded to the largest batch."""
        sizes = tuple(len(x) for x in inputs)
        x, largest = padded([x.flatten(1) for x in inputs]), max(sizes)
        if min(sizes) == largest:
            return cls(x, sizes, None)
        rows, ends = torch.arange(largest, device=x.device), torch.tensor(sizes, device=x.device)
        return cls(x, sizes, (rows < ends.unsqueeze(1)).to(x.dtype).unsqueeze(2))


def padded(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors (B, ...) as one, (S, largest B, ...), with zeros behind the shorter ones.

    Args:
        tensors: alike but for their lengths.

    Example:
        >>> import torch
        >>> padded([torch.ones(2), torch.ones(1)]).tolist()
        [[1.0, 1.0], [1.0, 0.0]]
    """
    lengths = [len(tensor) for tensor in tensors]
    if min(lengths) == max(lengths):
        return torch.stack(list(tensors))
    whole = tensors[0].new_zeros(len(tensors), max(lengths), *tensors[0].shape[1:])
    for row, tensor in zip(whole, tensors, strict=True):
        row[: len(tensor)] = tensor
    return whole
