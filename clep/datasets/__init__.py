"""Data sets as tensors, loaded once: samples in [0, 1] and integer labels, by name or from files of your own.

The names are in `clep.datasets.names`. A new data set is one file here with its loader, and one row there.
"""

from typing import TYPE_CHECKING, Any

from clep.datasets.names import DATASETS
from clep.renames import renamed

__all__ = ["DATASETS", "Dataset", "default_root", "load"]

if TYPE_CHECKING:
    from clep.datasets.loading import Dataset, default_root, load


def __getattr__(name: str) -> Any:
    # Loading needs torch; the names above do not, and a configuration is checked with them alone.
    if name not in __all__:
        return renamed(__name__, name)
    from clep.datasets import loading

    return getattr(loading, name)
