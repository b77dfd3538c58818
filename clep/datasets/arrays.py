"""From the arrays of files to the tensors of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clep.datasets.checking import check_experiences, check_parts, checked_labels, checked_samples
from clep.datasets.layout import channels_first
from clep.datasets.scaling import divisor

Four = tuple[str, str, str, str]
"""One text for each of x_train, y_train, x_test, y_test."""


@dataclass(frozen=True, eq=False)
class Raw:
    """What a reader found in files, or your own function made, before any check.

    Attributes:
        name: name of the data set.
        arrays: x_train, y_train, x_test, y_test: samples (N, features), (N, H, W) or (N, C, H, W), and labels (N,).
        sources: where each of the four comes from, for messages.
        fix: how to repair them, for messages.
        layout: `channels_first` if the format says so; `auto` if it says nothing.
        class_names: name of each class, in the order of the labels; empty if classes have numbers only.
        experiences: for data that come in experiences, that of each sample to learn from (N,) and to test on (M,);
            `stream.scenario=as_given` keeps them.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((4, 2)), np.arange(4) % 2
        >>> Raw("mine", (x, y, x, y), class_names=("cat", "dog")).sources[0]
        'x_train'
    """

    name: str
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    sources: Four = ("x_train", "y_train", "x_test", "y_test")
    fix: str = ""
    layout: str = "auto"
    class_names: tuple[str, ...] = ()
    experiences: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """The samples of a data set, to learn from and to test on.

    Attributes:
        x_train: (N, C, H, W) or (N, features), float32, about [0, 1] unless you say otherwise, with `scale` or
            `standardize`.
        y_train: (N,), int64; every class up to the largest label has samples.
        x_test, y_test: the same, to test on; a class may have no samples.
        name: its name.
        class_names: name of each class, in the order of the labels; empty if classes have numbers only.
        sources: where the four come from, for messages.
        axes: the axes of the stored samples, for messages.
        digests: what tells the stored samples to learn from and to test on from others; see `clep.datasets.contents`.
        experiences: for data that come in experiences, that of each sample to learn from and to test on, (N,) and (M,).

    Example:
        >>> from clep.datasets import load
        >>> data = load("digits")
        >>> data.classes, tuple(data.of_classes([3, 8]).x_train.shape)
        (10, (285, 1, 8, 8))
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str
    class_names: tuple[str, ...] = ()
    sources: Four = ("x_train", "y_train", "x_test", "y_test")
    axes: str = ""
    digests: tuple[str, str] = ("", "")
    experiences: tuple[Tensor, Tensor] | None = None

    @property
    def classes(self) -> int:
        """Number of classes: the largest label of both parts, plus one."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    def of_classes(self, labels: Sequence[int]) -> "Dataset":
        """The samples of some classes alone, numbered anew from 0 in the order of `labels`; their names stay.

        Args:
            labels: the classes, each once.
        """
        new = torch.full((self.classes,), -1, dtype=torch.long)
        new[list(labels)] = torch.arange(len(labels))
        known = self.class_names or tuple(map(str, range(self.classes)))
        kept = [new[y] >= 0 for y in (self.y_train, self.y_test)]
        train, test = (torch.nonzero(rows).flatten() for rows in kept)
        some = self.rows(train, test)
        y_train, y_test = new[some.y_train], new[some.y_test]
        return replace(some, y_train=y_train, y_test=y_test, class_names=tuple(known[label] for label in labels))

    def rows(self, train: Tensor, test: Tensor) -> "Dataset":
        """Some of the samples.

        Args:
            train: rows of the samples to learn from.
            test: rows of the samples to test on.
        """
        return replace(
            self,
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
            experiences=self.experiences and (self.experiences[0][train], self.experiences[1][test]),
        )


def dataset_of(raw: Raw, *, layout: str = "auto", scale: float | None = None, standardize: bool = False) -> Dataset:
    """Check the arrays of a reader and make a data set of them; see `clep.datasets.loading.load`.

    Raises:
        ConfigError: if the order of the axes or the range of the samples is unclear; names the key that settles it.
        DataError: if a part is empty, has values that are no samples or labels, or does not fit the others.
    """
    (x_train, y_train, x_test, y_test), sources = raw.arrays, raw.sources
    x_train, x_test = (checked_samples(x, sources[i], raw.fix) for i, x in ((0, x_train), (2, x_test)))
    y_train, y_test = (checked_labels(y, sources[i], raw.fix) for i, y in ((1, y_train), (3, y_test)))
    check_parts((x_train, y_train, x_test, y_test), sources, raw.fix, raw.class_names)
    check_experiences(raw.experiences, (y_train, y_test), sources, raw.fix)
    by = divisor(x_train, x_test, (sources[0], sources[2]), scale, standardize=standardize)
    order = channels_first(x_train.shape, sources[0], layout, raw.layout)
    x_train, x_test = (x if order.axes is None else x.transpose(order.axes) for x in (x_train, x_test))
    dataset = Dataset(
        x_train=_divided(x_train, by),
        y_train=torch.from_numpy(y_train),
        x_test=_divided(x_test, by),
        y_test=torch.from_numpy(y_test),
        name=raw.name,
        class_names=raw.class_names,
        sources=sources,
        axes=f"{sources[0]} has the axes {order.words}",
        experiences=raw.experiences and (torch.from_numpy(raw.experiences[0]), torch.from_numpy(raw.experiences[1])),
    )
    return standardized(dataset) if standardize else dataset


def standardized(dataset: Dataset) -> Dataset:
    """The data set with training samples of mean 0 and deviation 1, per channel for images; test samples follow."""
    x = dataset.x_train
    axes = (0, 2, 3) if x.ndim == 4 else (0, 1)
    std, mean = torch.std_mean(x, dim=axes, correction=0, keepdim=True)
    std[x.amax(axes, keepdim=True) == x.amin(axes, keepdim=True)] = 1  # a constant channel becomes 0, not noise
    return replace(dataset, x_train=(x - mean) / std, x_test=(dataset.x_test - mean) / std)


def _divided(x: np.ndarray, by: float) -> Tensor:
    """(N, features) or (N, C, H, W), float32; grey images (N, H, W) get their channel."""
    x = x[:, None] if x.ndim == 3 else x
    tensor = torch.from_numpy(np.array(x, dtype=np.float32, order="C"))
    return tensor if by == 1 else tensor.div_(by)
