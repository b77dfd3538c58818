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

# tqdm's own lock is one for all processes. Only threads share a bar here, and the system reports such a lock as leaked
# when its process is interrupted.
tqdm.set_lock(threading.RLock())


def bar(*args: Any, **kwargs: Any) -> tqdm:
    """A `tqdm` bar that leaves no trace when done; the arguments are tqdm's."""
    return tqdm(*args, leave=False, dynamic_ncols=True, disable=True if _silent() else None, **kwargs)


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
        now = time.monotonic()
        if _silent() or not (sys.stderr.isatty() or now - self._latest >= _SECONDS_BETWEEN_LINES):
            return
        self._latest = now
        tqdm.write(text, file=sys.stderr)


def _silent() -> bool:
    return os.environ.get("CLEP_PROGRESS") == "0"
