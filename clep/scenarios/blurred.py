"""Blurred boundaries: neighbouring experiences share some of their samples."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch

from clep.datasets import Dataset
from clep.randomness import generator_for
from clep.streams import Stream, stream_of
from clep.streams.dealing import groups, rows_of


def blurred(
    data: Dataset,
    *,
    seed: int,
    class_order: Sequence[int],
    experiences: int,
    sizes: Sequence[int] | None,
    share: Annotated[float, "[0, 1]"] = 0.2,
) -> Stream:
    """Class-incremental, but a share of each experience's samples comes from its two neighbours.

    At each boundary, two neighbours swap half of that share of the smaller one's samples, so experiences keep their
    sizes, and the first and the last, with one neighbour, have half the share. The tests are those of the classes.

    Args:
        data: the data set.
        seed: draws the samples that are swapped.
        class_order: all classes in the order in which they appear.
        experiences: number of experiences.
        sizes: number of classes in each; None deals them out evenly.
        share: the share, 0 for boundaries that are sharp.

    Raises:
        ConfigError: if the sizes do not fit the number of classes.

    Example:
        >>> from clep.streams import stream
        >>> made = stream("digits", scenario="blurred", class_order="fixed")
        >>> [experience.classes for experience in made.train[:2]], made.test[0].classes
        ([(0, 1, 2, 3), (0, 1, 2, 3, 4, 5)], (0, 1))
    """
    parts, draws = groups(class_order, experiences, sizes), generator_for(seed, "boundaries")
    rows = [rows_of(data.y_train, labels) for labels in parts]
    shuffled = [own[torch.randperm(len(own), generator=draws)] for own in rows]
    swapped = [0, *(round(share / 2 * min(len(a), len(b))) for a, b in pairwise(rows)), 0]
    # What goes to the experience before is the beginning of the shuffled rows, what goes to the next is their end.
    starts = [own[: swapped[i]] for i, own in enumerate(shuffled)]
    ends = [own[len(own) - swapped[i + 1] :] for i, own in enumerate(shuffled)]
    kept = [own[swapped[i] : len(own) - swapped[i + 1]] for i, own in enumerate(shuffled)]
    nothing = torch.arange(0)
    train = [
        torch.cat([ends[i - 1] if i else nothing, own, starts[i + 1] if i + 1 < len(parts) else nothing]).sort().values
        for i, own in enumerate(kept)
    ]
    test = [rows_of(data.y_test, labels) for labels in parts]
    return stream_of(data, train, test, class_order=class_order, classes=parts)
