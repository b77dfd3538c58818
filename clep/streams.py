"""Class-incremental streams: a data set's classes, split into experiences that are learned one after another."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import Dataset as TorchDataset

from clep import datasets
from clep.checks import check, one_of
from clep.datasets.checking import named
from clep.errors import ConfigError, DataError
from clep.randomness import generator_for
from clep.specs.options import from_keywords, takes
from clep.specs.stream import StreamSpec

ROW = "clep_row"
"""Data attribute of an Avalanche data set: each sample's row in `Stream.samples`."""


Loader = DataLoader[list[Tensor]]
"""Batches `[x (B, ...), y (B,), t (B,)]`; t is the constant task label 0."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples in memory.

    Attributes:
        x: (N, ...), float32.
        y: class indices (N,), int64.

    Example:
        >>> import torch
        >>> samples = Samples(torch.rand(5, 64), torch.arange(5))
        >>> [len(y) for x, y, t in samples.loader(2)]
        [2, 2, 1]
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, rows: Tensor | Sequence[int]) -> "Samples":
        """The samples in these rows."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return Samples(self.x[index], self.y[index])

    def loader(self, batch_size: int, *, shuffle: bool = True, generator: torch.Generator | None = None) -> Loader:
        """Batches `[x (B, ...), y (B,), t (B,)]` as slices of the tensors; t is the constant task label 0.

        Without a `generator`, torch's global one gives the order, by the same draws as in Avalanche's loader.
        """
        sampler = RandomSampler(self, generator=generator) if shuffle else SequentialSampler(self)
        # A sampler of samples, not of batches: Lightning puts others in its place (`overfit_batches`, several devices).
        return DataLoader(
            _Slices(self), batch_size=batch_size, sampler=sampler, collate_fn=_joined, generator=generator
        )


class _Slices(TorchDataset[list[Tensor]]):
    """A batch is one tensor slice instead of one Python call per sample; a single sample is `[x, y, t]` too."""

    def __init__(self, samples: Samples) -> None:
        self._tensors = (samples.x, samples.y, torch.zeros_like(samples.y))

    def __len__(self) -> int:
        return len(self._tensors[1])

    def __getitem__(self, row: int) -> list[Tensor]:
        return [tensor[row] for tensor in self._tensors]

    def __getitems__(self, rows: list[int]) -> "_Rows":
        return _Rows(self._tensors, rows)


class _Rows(Sequence[list[Tensor]]):
    """Samples of a batch that are not taken apart before somebody asks for one, as torch's own collation does."""

    def __init__(self, tensors: Sequence[Tensor], rows: list[int]) -> None:
        self._tensors, self._rows = tensors, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: Any) -> Any:
        return [tensor[self._rows[i]] for tensor in self._tensors]

    def joined(self) -> list[Tensor]:
        """The whole batch."""
        return [tensor[self._rows] for tensor in self._tensors]


def _joined(rows: Any) -> list[Tensor]:
    joined: list[Tensor] = rows.joined()
    return joined


@dataclass(frozen=True, eq=False)
class Experience:
    """One step of a stream: the samples of some classes.

    Attributes:
        index: position in the stream, from 0.
        classes: labels of this experience, in the order of the stream.
        samples: its samples.
        rows: for training experiences, their rows in `Stream.samples`; empty for others.

    Example:
        >>> from clep.streams import stream
        >>> experience = stream("digits", experiences=5).train[0]
        >>> experience.index, len(experience.classes), experience.samples.x.shape[1:]
        (0, 2, torch.Size([1, 8, 8]))
    """

    index: int
    classes: tuple[int, ...]
    samples: Samples
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def loader(self, batch_size: int, *, shuffle: bool = True, generator: torch.Generator | None = None) -> Loader:
        """Batches `[x, y, t]` of this experience; see `Samples.loader`."""
        return self.samples.loader(batch_size, shuffle=shuffle, generator=generator)


@dataclass(frozen=True, eq=False)
class Stream:
    """A class-incremental stream: every class belongs to exactly one experience; no task information is given.

    Attributes:
        name: name of the data set.
        class_order: all classes in the order in which they appear.
        samples: all training data of the data set; the training experiences are rows of it.
        train: experiences to learn from, in order.
        validation: the part held out of each training experience; empty unless a fraction was asked for.
        test: the test samples of each experience's classes.
        evaluate_on: which of the two `evaluation` is, `test` or `validation`.
        class_names: name of each class, by its label; empty if classes have numbers only.
        axes: the axes of the samples as they are stored, for messages.
        digests: what tells the data set's samples to learn from and to test on from others.

    Example:
        >>> from clep.streams import stream
        >>> digits = stream("digits", experiences=5)
        >>> len(digits.train), len(digits.joint().train), len(digits.joint().evaluation)
        (5, 1, 5)
    """

    name: str
    class_order: tuple[int, ...]
    samples: Samples
    train: tuple[Experience, ...]
    validation: tuple[Experience, ...]
    test: tuple[Experience, ...]
    evaluate_on: str = "test"
    class_names: tuple[str, ...] = ()
    axes: str = ""
    digests: tuple[str, str] = ("", "")

    @property
    def evaluation(self) -> tuple[Experience, ...]:
        """The experiences to measure accuracies on."""
        return self.test if self.evaluate_on == "test" else self.validation

    @property
    def chance(self) -> float:
        """Accuracy of the best constant answer on all of `evaluation`: the share of its most frequent class.

        Example:
            >>> from clep.streams import stream
            >>> round(stream("digits").chance, 3)
            0.103
        """
        labels = torch.cat([experience.samples.y for experience in self.evaluation])
        return float(torch.bincount(labels).max() / len(labels))

    def joint(self) -> "Stream":
        """The same data with all classes in one training experience; evaluation keeps its experiences."""
        rows = tuple(row for experience in self.train for row in experience.rows)
        return replace(self, train=(Experience(0, self.class_order, self.samples.rows(rows), rows),))

    @cached_property
    def benchmark(self) -> Any:
        """The stream as an Avalanche benchmark (`train_stream`, `test_stream`) with the constant task label 0."""
        # Avalanche takes seconds to import, and a stream is useful without it.
        from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels

        whole = avalanche_dataset(self.samples, range(len(self.samples)))
        return with_task_labels(
            with_classes_timeline(
                benchmark_from_datasets(
                    train=[whole.subset(list(experience.rows)) for experience in self.train],
                    test=[avalanche_dataset(experience.samples) for experience in self.evaluation],
                )
            )
        )


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


@takes(StreamSpec)
def stream(
    name: str = StreamSpec.name, *, seed: int = 0, root: str | None = None, download: bool = True, **options: Any
) -> Stream:
    """Load a data set and split its classes into a class-incremental stream.

    Args:
        name: one of `clep.datasets.DATASETS`.
        seed: seeds the class order, the validation split and the choice of samples, each with its own generator.
        root: folder of the image files; None for the user's cache directory.
        download: whether missing files may be downloaded.

    Returns:
        The stream; the samples of an experience are x (N, C, H, W) or (N, features), float32, and y (N,), int64.

    Raises:
        ConfigError: if a value is out of range or does not fit the data set; the message names the argument.
        DataError: if the data are missing or damaged.

    Example:
        >>> digits = stream("digits", class_order="fixed")
        >>> [experience.classes for experience in digits.train]
        [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    """
    if not isinstance(given := options.get("class_order", []), str | list):
        options["class_order"] = np.asarray(given).tolist()  # of any array, tensor or range
    spec = from_keywords(StreamSpec, {"name": name, **options})
    check("seed", seed, int)
    how: dict[str, Any] = {"layout": spec.layout, "scale": spec.scale, "standardize": spec.standardize}
    data = datasets.load(name, root=root, download=download, path=spec.path, **how)
    if spec.experiences > data.classes:
        text = f"expected an integer in [1, {data.classes}], the classes of `{name}`, got {spec.experiences}"
        raise ConfigError(f"experiences: {text}")
    order = _class_order(spec.class_order, data, seed)
    train, test = Samples(data.x_train, data.y_train), Samples(data.x_test, data.y_test)
    kept, held_out = _split(train.y, spec.validation_fraction, generator_for(seed, "validation"))
    _check_classes(data, kept, held_out, spec)
    choice = generator_for(seed, "samples")
    parts: dict[str, list[Experience]] = {"train": [], "validation": [], "test": []}
    for index, classes in enumerate(np.array_split(order, spec.experiences)):
        labels = tuple(int(c) for c in classes)
        member = torch.isin(train.y, torch.as_tensor(labels))
        rows = torch.nonzero(member & kept).flatten()
        if spec.samples_per_experience is not None:
            rows = rows[torch.randperm(len(rows), generator=choice)[: spec.samples_per_experience]]
        validation = _some(torch.nonzero(member & held_out).flatten(), spec.evaluation_samples)
        tested = _some(torch.nonzero(torch.isin(test.y, torch.as_tensor(labels))).flatten(), spec.evaluation_samples)
        parts["train"].append(Experience(index, labels, train.rows(rows), tuple(rows.tolist())))
        parts["validation"].append(Experience(index, labels, train.rows(validation)))
        parts["test"].append(Experience(index, labels, test.rows(tested)))
    return Stream(
        name,
        tuple(order),
        train,
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        evaluate_on=spec.evaluate_on,
        class_names=data.class_names,
        axes=data.axes,
        digests=data.digests,
    )


def _check_classes(data: datasets.Dataset, kept: Tensor, held_out: Tensor, spec: StreamSpec) -> None:
    """Refuse a class without samples to learn from or to measure on: its accuracy would be undefined."""

    def absent(y: Tensor) -> list[int]:
        return torch.nonzero(torch.bincount(y, minlength=data.classes) == 0).flatten().tolist()

    to_test = absent(data.y_test) if spec.evaluate_on == "test" else []
    if to_test and spec.missing_test == "refuse":
        raise DataError(
            f"{data.sources[3]} has no sample of class {named(to_test[0], data.class_names)}; add some, or set "
            "stream.missing_test=ignore to measure over the samples that there are."
        )
    parts = {"train": absent(data.y_train[kept])}
    if spec.evaluate_on == "validation":
        without = absent(data.y_train[held_out])
        parts["validation"] = [] if spec.missing_test == "ignore" and len(without) < data.classes else without
    for part, classes in parts.items():
        if classes:
            raise ConfigError(
                f"validation_fraction: {spec.validation_fraction} leaves class {named(classes[0], data.class_names)} "
                f"of `{spec.name}` without a {part} sample; choose it nearer to 0.5"
            )


def _some(rows: Tensor, limit: int | None) -> Tensor:
    """At most `limit` of the rows, the same ones every time."""
    if limit is None:
        return rows
    chosen = torch.randperm(len(rows), generator=generator_for(0, "evaluation samples"))[:limit]
    return rows[chosen.sort().values]


def _class_order(class_order: Any, data: datasets.Dataset, seed: int) -> list[int]:
    if class_order == "fixed":
        return list(range(data.classes))
    if class_order == "shuffled":
        return torch.randperm(data.classes, generator=generator_for(seed, "class order")).tolist()
    if class_order and isinstance(class_order[0], str):
        return _labels_of(class_order, data)
    if sorted(class_order) != list(range(data.classes)):
        text = f"expected `shuffled`, `fixed` or a permutation of 0 to {data.classes - 1}, got {class_order}"
        raise ConfigError(f"class_order: {text}")
    return list(class_order)


def _labels_of(class_order: Sequence[str], data: datasets.Dataset) -> list[int]:
    """The labels of classes given by their names."""
    if not data.class_names:
        raise ConfigError(f"class_order: the classes of `{data.name}` have numbers only, 0 to {data.classes - 1}")
    names = [
        one_of("class_order", unicodedata.normalize("NFC", name), data.class_names, "class") for name in class_order
    ]
    if left := [name for name in data.class_names if name not in names]:
        raise ConfigError(f"class_order: expected every class once; `{left[0]}` is missing")
    return [data.class_names.index(name) for name in names]


def _split(y: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Masks (N,) of the samples to learn from and of the samples held out, a `fraction` of each class."""
    held_out = torch.zeros(len(y), dtype=torch.bool)
    for label in range(int(y.max()) + 1):
        rows = torch.nonzero(y == label).flatten()
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        held_out[shuffled[: round(fraction * len(rows))]] = True
    return ~held_out, held_out
