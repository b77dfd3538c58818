"""Claims: statements about strategies, from a paper or our own, as cells to run and comparisons to judge.

A claim is a YAML file (in `configs/claim/`, or your own):

    claim: one sentence
    config: mnist                      # the pipeline that every cell starts from
    set: [stream.samples_per_experience=null]       # changes for every cell
    small: [learner.epochs=1]          # more changes for `--small`, a quick look
    small_config: class_incremental    # the pipeline that `--small` starts from, if not the same
    seeds: [0, 1, 2, 3, 4]
    cells:
      naive: {set: [strategies=naive], published: 0.195}
      sleep: {set: [strategies=sleep_replay], published: 0.48, source: Tadros et al. 2022, at_least: 0.65}
    controls: [joint, ridge]   # strategies that become cells of these names
    compare: [[sleep, naive]] # the first should be above the second

A claim can also give a `grid` instead of some or all of its cells (see `clep.cells.grids`). Its comparisons then
compare alternatives of one axis in all cells that are otherwise equal. `columns` adds columns (see `clep.columns`).
"""

from typing import TYPE_CHECKING, Any

from clep.cells import Cell
from clep.claims.claim import Claim, read
from clep.imports import exported

_HOMES = dict.fromkeys(("Table", "as_json", "as_markdown", "judge", "rows_of", "write_files"), "clep.claims.tables")
_HOMES |= dict.fromkeys(("Published", "read_published"), "clep.claims.carrying")

__all__ = [
    "Cell",
    "Claim",
    "Published",
    "Table",
    "as_json",
    "as_markdown",
    "judge",
    "read",
    "read_published",
    "rows_of",
    "write_files",
]

if TYPE_CHECKING:
    from clep.claims.carrying import Published, read_published
    from clep.claims.tables import Table, as_json, as_markdown, judge, rows_of, write_files


def __getattr__(name: str) -> Any:
    # Tables need plots and statistics; reading a claim does not.
    return exported("clep.claims", name, _HOMES, __all__)
