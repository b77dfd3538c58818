"""How samples and classes are dealt out: shuffled, in groups, into equal parts, with a part held out."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clep.checks import one_of
from clep.datasets import Dataset
from clep.errors import ConfigError
from clep.randomness import generator_for


def groups(class_order: Sequence[int], experiences: int, sizes: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """The classes of each experience, dealt out in order.

    Args:
        class_order: all classes.
        experiences: number of experiences; their sizes differ by at most one, larger ones first.
        sizes: number of classes in each, instead.

    Raises:
        ConfigError: if there are fewer classes than experiences, or the sizes do not add up to the classes.

    Example:
        >>> groups([3, 1, 0, 2, 4], 2), groups([3, 1, 0, 2, 4], 3, sizes=[3, 1, 1])
        ([(3, 1, 0), (2, 4)], [(3, 1, 0), (2,), (4,)])
    """
    n = len(class_order)
    if sizes is None and experiences > n:
        raise ConfigError(f"experiences: expected an integer in [1, {n}], the number of classes, got {experiences}")
    if sizes is not None and sum(sizes) != n:
        fix = "set stream.classes to use some of the classes alone" if sum(sizes) < n else "use smaller sizes"
        raise ConfigError(f"sizes: they add up to {sum(sizes)}, but there are {n} classes; {fix}")
    dealt = (
        np.array_split(class_order, experiences)
        if sizes is None
        else np.split(np.array(class_order), np.cumsum(sizes)[:-1])
    )
    return [tuple(int(label) for label in part) for part in dealt]


def rows_of(y: Tensor, labels: Sequence[int]) -> Tensor:
    """The rows of the samples of some classes, in ascending order.

    Args:
        y: labels (N,).
        labels: the classes.

    Example:
        >>> import torch
        >>> rows_of(torch.tensor([0, 2, 1, 0]), [0, 1])
        tensor([0, 2, 3])
    """
    return torch.nonzero(torch.isin(y, torch.as_tensor(labels))).flatten()


def shares(y: Tensor, parts: int, generator: torch.Generator) -> list[Tensor]:
    """Rows dealt into parts at random, each class as evenly as it divides; the sizes of parts differ by at most one.

    Args:
        y: labels (N,).
        parts: number of parts.
        generator: draws who goes where.

    Example:
        >>> import torch
        >>> [len(part) for part in shares(torch.tensor([0, 0, 0, 1, 1]), 2, torch.Generator())]
        [3, 2]
    """
    shuffled = torch.randperm(len(y), generator=generator)
    by_class = shuffled[torch.argsort(y[shuffled], stable=True)]
    return [by_class[part::parts].sort().values for part in range(parts)]


def held_out(y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Mask (N,) of the samples held out, a `fraction` of each class.

    Args:
        y: labels (N,).
        fraction: the share.
        generator: draws them.
    """
    mask = torch.zeros(len(y), dtype=torch.bool)
    for label in range(int(y.max()) + 1):
        rows = torch.nonzero(y == label).flatten()
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        mask[shuffled[: round(fraction * len(rows))]] = True
    return mask


def labels_of(key: str, given: Sequence[Any], data: Dataset) -> list[int]:
    """The labels of classes given as numbers or by their names.

    Args:
        key: what messages begin with.
        given: the classes.
        data: the data set.

    Raises:
        ConfigError: for a class that it does not have.
    """
    if given and isinstance(given[0], str):
        if not data.class_names:
            raise ConfigError(f"{key}: the classes of `{data.name}` have numbers only, 0 to {data.classes - 1}")
        names = [one_of(key, unicodedata.normalize("NFC", name), data.class_names, "class") for name in given]
        return [data.class_names.index(name) for name in names]
    if wrong := [label for label in given if not 0 <= label < data.classes]:
        raise ConfigError(f"{key}: expected classes of 0 to {data.classes - 1}, got {wrong[0]}")
    return [int(label) for label in given]


def class_order_of(class_order: Any, data: Dataset, seed: int, known: Sequence[int] = ()) -> list[int]:
    """All classes in the order in which they appear.

    Args:
        class_order: `fixed`, `shuffled`, or the classes as numbers or names.
        data: the data set.
        seed: shuffles them.
        known: for a data set of some classes alone, their labels in the whole one, which numbers then mean.

    Raises:
        ConfigError: if a class is missing or unknown.
    """
    if class_order == "fixed":
        return list(range(data.classes))
    if class_order == "shuffled":
        return torch.randperm(data.classes, generator=generator_for(seed, "class order")).tolist()
    if class_order and isinstance(class_order[0], str):
        labels = labels_of("class_order", class_order, data)
        if left := [name for i, name in enumerate(data.class_names) if i not in labels]:
            raise ConfigError(f"class_order: expected every class once; `{left[0]}` is missing")
        return labels
    numbers = list(known) or list(range(data.classes))
    if sorted(class_order) != sorted(numbers):
        valid = f"{numbers}" if known else f"0 to {data.classes - 1}"
        raise ConfigError(f"class_order: expected `shuffled`, `fixed` or a permutation of {valid}, got {class_order}")
    return [numbers.index(label) for label in class_order]
