"""What `dreams` knows of a class: statistics of its inputs in few bytes, and samples drawn from them."""

from clep.dreaming.packed import Packed, StoredAs, packed
from clep.dreaming.statistics import Modes, Statistics
from clep.dreaming.training import train_on

__all__ = ["Modes", "Packed", "Statistics", "StoredAs", "packed", "train_on"]
