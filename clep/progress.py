"""Progress on stderr: bars on a terminal, a line now and then elsewhere.

`CLEP_PROGRESS=0` switches both off; worker processes set it.
"""

import os
import sys
import threading
import time
from typing import Any

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0
_IN_A_LINE = "clep: {desc}: {n_fmt}/{total_fmt} {unit}s, {elapsed} gone, {remaining} left{postfix}"

# tqdm's own lock is one for all processes. Only threads share a bar here, and the system reports such a lock as leaked
# when its process is interrupted.
tqdm.set_lock(threading.RLock())


def bar(*args: Any, lines: bool = True, **kwargs: Any) -> tqdm:
    """A `tqdm` bar that leaves no trace when done; without a terminal, a line every 15 seconds.

    Args:
        args: those of tqdm.
        lines: whether there are lines without a terminal; False where `Lines` says more.
        kwargs: those of tqdm.
    """
    if sys.stderr.isatty() or not lines:
        return tqdm(*args, leave=False, dynamic_ncols=True, disable=True if _silent() else None, **kwargs)
    return _BarOfLines(*args, leave=False, miniters=1, disable=_silent(), bar_format=_IN_A_LINE, **kwargs)


class Lines:
    """Lines about a long job: all of them on a terminal, above the bar; elsewhere one every 15 seconds.

    Example:
        >>> lines = Lines()
        >>> lines.tell("3/21 runs")
    """

    def __init__(self) -> None:
        self._latest = time.monotonic()

    def tell(self, text: str) -> None:
        """Print a line, if it is time for one."""
        if _silent():
            return
        if sys.stderr.isatty():
            tqdm.write(text, file=sys.stderr)
        elif time.monotonic() - self._latest >= _SECONDS_BETWEEN_LINES:
            self._latest = time.monotonic()
            print(text, file=sys.stderr, flush=True)


class _BarOfLines(tqdm):
    """A bar where nothing can be drawn over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lines = Lines()
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Tell where it is, if it is time to; an empty message, which would wipe a bar out, says nothing."""
        if msg is not None:
            return False
        self._lines.tell(str(self))
        return True


def _silent() -> bool:
    return os.environ.get("CLEP_PROGRESS") == "0"
