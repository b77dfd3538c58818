"""Streams: a data set in experiences that are learned one after another.

A scenario says how; those of clep are in `clep.scenarios`, one file each. A scenario is a function, found by the name
that a package registers for it or by its import path; see `clep.parts`.
"""

from clep.streams.avalanche import ROW, avalanche_dataset
from clep.streams.experiences import Experience, Stream, stream_of
from clep.streams.making import stream
from clep.streams.samples import Loader, Samples

__all__ = ["ROW", "Experience", "Loader", "Samples", "Stream", "avalanche_dataset", "stream", "stream_of"]
