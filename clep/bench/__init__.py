"""How fast clep is: whole updates against an autograd baseline, and a sleep against a torch loop."""

from typing import TYPE_CHECKING, Any

from clep.imports import exported

__all__ = ["Timings", "bench"]

if TYPE_CHECKING:
    from clep.bench.running import Timings, bench


def __getattr__(name: str) -> Any:
    # Timing needs torch; the names in `clep.bench.cases` do not.
    return exported("clep.bench", name, dict.fromkeys(__all__, "clep.bench.running"), __all__)
