"""Data sets as tensors, loaded once: samples in [0, 1] and integer labels, by name or from your own files.

A data set is a function, found by the name that a package registers for it or by its import path; see `clep.parts`.
Those of clep have a row in `clep.datasets.names` too.
"""

from typing import TYPE_CHECKING, Any

from clep.datasets.names import DATASETS
from clep.renames import renamed

__all__ = ["DATASETS", "Dataset", "Raw", "default_root", "digests", "load"]

if TYPE_CHECKING:
    from clep.datasets.loading import Dataset, Raw, default_root, digests, load


def __getattr__(name: str) -> Any:
    # Loading needs torch. The names above do not, and they are all that checking a configuration needs.
    if name not in __all__:
        return renamed(__name__, name)
    from clep.datasets import loading

    return getattr(loading, name)
