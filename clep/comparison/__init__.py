"""Comparisons: run cells, each a configuration, over seeds, and summarise them in a table.

`plan` makes the jobs and `check` refuses bad ones. A `Ledger` knows which of them the store already holds, and
`run_missing` runs the others in worker processes. `page` writes the files and describes the comparison in MLflow.
`clep compare` and `clep reproduce` both work this way; a claim (see `clep.claims`) is a comparison with a sentence,
published numbers and verdicts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clep.comparison.cell import Cell

_HOMES = {
    "JOB_TAG": "ledger",
    "Job": "cells",
    "Ledger": "ledger",
    "check": "cells",
    "page": "page",
    "plan": "cells",
    "run_missing": "running",
}

__all__ = ["JOB_TAG", "Cell", "Job", "Ledger", "check", "page", "plan", "run_missing"]

if TYPE_CHECKING:
    from clep.comparison import page
    from clep.comparison.cells import Job, check, plan
    from clep.comparison.ledger import JOB_TAG, Ledger
    from clep.comparison.running import run_missing


def __getattr__(name: str) -> Any:
    # Running needs torch; describing cells and checking a claim do not.
    if name not in _HOMES:
        raise AttributeError(f"module 'clep.comparison' has no attribute '{name}'; public names: {', '.join(__all__)}")
    home = import_module(f"clep.comparison.{_HOMES[name]}")
    return home if _HOMES[name] == name else getattr(home, name)
