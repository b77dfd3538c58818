"""How much a strategy keeps of the past: samples, their bytes, and the bytes of everything else."""

import sys
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.templates.base import BaseTemplate
from torch import Tensor, nn

from clep.errors import UncountedWarning
from clep.streams import Samples

_LABEL_BYTES = _NUMBER_BYTES = 8
_NOT_OF_THE_PAST = {"_logged", "_not_finite"}  # what a strategy logs
_SAMPLES = {"ext_mem_list_x": "ext_mem_list_y", "memory_x": "memory_y", "x_memory": "y_memory"}
"""Attributes of Avalanche's plug-ins with the samples that they keep as tensors -> those with the labels."""
_PLAIN = (bool, int, float, complex, str, range, type, FunctionType, MethodType, ModuleType, BaseTemplate, type(None))
_SEARCHED = ("torch.utils.data", "queue", "types")  # all else in the libraries below is machinery, not memory
_LIBRARIES = {*sys.stdlib_module_names, "torch", "numpy", "pytorch_lightning", "mlflow", "tqdm"}
_HEAP_TYPE = 1 << 9  # of `type.__flags__`: a class written in Python, whose attributes can be seen


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

    Args:
        buffer: the policy, with what it holds.

    Example:
        >>> from avalanche.training.storage_policy import ReservoirSamplingBuffer
        >>> memory_of_buffer(ReservoirSamplingBuffer(50)).exemplars
        0
    """
    return _memory_of_samples(buffer.buffer)


def memory_in(attributes: Mapping[str, Any], *, numbers: bool = False, owner: str = "") -> Memory:
    """Count what the attributes of an Avalanche plugin hold: tensors, modules, samples, and objects that hold these.

    Each object counts once. An object that nobody can look into is named once. The machinery of libraries, such as an
    optimiser, is not searched.

    Args:
        attributes: name -> value, as in `vars(plugin)`.
        numbers: whether the numbers in lists and the like count too.
        owner: class of the plugin, for messages.

    Example:
        >>> import torch
        >>> memory_in({"importances": [torch.zeros(5), torch.zeros(5)]})
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=40)
    """
    scan, found = _Scan(numbers, owner), Memory()
    rest = {name: value for name, value in attributes.items() if name not in _NOT_OF_THE_PAST}
    for samples, labels in _SAMPLES.items():
        if samples in rest and labels in rest:
            full = rest.get("ext_mem_list_current_index")  # of a tensor that is as large as it may become
            found += _memory_of_tensors(rest.pop(samples), rest.pop(labels), full)
            rest.pop("memory_tid", None)
    return sum((scan.of(value, name) for name, value in rest.items()), found)


def _memory_of_samples(dataset: AvalancheDataset) -> Memory:
    size = dataset[0][0].nbytes + _LABEL_BYTES if len(dataset) else 0
    return Memory(exemplars=len(dataset), exemplar_bytes=len(dataset) * size)


def _memory_of_tensors(samples: Any, labels: Any, full: int | None) -> Memory:
    """What is kept in tensors: in one, or in one for each experience or class."""
    inputs = [samples] if isinstance(samples, Tensor) else list(getattr(samples, "values", lambda: samples)())
    count = sum(map(len, inputs)) if full is None else full
    size = inputs[0][0].nbytes + _LABEL_BYTES if count else 0
    return Memory(exemplars=count, exemplar_bytes=count * size)


@dataclass
class _Scan:
    """One search through the attributes of a plug-in."""

    numbers: bool
    owner: str

    def __post_init__(self) -> None:
        self._counted: dict[int, Any] = {}  # the objects too, so that no id is given away again

    def of(self, value: Any, name: str) -> Memory:
        """What a value holds; `name` is that of the attribute."""
        if isinstance(value, _PLAIN) or id(value) in self._counted:
            return Memory()
        self._counted[id(value)] = value
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return self._all(value.flat, name)
        if isinstance(value, Tensor | np.ndarray):
            return Memory(statistics_bytes=value.nbytes)
        if isinstance(value, bytes | bytearray | memoryview):
            return Memory(statistics_bytes=memoryview(value).nbytes)
        if isinstance(value, nn.Module):
            return Memory(statistics_bytes=sum(tensor.nbytes for tensor in value.state_dict().values()))
        if isinstance(value, ExemplarsBuffer):
            return self.of(value.buffer, name)
        if isinstance(value, AvalancheDataset):
            return _memory_of_samples(value)
        if isinstance(value, Samples):
            return Memory(len(value), value.x.nbytes + value.y.nbytes)
        if isinstance(value, Mapping):
            return self._all(value.values(), name)
        if isinstance(value, list | tuple | set | frozenset | deque):
            return self._all(value, name)
        return self._object(value, name)

    def _all(self, values: Any, name: str) -> Memory:
        entries = list(values)
        count = sum(isinstance(entry, int | float) for entry in entries) if self.numbers else 0
        return sum((self.of(entry, name) for entry in entries), Memory(statistics_bytes=_NUMBER_BYTES * count))

    def _object(self, value: Any, name: str) -> Memory:
        kind = type(value)
        module = kind.__module__
        unnamed = module == "builtins" and kind.__name__[0].isupper()  # how types of extensions in C may look
        if module.partition(".")[0] in _LIBRARIES and not module.startswith(_SEARCHED) and not unnamed:
            return Memory()
        if kind.__flags__ & _HEAP_TYPE or getattr(value, "__dict__", None):
            return sum((self.of(part, name) for part in _parts(value)), Memory())
        whose = f"{self.owner}.{name}" if self.owner else name
        warnings.warn(
            f"strategies: {whose} holds a {kind.__qualname__}, whose size nobody knows, and which memory/* "
            "leaves out; count it in `memory()`",
            UncountedWarning,
            stacklevel=2,
        )
        return Memory()


def _parts(value: Any) -> Iterator[Any]:
    """The values of an object's attributes, in its dictionary and in its slots."""
    yield from getattr(value, "__dict__", {}).values()
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                yield getattr(value, f"_{cls.__name__.lstrip('_')}{slot}" if _is_private(slot) else slot, None)


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")
