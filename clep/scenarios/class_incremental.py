"""Class-incremental: every experience has classes of its own."""

from collections.abc import Sequence

from clep.datasets import Dataset
from clep.streams import Stream, stream_of
from clep.streams.dealing import groups, rows_of


def class_incremental(
    data: Dataset, *, class_order: Sequence[int], experiences: int, sizes: Sequence[int] | None
) -> Stream:
    """Every experience has classes of its own, and is tested on these.

    Args:
        data: the data set.
        class_order: all classes in the order in which they appear.
        experiences: number of experiences.
        sizes: number of classes in each; None deals them out evenly.

    Raises:
        ConfigError: if the sizes do not fit the number of classes.

    Example:
        >>> from clep.streams import stream
        >>> [len(experience.classes) for experience in stream("digits", sizes=[4, 2, 2, 2]).train]
        [4, 2, 2, 2]
    """
    parts = groups(class_order, experiences, sizes)
    train, test = ([rows_of(y, labels) for labels in parts] for y in (data.y_train, data.y_test))
    return stream_of(data, train, test, class_order=class_order, classes=parts)
