"""Samples and streams as Avalanche has them. It takes seconds to import, and a stream is useful without it."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from clep.streams.samples import Samples

ROW = "clep_row"
"""Data attribute of an Avalanche data set: each sample's row in `Stream.samples`."""


def avalanche_dataset(samples: Samples, rows: Sequence[int] | None = None) -> Any:
    """Samples as an Avalanche data set with the constant task label 0.

    Args:
        samples: the samples.
        rows: their rows in `Stream.samples`, recorded as the attribute `ROW`; None for samples from elsewhere.

    Example:
        >>> import torch
        >>> from clep.streams import Samples, avalanche_dataset
        >>> len(avalanche_dataset(Samples(torch.rand(5, 64), torch.arange(5))))
        5
    """
    from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TaskLabels

    labels = samples.y.tolist()
    attributes = [DataAttribute(labels, "targets"), TaskLabels([0] * len(labels))]
    if rows is not None:
        attributes.append(DataAttribute(list(rows), ROW))
    return TaskAwareSupervisedClassificationDataset([_Items(samples.x, labels)], data_attributes=attributes)


class _Items(TorchDataset[tuple[Tensor, int]]):
    """One (x, label) per sample, for plugins that iterate over a data set themselves."""

    def __init__(self, x: Tensor, labels: Sequence[int]) -> None:
        self._x, self._labels = x, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self._x[row], self._labels[row]


def benchmark_of(samples: Samples, train: Sequence[Sequence[int]], test: Sequence[Samples]) -> Any:
    """An Avalanche benchmark with the constant task label 0.

    Args:
        samples: all training data.
        train: the rows of each training experience in `samples`.
        test: the samples of each evaluation experience.
    """
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels

    whole = avalanche_dataset(samples, range(len(samples)))
    return with_task_labels(
        with_classes_timeline(
            benchmark_from_datasets(
                train=[whole.subset(list(rows)) for rows in train],
                test=[avalanche_dataset(tested) for tested in test],
            )
        )
    )
