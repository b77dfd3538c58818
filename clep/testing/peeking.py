"""No label peeking: what is learned depends neither on later experiences nor on evaluation data."""

from dataclasses import replace

import torch

from clep.streams import Experience, Samples, Stream
from clep.testing.reproducing import different
from clep.testing.runs import Run, digits, train
from clep.testing.subject import CheckFailed, NotApplicable, Subject


def check_later(subject: Subject) -> None:
    """The weights after an experience are the same to the bit, whatever the data and labels of later ones are.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if they are not.
        NotApplicable: if it learns all experiences at once, by declaration.

    Example:
        >>> from clep.testing import Subject
        >>> check_later(Subject("awake_rehearsal"))
    """
    if subject.is_said("trains_jointly"):
        raise NotApplicable("it declares to learn all experiences at once (`trains_jointly`)")
    honest = subject.reference
    for known in range(1, len(digits().train)):
        poisoned = train(lambda: [subject.made()], subject.rule, poisoned_after(digits(), known))
        _same(
            honest, poisoned, known, "the data or labels of later ones; use only `strategy.experience`, not its stream"
        )


def check_evaluation(subject: Subject) -> None:
    """The weights are the same to the bit, whatever the data and labels are that accuracies are measured on.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if they are not.

    Example:
        >>> from clep.testing import Subject
        >>> check_evaluation(Subject("awake_rehearsal"))
    """
    honest = subject.reference
    poisoned = train(lambda: [subject.made()], subject.rule, with_other_evaluation(digits()))
    _same(honest, poisoned, len(honest.weights), "the evaluation data; learn from training data alone")


def _same(honest: Run, poisoned: Run, experiences: int, what: str) -> None:
    """Refuse a strategy whose weights after one of the first experiences depend on what it must not see."""
    pairs = list(zip(honest.weights, poisoned.weights, strict=True))
    for i, (one, other) in enumerate(pairs[:experiences]):
        if (name := different(one, other)) is not None:
            raise CheckFailed(f"the weights after experience {i} (`{name}`) depend on {what}")


def poisoned_after(data: Stream, known: int) -> Stream:
    """The stream with noise for samples after the first experiences, and with later classes in reverse order.

    Args:
        data: a stream.
        known: how many experiences stay as they are.

    Example:
        >>> from clep.testing.runs import digits
        >>> poisoned = poisoned_after(digits(), 1)
        >>> [experience.classes == digits().train[i].classes for i, experience in enumerate(poisoned.train)]
        [True, False, False]
    """
    later = data.train[known:]
    x, y = data.samples.x.clone(), data.samples.y.clone()
    generator = torch.Generator().manual_seed(1)
    moved = [experience.classes for experience in reversed(later)]
    if len(later) == 1:  # nothing to change places with: the same classes, each for another one's samples
        moved = [later[0].classes[::-1]]
    train_now = list(data.train[:known])
    for experience, classes in zip(later, moved, strict=True):
        rows = torch.as_tensor(experience.rows)
        x[rows] = torch.rand(x[rows].shape, generator=generator)
        y[rows] = torch.tensor(classes)[torch.arange(len(rows)) % len(classes)]
        train_now.append(Experience(experience.index, classes, Samples(x[rows], y[rows]), experience.rows))
    return replace(data, samples=Samples(x, y), train=tuple(train_now))


def with_other_evaluation(data: Stream) -> Stream:
    """The stream with noise and other labels for the samples that accuracies are measured on.

    Args:
        data: a stream.

    Example:
        >>> from clep.testing.runs import digits
        >>> bool((with_other_evaluation(digits()).evaluation[0].samples.y == digits().evaluation[0].samples.y).any())
        False
    """
    generator = torch.Generator().manual_seed(2)

    def other(experience: Experience) -> Experience:
        x, y = experience.samples.x, experience.samples.y
        return replace(
            experience, samples=Samples(torch.rand(x.shape, generator=generator), (y + 1) % len(data.class_order))
        )

    return replace(data, test=tuple(other(e) for e in data.test), validation=tuple(other(e) for e in data.validation))
