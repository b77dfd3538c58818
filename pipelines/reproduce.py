"""Run the cells of a claim over its seeds, each as a run in MLflow, and write a table; it goes on where it stopped."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from clep.pipelines import class_incremental

from clep import claims, run_names, temporary, tracking
from clep.claims import Claim, Table
from clep.columns import check_needs
from clep.comparison import Interrupted, Ledger, check, page, parent, plan, run_missing
from clep.config import compose
from clep.errors import ConfigError
from clep.results import Comparison, Result


def run(
    claim: Claim,
    changes: Sequence[str] = (),
    *,
    small: bool = False,
    output: str | Path = "docs/results",
    figure: bool = False,
    stored: bool = False,
) -> Table:
    """Run what is missing, then write `<claim>.md` and `<claim>.csv` into `output`.

    `clep.comparison.Ledger` says what counts as done. In a claim with the column `diverged`, a run whose training
    diverged is also done, not a failure.

    Args:
        claim: what to run.
        changes: more `key=value` changes for every cell, e.g. `data.root=...` or `workers=4`.
        small: use the claim's changes for a quick look and two seeds; the table is then called `<claim>_small`.
        output: folder of the tables; created if missing.
        figure: write the figures there too; the run in MLflow has them in any case.
        stored: run nothing, and write the table of what the store holds so far.

    Raises:
        ConfigError, DataError: for anything wrong with a cell, before the first one is trained.
        KeyboardInterrupt: on Ctrl-C; finished runs are kept and found again. A note of it is the command that goes on,
            and its `so_far` what had finished, if anything had.
    """
    pipeline, shared = claim.base(small=small)
    base = compose(pipeline, [*shared, *changes])
    cells = list(claim.composed(changes, small=small))
    for _, config in cells:
        check_needs(claim.columns, config)
    jobs = plan(cells, claim.seeds[:2] if small else claim.seeds)
    classes, started = check(jobs), time.perf_counter()

    name = f"{claim.name}_small" if small else claim.name
    counts_divergence = any(column.name == "diverged" for column in claim.columns)
    command = f"clep reproduce {claim.given}{' --small' if small else ''} {shlex.join(_told(changes))}".strip()
    uri, experiment_id = tracking.open_store(base.tracking)
    ledger = Ledger(uri, experiment_id, with_diverged=counts_divergence, any_code=base.tracking.reuse == "any_code")
    planned = len(jobs)
    if stored and not (jobs := [job for job in jobs if ledger.result(job) is not None]):
        raise ConfigError(f"--stored: `{tracking.shown(uri)}` has no result of this claim yet; leave it out to run it")
    with tracking.Run(
        uri,
        experiment_id,
        tracking.run_name(base.tracking, run_names.of_claim(name)),
        tags=tracking.provenance() | {"claim": name} | tracking.own_tags(base.tracking),
        params=parent.shared_params(jobs) | {"command": command},
        description=base.tracking.note,
    ) as record:
        try:
            results = run_missing(
                class_incremental.run,
                jobs,
                ledger,
                workers=base.workers,
                parent_run_id=record.run_id,
                tags={"claim": name},
            )
        except Interrupted as stop:
            stop.add_note(command)
            if stop.results:
                seconds = {"total": time.perf_counter() - started}
                stop.so_far = Comparison(record.run_id, uri, stop.results, classes, seconds)
            raise
        by_cell: dict[str, list[Result]] = {}
        for job, result in zip(jobs, results, strict=True):
            by_cell.setdefault(job.cell, []).append(result)
        rows = claims.rows_of(claim, by_cell)
        measured = f"Measured with `{command}`; code: {'; '.join(ledger.code(jobs))}. {ledger.taken_over(jobs)}".strip()
        if len(jobs) < planned:
            measured += f" {len(jobs)} of {planned} runs have been made so far."
        markdown = claims.as_markdown(claim, rows, measured)
        with temporary.folder() as folder:
            figures = Path(output) if figure else folder
            files, drawn = claims.write_files(claim, name, rows, markdown, Path(output), figures)
            picture = parent.overview(drawn, folder)
            link = parent.view(record, jobs, results, ledger)
            text = parent.with_links(markdown, results, record.run_id, experiment_id, link=link, picture=picture)
            page.attach(record, filter(None, [*files, *drawn, picture]), tracking.described(base.tracking, text))
        failed = [result for result in results if result.failed and not (counts_divergence and result.diverged)]
        record.failure = parent.failure(failed)
    return Table(
        rows=[claims.as_json(row, claim.columns) for row in rows],
        markdown=markdown,
        files=[*files, *(drawn if figure else [])],
        tracking_uri=uri,
        parent_run_id=record.run_id,
        failed=bool(failed),
    )


def _told(changes: Sequence[str]) -> list[str]:
    """The changes that matter to readers of the table: all except those about the machine."""
    return [change for change in changes if not change.startswith(("data.", "tracking.", "workers="))]
