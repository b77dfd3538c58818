"""Data-incremental: more and more samples of one distribution."""

from clep.datasets import Dataset
from clep.randomness import generator_for
from clep.streams import Stream, stream_of
from clep.streams.dealing import shares


def data_incremental(data: Dataset, *, seed: int, experiences: int) -> Stream:
    """Every experience has a part of the samples of every class; there is one test, on all classes.

    Whatever is tested, each experience teaches it, so forgetting has no meaning here.

    Args:
        data: the data set.
        seed: deals the samples out.
        experiences: number of parts; each class is split as evenly as it divides.

    Example:
        >>> from clep.streams import stream
        >>> parts = stream("digits", scenario="data_incremental", experiences=3)
        >>> [len(experience) for experience in parts.train], len(parts.test)
        ([479, 479, 479], 1)
    """
    train = shares(data.y_train, experiences, generator_for(seed, "parts"))
    return stream_of(data, train, [range(len(data.y_test))], learned_at=[None])
