"""A stream: experiences to learn one after another, and experiences to measure on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from clep.datasets import Dataset
from clep.errors import ConfigError
from clep.specs.stream import every
from clep.streams.avalanche import benchmark_of
from clep.streams.samples import Loader, Samples

Part = Samples | Tensor | Sequence[int]
"""An experience as samples of its own, or as rows of a data set."""


@dataclass(frozen=True, eq=False)
class Experience:
    """One step of a stream.

    Attributes:
        index: position in the stream, from 0.
        classes: labels of its samples, in the order of the stream.
        samples: its samples.
        rows: for training experiences, their rows in `Stream.samples`; empty for others.
        name: what it is called where its classes do not tell it from others, such as `30 degrees`; empty otherwise.

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
    name: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def loader(self, batch_size: int, *, shuffle: bool = True, generator: torch.Generator | None = None) -> Loader:
        """Batches `[x (B, ...), y (B,), t (B,)]` of this experience; see `Samples.loader`.

        Args:
            batch_size, shuffle, generator: as there.
        """
        return self.samples.loader(batch_size, shuffle=shuffle, generator=generator)


@dataclass(frozen=True, eq=False)
class Stream:
    """Experiences to learn in order, and experiences to measure on; no task information is given.

    Attributes:
        name: name of the data set.
        class_order: all classes in the order in which they appear; a network has an output for each.
        samples: all training data of the stream; the training experiences are rows of it.
        train: experiences to learn from, in order.
        validation: the part held out, in the experiences of `test`; empty unless a fraction was asked for.
        test: experiences to test on, in the order in which they are learned.
        evaluate_on: which of the two `evaluation` is, `test` or `validation`.
        evaluate: which of them are measured after each training experience: `all`, `seen` or `every:K`.
        class_names: name of each class, by its label; empty if classes have numbers only.
        axes: the axes of the samples as they are stored, for messages.
        digests: what tells the data set's samples to learn from and to test on from others.
        learned_at: for each experience of `evaluation`, the index of the training experience that teaches it first;
            None if each of them teaches it, so that it is seen from the start and there is nothing to forget.

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
    evaluate: str = "all"
    class_names: tuple[str, ...] = ()
    axes: str = ""
    digests: tuple[str, str] = ("", "")
    learned_at: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.learned_at:
            same = range(len(self.evaluation))
            all_teach = len(self.evaluation) == 1 < len(self.train)
            object.__setattr__(self, "learned_at", (None,) if all_teach else tuple(same))

    @property
    def evaluation(self) -> tuple[Experience, ...]:
        """The experiences to measure accuracies on."""
        return self.test if self.evaluate_on == "test" else self.validation

    def measured_after(self, index: int) -> list[int]:
        """The experiences of `evaluation` whose accuracy is measured after a training experience.

        After the last one these are all. Each is measured when it is learned, or seen for the first time.

        Args:
            index: of the training experience.

        Example:
            >>> from clep.streams import stream
            >>> [stream("digits", evaluate="every:2").measured_after(i) for i in range(5)]
            [[0], [0, 1, 2, 3, 4], [2], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
            >>> stream("digits", evaluate="seen").measured_after(1)
            [0, 1]
        """
        first_seen = [0 if at is None else at for at in self.learned_at]
        if index == len(self.train) - 1 or self.evaluate == "all":
            return list(range(len(first_seen)))
        if self.evaluate == "seen":
            return [j for j, at in enumerate(first_seen) if at <= index]
        if (index + 1) % every(self.evaluate) == 0:
            return list(range(len(first_seen)))
        return [j for j, at in enumerate(first_seen) if at == index]

    @property
    def unmeasured(self) -> str:
        """What is undefined because it is not measured, and why; empty where everything is.

        Example:
            >>> from clep.streams import stream
            >>> stream("digits", evaluate="seen").unmeasured
            'forward transfer and maximal forgetting: stream.evaluate=seen measures nothing before it is learned'
        """
        if self.evaluate in ("all", "every:1") or len(self.train) == 1:
            return ""
        lost = "forward transfer and maximal forgetting"
        if self.evaluate == "seen":
            return f"{lost}: stream.evaluate=seen measures nothing before it is learned"
        rows = f"stream.evaluate={self.evaluate} measures all experiences after some and after the last"
        return f"{lost}, and in between all that is not of one experience: {rows}"

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
        """The same data in one training experience; evaluation keeps its experiences."""
        rows = tuple(row for experience in self.train for row in experience.rows)
        return replace(self, train=(Experience(0, self.class_order, self.samples.rows(rows), rows),))

    @cached_property
    def benchmark(self) -> Any:
        """The stream as an Avalanche benchmark (`train_stream`, `test_stream`) with the constant task label 0."""
        tested = [experience.samples for experience in self.evaluation]
        return benchmark_of(self.samples, [experience.rows for experience in self.train], tested)


def stream_of(
    data: Dataset,
    train: Sequence[Part],
    test: Sequence[Part],
    *,
    class_order: Sequence[int] | None = None,
    classes: Sequence[Sequence[int]] | None = None,
    names: Sequence[str] = (),
    learned_at: Sequence[int | None] | None = None,
) -> Stream:
    """A stream of experiences made from a data set: what the function of a scenario returns.

    Args:
        data: the data set that they are made from.
        train: the experiences to learn from, each as rows (N,) of the data set's samples to learn from, or each as
            samples of its own, x (N, ...) of one shape, float32, and y (N,), int64.
        test: the experiences to test on, likewise: rows (n,) of the samples to test on, or samples.
        class_order: all classes in the order in which they appear; by default by their numbers.
        classes: the classes of each test experience; by default those of its samples.
        names: what the test experiences are called, where their classes do not tell them apart.
        learned_at: for each test experience, the training experience that teaches it first, in ascending order; None
            if each of them does. By default test experience j is that of training experience j; a single one belongs to
            all.

    Raises:
        ConfigError: if an experience is empty, its samples do not fit the data set, or `learned_at` does not fit.

    Example:
        >>> from clep.datasets import load
        >>> data = load("digits")
        >>> halves = stream_of(data, [range(0, 700), range(700, 1437)], [range(len(data.y_test))])
        >>> len(halves.train), halves.learned_at
        (2, (None,))
    """
    order = tuple(range(data.classes) if class_order is None else class_order)
    if sorted(order) != list(range(data.classes)):
        raise ConfigError(f"class_order: expected every class of 0 to {data.classes - 1} once, got {list(order)}")
    taught, tested = (_samples_of(parts, data, own) for parts, own in ((train, "train"), (test, "test")))
    at = _checked(learned_at, len(taught), len(tested))
    named = list(names) or [""] * len(tested)
    if len(named) != len(tested):
        raise ConfigError(f"names: expected one for each of {len(tested)} test experiences, got {len(named)}")
    if isinstance(train[0], Samples):
        samples, taught = _joined(taught)
        ends = torch.tensor([0, *map(len, taught)]).cumsum(0).tolist()
        rows = [tuple(range(start, end)) for start, end in pairwise(ends)]
    else:
        samples = Samples(data.x_train, data.y_train)
        rows = [tuple(torch.as_tensor(part).tolist()) for part in train]
    of_test = [_classes(s, order) for s in tested] if classes is None else [tuple(map(int, part)) for part in classes]
    return Stream(
        data.name,
        order,
        samples,
        train=tuple(Experience(i, _classes(s, order), s, rows[i]) for i, s in enumerate(taught)),
        validation=(),
        test=tuple(Experience(i, of_test[i], s, name=named[i]) for i, s in enumerate(tested)),
        class_names=data.class_names,
        axes=data.axes,
        digests=data.digests,
        learned_at=at,
    )


def _joined(parts: Sequence[Samples]) -> tuple[Samples, list[Samples]]:
    """Samples one after another, and the parts as views of them: there may be as many copies as experiences."""
    whole = Samples(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
    sizes = list(map(len, parts))
    return whole, [Samples(x, y) for x, y in zip(whole.x.split(sizes), whole.y.split(sizes), strict=True)]


def _samples_of(parts: Sequence[Part], data: Dataset, which: str) -> list[Samples]:
    whole = Samples(data.x_train, data.y_train) if which == "train" else Samples(data.x_test, data.y_test)
    own = [isinstance(part, Samples) for part in parts]
    if not parts or any(own) != all(own):
        got = "none" if not parts else "some of each"
        raise ConfigError(f"{which}: expected experiences, all as rows or all as `Samples`, got {got}")
    found = [part if isinstance(part, Samples) else whole.rows(part) for part in parts]
    for i, samples in enumerate(found):
        _check(samples, whole, data.classes, f"{which}[{i}]")
    return found


def _check(samples: Samples, whole: Samples, classes: int, where: str) -> None:
    x, y = samples.x, samples.y
    if x.dtype != torch.float32 or y.dtype != torch.int64 or y.ndim != 1 or len(x) != len(y):
        got = f"{x.dtype} of shape {tuple(x.shape)} and {y.dtype} of shape {tuple(y.shape)}"
        raise ConfigError(f"{where}: expected float32 samples (N, ...) and int64 labels (N,), got {got}")
    if x.shape[1:] != whole.x.shape[1:]:
        shapes = f"{tuple(whole.x.shape[1:])}, as in the data set, got {tuple(x.shape[1:])}"
        raise ConfigError(f"{where}: expected samples of shape {shapes}")
    if len(y) and (int(y.min()) < 0 or int(y.max()) >= classes):
        raise ConfigError(f"{where}: expected labels from 0 to {classes - 1}, got {int(y.min())} to {int(y.max())}")
    if where.startswith("train") and not len(y):
        raise ConfigError(f"{where}: no samples to learn from")


def _checked(learned_at: Sequence[int | None] | None, train: int, test: int) -> tuple[int | None, ...]:
    if learned_at is None:
        if test > train:
            raise ConfigError(f"learned_at: {test} test experiences, but {train} to learn from; say which teaches each")
        return (None,) if test == 1 < train else tuple(range(test))
    numbers = [-1 if index is None else index for index in learned_at]
    if len(numbers) != test or numbers != sorted(numbers) or not all(-1 <= index < train for index in numbers):
        raise ConfigError(
            f"learned_at: expected for each of {test} test experiences None or an index below {train}, in ascending "
            f"order, got {list(learned_at)}"
        )
    return tuple(learned_at)


def _classes(samples: Samples, order: Sequence[int]) -> tuple[int, ...]:
    present = set(samples.y.tolist())
    return tuple(label for label in order if label in present)
