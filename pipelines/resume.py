"""Go on with a run that was stopped: in the same MLflow run, from its latest checkpoint, to the same result."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from clep.pipelines import class_incremental, compare

from clep import tracking, unfinished
from clep.build import identity, resolved
from clep.comparison.extending import extended
from clep.comparison.stored import is_comparison
from clep.config import tracking_in
from clep.errors import ConfigError
from clep.identity import Identity
from clep.results import Comparison, Result

_CHANGEABLE = ("data", "checkpoint")


def resume(
    run_id: str = "", changes: Sequence[str] = (), *, on_progress: Callable[[Any], None] | None = None
) -> Result | Comparison:
    """Go on with a run, or with the comparison that it belongs to.

    Args:
        run_id: its id, or the beginning of it; empty for the latest run of the store that did not end. If that is one
            of a comparison, the comparison goes on.
        changes: `key=value` texts: `tracking.uri`, `data.*` and `checkpoint.*`, which change no result.
        on_progress: as in `class_incremental.run`.

    Raises:
        ConfigError: if there is no such run, if it goes on in another process, or for another key.
        DataError, DivergenceError, KeyboardInterrupt: as in `class_incremental.run`.
    """
    for text in changes:
        key = text.partition("=")[0]
        if key.partition(".")[0] not in _CHANGEABLE and key != "tracking.uri":
            raise ConfigError(
                f"{key}: a run that goes on keeps its configuration; to go on with another one, use "
                f"`clep fork {run_id or 'RUN_ID'} --after K {text}`"
            )
    uri = tracking.tracking_uri(tracking_in(changes).uri)
    _, record = _chosen(run_id, uri)
    if not run_id and (whole := _comparison_of(record, uri)):
        print(f"clep: the latest run that was stopped is one of comparison {whole}, which goes on", file=sys.stderr)
        return compare.extend(extended(whole, list(changes), "resume"))
    config = record.composed(uri, list(changes))
    before = Identity.from_tags(record.identity)
    changed = ["it is of another version"] if before is None else identity(resolved(config)).differences(before)
    if changed:
        text = "; ".join(changed)
        raise ConfigError(f"run: {record.run_id} would not go on as it began ({text}); start it anew with `clep run`")
    return class_incremental.run(
        config,
        parent_run_id=record.parent_run_id,
        tags=record.tags or None,
        name=record.name,
        on_progress=on_progress,
        start=unfinished.start_of(uri, record.run_id),
    )


def _comparison_of(record: unfinished.Record, uri: str) -> str:
    """The comparison that a run belongs to; empty for none."""
    if not record.parent_run_id:
        return ""
    parent = tracking.run_of(uri, record.parent_run_id, "run")
    return parent.run_id if is_comparison(parent) else ""


def _chosen(run_id: str, uri: str) -> tuple[unfinished.Folder, unfinished.Record]:
    """The run to go on with."""
    if run_id:
        found = unfinished.find(run_id, uri)
        if found is None:
            run = tracking.run_of(uri, run_id, "run")
            raise ConfigError(f"run: {run.run_id} is {run.status}, and nothing is left of it to go on with")
        if found[0].goes_on:
            raise ConfigError(f"run: {found[1].run_id} goes on in another process; wait for it, or stop it first")
        status = tracking.run_of(uri, found[1].run_id, "run").status
        if status == "FINISHED":
            raise ConfigError(f"run: {found[1].run_id} has finished; to go on with other settings, use `clep fork`")
        return found
    for folder, record in unfinished.everything(uri):
        if not folder.goes_on and tracking.run_of(uri, record.run_id, "run").status in ("RUNNING", "KILLED"):
            return folder, record
    raise ConfigError(f"run: `{tracking.shown(uri)}` has no run that was stopped; give the id of one")
