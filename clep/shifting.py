"""Images moved by a few pixels: what a stored image may also have looked like."""

import torch
from torch import Tensor
from torch.nn import functional


def shifted(x: Tensor, by: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `by` pixels, each way equally often. What comes in repeats the margin.

    Args:
        x: images, (B, ..., height, width).
        by: pixels, >= 0.
        generator: draws how far, on the CPU.

    Example:
        >>> import torch
        >>> image = torch.tensor([[[1.0, 2.0, 3.0]]])
        >>> [shifted(image, 1, torch.Generator().manual_seed(seed)).flatten().tolist() for seed in (0, 3)]
        [[1.0, 1.0, 2.0], [2.0, 3.0, 3.0]]
    """
    planes = x.reshape(len(x), -1, *x.shape[-2:])
    padded = functional.pad(planes, (by, by, by, by), mode="replicate")
    height, width = x.shape[-2:]
    down, right = torch.randint(0, 2 * by + 1, (2, len(x), 1), generator=generator).to(x.device)
    rows = torch.arange(height, device=x.device) + down
    columns = torch.arange(width, device=x.device) + right
    image = torch.arange(len(x), device=x.device)[:, None, None]
    # Advanced indices on both sides of a slice put their axes first: (B, height, width, planes).
    return padded[image, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).reshape(x.shape)
