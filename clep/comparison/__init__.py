"""Comparisons: cells, each a configuration, are run over seeds and summarised in a table.

`plan` makes the jobs, `check` refuses what is wrong with any of them, a `Ledger` knows which of them the store holds
already, `run_missing` runs the others in worker processes, and `page` writes files and describes the comparison in
MLflow. `clep compare` and `clep reproduce` both work so; a claim (see `clep.claims`) is a comparison with a sentence,
published numbers and verdicts.
"""

from clep.comparison import page
from clep.comparison.cells import Cell, Job, check, plan
from clep.comparison.ledger import JOB_TAG, Ledger
from clep.comparison.running import run_missing

__all__ = ["JOB_TAG", "Cell", "Job", "Ledger", "check", "page", "plan", "run_missing"]
