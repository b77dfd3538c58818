"""Comparisons: run cells, each a configuration, over seeds, and summarise them in a table.

`plan` makes the jobs and `check` refuses bad ones. A `Ledger` knows which of them the store already holds, and
`run_missing` runs the others in worker processes. `page` writes the files and describes the comparison in MLflow.
`clep compare` and `clep reproduce` both work this way; a claim (see `clep.claims`) is a comparison with a sentence,
published numbers and verdicts.
"""

from typing import TYPE_CHECKING, Any

from clep.cells import Cell
from clep.imports import exported

_HOMES = {
    "JOB_TAG": "clep.comparison.ledger",
    "Interrupted": "clep.comparison.running",
    "Job": "clep.comparison.cells",
    "Ledger": "clep.comparison.ledger",
    "check": "clep.comparison.cells",
    "page": "clep.comparison.page",
    "parent": "clep.comparison.parent",
    "plan": "clep.comparison.cells",
    "run_missing": "clep.comparison.running",
}

__all__ = ["JOB_TAG", "Cell", "Interrupted", "Job", "Ledger", "check", "page", "parent", "plan", "run_missing"]

if TYPE_CHECKING:
    from clep.comparison import page, parent
    from clep.comparison.cells import Job, check, plan
    from clep.comparison.ledger import JOB_TAG, Ledger
    from clep.comparison.running import Interrupted, run_missing


def __getattr__(name: str) -> Any:
    # Running needs torch; describing cells and checking a claim do not.
    return exported("clep.comparison", name, _HOMES, __all__)
