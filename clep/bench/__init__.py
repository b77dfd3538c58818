"""How fast clep is: whole updates against an autograd baseline, and a sleep against a torch loop."""

from typing import TYPE_CHECKING, Any

__all__ = ["Timings", "bench"]

if TYPE_CHECKING:
    from clep.bench.running import Timings, bench


def __getattr__(name: str) -> Any:
    # Timing needs torch; the names in `clep.bench.cases` do not.
    if name not in __all__:
        raise AttributeError(f"module 'clep.bench' has no attribute '{name}'; public names: {', '.join(__all__)}")
    from clep.bench import running

    return getattr(running, name)
