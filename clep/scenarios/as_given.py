"""As given: the experiences of a data set that comes in experiences, such as an Avalanche benchmark."""

import torch

from clep.datasets import Dataset
from clep.errors import ConfigError
from clep.streams import Stream, stream_of


def as_given(data: Dataset) -> Stream:
    """The experiences that the data set itself says, such as those of an Avalanche benchmark.

    Args:
        data: a data set with `experiences`.

    Raises:
        ConfigError: if it has none.

    Example:
        >>> import numpy as np
        >>> from clep.datasets.arrays import Raw, dataset_of
        >>> x, y, experiences = np.eye(4), np.arange(4), np.arange(4) // 2
        >>> data = dataset_of(Raw("mine", (x, y, x, y), experiences=(experiences, experiences)))
        >>> [experience.classes for experience in as_given(data).train]
        [(0, 1), (2, 3)]
    """
    if data.experiences is None:
        raise ConfigError(f"scenario: `{data.name}` does not come in experiences; choose another scenario")
    train, test = (
        [torch.nonzero(numbers == i).flatten() for i in range(int(numbers.max()) + 1)] for numbers in data.experiences
    )
    return stream_of(data, train, test)
