"""Repetition: classes come back, with samples that were not there before."""

from collections.abc import Sequence
from typing import Annotated

import torch

from clep.datasets import Dataset
from clep.randomness import generator_for
from clep.streams import Stream, stream_of
from clep.streams.dealing import groups, rows_of, shares


def repetition(
    data: Dataset,
    *,
    seed: int,
    class_order: Sequence[int],
    experiences: int,
    sizes: Sequence[int] | None,
    rounds: Annotated[int, "[1, inf)"] = 2,
    shuffle: bool = True,
) -> Stream:
    """Groups of classes come round again and again, each time with other samples; there is one test for each group.

    Args:
        data: the data set.
        seed: deals the samples out, and shuffles the groups.
        class_order: all classes in the order in which they appear.
        experiences: number of groups; the stream has as many experiences in each round.
        sizes: number of classes in each group; None deals them out evenly.
        rounds: how often each group comes; its samples are split among the rounds, class by class.
        shuffle: whether rounds after the first have an order of their own.

    Raises:
        ConfigError: if the sizes do not fit the number of classes.

    Example:
        >>> from clep.streams import stream
        >>> made = stream("digits", scenario="repetition", scenario_options={"rounds": 3}, class_order="fixed")
        >>> len(made.train), len(made.test), made.train[0].classes
        (15, 5, (0, 1))
    """
    parts = groups(class_order, experiences, sizes)
    dealing, order = generator_for(seed, "parts"), generator_for(seed, "rounds")
    rows = [rows_of(data.y_train, labels) for labels in parts]
    dealt = [[own[part] for part in shares(data.y_train[own], rounds, dealing)] for own in rows]
    train = []
    for number in range(rounds):
        anew = shuffle and number > 0
        turn = torch.randperm(len(parts), generator=order).tolist() if anew else range(len(parts))
        train += [dealt[group][number] for group in turn]
    test = [rows_of(data.y_test, labels) for labels in parts]
    return stream_of(data, train, test, class_order=class_order, classes=parts, learned_at=list(range(len(parts))))
