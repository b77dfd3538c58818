"""Domain-incremental: all classes in every experience, with the pixels in another order each time."""

import torch
from torch import Tensor

from clep.datasets import Dataset
from clep.randomness import generator_for
from clep.streams import Samples, Stream, stream_of


def permuted(data: Dataset, *, seed: int, experiences: int, first: bool = False) -> Stream:
    """Every experience has all samples, with the pixels in an order of its own, the same for all of them.

    Args:
        data: the data set; it is held once for each experience.
        seed: draws the orders. That of an experience depends on the seed and its index alone.
        experiences: number of orders.
        first: whether the pixels of the first experience are permuted, too.

    Example:
        >>> from clep.streams import stream
        >>> made = stream("digits", scenario="permuted", experiences=3)
        >>> [len(experience.classes) for experience in made.train]
        [10, 10, 10]
    """
    orders = [_order(data.x_train, seed, i, permute=first or i > 0) for i in range(experiences)]
    train = [Samples(_reordered(data.x_train, order), data.y_train) for order in orders]
    test = [Samples(_reordered(data.x_test, order), data.y_test) for order in orders]
    return stream_of(data, train, test, names=[f"order {i}" for i in range(experiences)])


def _order(x: Tensor, seed: int, index: int, *, permute: bool) -> Tensor:
    """The order of the pixels of an image (C, H, W), which keep their colours, or of the entries of a vector."""
    n = x[0].numel() if x.ndim == 2 else x[0, 0].numel()
    return torch.randperm(n, generator=generator_for(seed, f"pixels {index}")) if permute else torch.arange(n)


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    return x[:, order] if x.ndim == 2 else x.flatten(2)[:, :, order].reshape(x.shape)
