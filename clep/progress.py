"""Progress bars on stderr, shown on a terminal only. `CLEP_PROGRESS=0` switches them off; worker processes set it."""

import os
from typing import Any

from tqdm import tqdm


def bar(*args: Any, **kwargs: Any) -> tqdm:
    """A `tqdm` bar that leaves no trace when done; the arguments are tqdm's."""
    silent = os.environ.get("CLEP_PROGRESS") == "0"
    return tqdm(*args, leave=False, dynamic_ncols=True, disable=True if silent else None, **kwargs)
