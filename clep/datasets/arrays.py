"""From the arrays of a file to the tensors of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clep.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """The samples of a data set, to learn from and to test on.

    Attributes:
        x_train: (N, C, H, W) or (N, features), float32, in [0, 1] unless the file stores other floats or the data
            are standardized.
        y_train: (N,), int64.
        x_test, y_test: the same, to test on.
        name: its name.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str

    @property
    def classes(self) -> int:
        """Number of classes: the largest label of both parts, plus one."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def dataset_of(name: str, arrays: Sequence[np.ndarray], sources: Sequence[str], fix: str) -> Dataset:
    """Make a data set of the arrays x_train, y_train, x_test, y_test.

    Args:
        name: its name.
        arrays: samples (N, features), (N, H, W) or (N, C, H, W), and integer labels (N,). Unsigned integers are divided
            by the largest value of their type; floats stay as they are.
        sources: where each of the four comes from, for messages.
        fix: how to repair it, for messages.

    Raises:
        DataError: if a part is empty, or its samples and labels, or the two parts, do not fit together.
    """
    for x, y, x_source, y_source in zip(arrays[::2], arrays[1::2], sources[::2], sources[1::2], strict=True):
        if x.size == 0:
            raise DataError(f"{x_source}: empty, its shape is {x.shape}. {fix}")
        if len(x) != len(y):
            raise DataError(f"{y_source}: {len(y)} labels, but {len(x)} samples in {x_source}. {fix}")
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        shapes = f"samples of shape {arrays[2].shape[1:]}, but {arrays[0].shape[1:]} in {sources[0]}"
        raise DataError(f"{sources[2]}: {shapes}. {fix}")
    x_train, x_test = (_scaled(x if x.ndim != 3 else x[:, None]) for x in arrays[::2])
    y_train, y_test = (torch.from_numpy(y.astype(np.int64)) for y in arrays[1::2])
    return Dataset(x_train, y_train, x_test, y_test, name)


def standardized(dataset: Dataset) -> Dataset:
    """The data set with training samples of mean 0 and deviation 1, per channel for images; test samples follow."""
    x = dataset.x_train
    axes = (0, 2, 3) if x.ndim == 4 else (0, 1)
    std, mean = torch.std_mean(x, dim=axes, correction=0, keepdim=True)
    std[x.amax(axes, keepdim=True) == x.amin(axes, keepdim=True)] = 1  # a constant channel becomes 0, not noise
    return replace(dataset, x_train=(x - mean) / std, x_test=(dataset.x_test - mean) / std)


def _scaled(x: np.ndarray) -> Tensor:
    """Float32; unsigned integers are divided by the largest value of their type, floats stay as they are."""
    scaled = torch.from_numpy(np.array(x, dtype=np.float32, order="C"))
    return scaled.div_(float(np.iinfo(x.dtype).max)) if x.dtype.kind == "u" else scaled
