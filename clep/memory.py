"""How much a strategy keeps of the past: samples, their bytes, and the bytes of everything else."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.storage_policy import ExemplarsBuffer
from torch import Tensor, nn

_LABEL_BYTES = _NUMBER_BYTES = 8
_NOT_OF_THE_PAST = {"_logged", "_not_finite"}  # what a strategy logs


@dataclass(frozen=True)
class Memory:
    """How much a strategy keeps of the past; memories of several strategies add up.

    Attributes:
        exemplars: number of stored samples.
        exemplar_bytes: their size.
        statistics_bytes: size of everything else: means, maxima, importances, earlier models.

    Example:
        >>> Memory(10, 2640) + Memory(statistics_bytes=256)
        Memory(exemplars=10, exemplar_bytes=2640, statistics_bytes=256)
    """

    exemplars: int = 0
    exemplar_bytes: int = 0
    statistics_bytes: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(
            self.exemplars + other.exemplars,
            self.exemplar_bytes + other.exemplar_bytes,
            self.statistics_bytes + other.statistics_bytes,
        )


def memory_of_buffer(buffer: ExemplarsBuffer) -> Memory:
    """Count the samples in one of Avalanche's storage policies.

    Example:
        >>> from avalanche.training.storage_policy import ReservoirSamplingBuffer
        >>> memory_of_buffer(ReservoirSamplingBuffer(50)).exemplars
        0
    """
    return _memory_of_samples(buffer.buffer)


def memory_in(attributes: Mapping[str, Any], *, numbers: bool = False) -> Memory:
    """Count what the attributes of an Avalanche plugin hold: tensors, modules, samples and containers of these.

    Each object counts once. Objects from outside Avalanche, such as an optimiser, are not searched.

    Args:
        attributes: name -> value, as in `vars(plugin)`.
        numbers: whether the numbers in lists and the like count too.

    Example:
        >>> import torch
        >>> memory_in({"importances": [torch.zeros(5), torch.zeros(5)]})
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=40)
    """
    return _scan({name: value for name, value in attributes.items() if name not in _NOT_OF_THE_PAST}, set(), numbers)


def _memory_of_samples(dataset: AvalancheDataset) -> Memory:
    size = dataset[0][0].nbytes + _LABEL_BYTES if len(dataset) else 0
    return Memory(exemplars=len(dataset), exemplar_bytes=len(dataset) * size)


def _scan(value: Any, counted: set[int], numbers: bool) -> Memory:
    if id(value) in counted:
        return Memory()
    counted.add(id(value))
    if isinstance(value, Tensor | np.ndarray):
        return Memory(statistics_bytes=value.nbytes)
    if isinstance(value, bytes | bytearray):
        return Memory(statistics_bytes=len(value))
    if isinstance(value, nn.Module):
        return Memory(statistics_bytes=sum(tensor.nbytes for tensor in value.state_dict().values()))
    if isinstance(value, ExemplarsBuffer):
        return memory_of_buffer(value)
    if isinstance(value, AvalancheDataset):
        return _memory_of_samples(value)
    if isinstance(value, Mapping):
        return sum((_scan(entry, counted, numbers) for entry in value.values()), Memory())
    if isinstance(value, list | tuple | set | frozenset | deque):
        count = sum(isinstance(entry, int | float) for entry in value) if numbers else 0
        return sum((_scan(entry, counted, numbers) for entry in value), Memory(statistics_bytes=_NUMBER_BYTES * count))
    if _is_part(value):
        return _scan(vars(value), counted, numbers)
    return Memory()


def _is_part(value: Any) -> bool:
    """Whether an object is searched: one of Avalanche's, or a plain record."""
    return type(value).__module__.startswith("avalanche.") or (is_dataclass(value) and not isinstance(value, type))
