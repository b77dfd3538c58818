"""Run the cells of a claim over its seeds, each as a run in MLflow, and write a table; it goes on where it stopped.

Nothing that was published is lost for want of a store: see `clep.claims.carrying`.
"""

import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clep.pipelines import class_incremental

from clep import claims, run_names, temporary, tracking
from clep.claims import Claim, Table
from clep.columns import TOLD, Run, check_needs
from clep.comparison import Interrupted, Ledger, check, page, parent, plan, run_missing
from clep.comparison.stored import spoken_code
from clep.config import compose
from clep.errors import ConfigError, StaleWarning
from clep.results import Comparison


def run(
    claim: Claim,
    changes: Sequence[str] = (),
    *,
    small: bool = False,
    output: str | Path = "docs/results",
    figure: bool = False,
    stored: bool = False,
    missing: bool = False,
) -> Table:
    """Run what the store lacks, then write `<claim>.md` and `<claim>.csv` into `output`.

    `clep.comparison.Ledger` says what counts as done. In a claim with the column `diverged`, a run whose training
    diverged is also done, not a failure. A run of the table that is in `output` already counts, if it is of the same
    settings, where the store has none: with `stored` and `missing` from the start, otherwise in place of a run that
    failed.

    Args:
        claim: what to run.
        changes: more `key=value` changes for every cell, e.g. `data.root=...` or `workers=4`.
        small: use the claim's changes for a quick look and two seeds; the table is then called `<claim>_small`.
        output: folder of the tables; created if missing.
        figure: write the figures there too; the run in MLflow has them in any case.
        stored: run nothing, and write the table of what the store and the table before hold.
        missing: run only what neither the store nor the table before holds.

    Raises:
        ConfigError, DataError: for anything wrong with a cell or with the table before, before anything is trained.
        KeyboardInterrupt: on Ctrl-C; finished runs are kept and found again, and the table is as it was. A note of it
            is the command that goes on, and its `so_far` what had finished, if anything had.
    """
    if stored and missing:
        raise ConfigError("--missing: `--stored` runs nothing; leave out one of the two")
    pipeline, shared = claim.base(small=small)
    base = compose(pipeline, [*shared, *changes])
    cells = list(claim.composed(changes, small=small))
    for _, config in cells:
        check_needs(claim.columns, config)
    jobs = plan(cells, claim.seeds[:2] if small else claim.seeds)
    name = f"{claim.name}_small" if small else claim.name
    published = claims.read_published(Path(output) / f"{name}.csv", claim.columns)
    classes, started = check(jobs), time.perf_counter()

    counts_divergence = any(column.name == "diverged" for column in claim.columns)
    command = f"clep reproduce {claim.given}{' --small' if small else ''} {shlex.join(_told(changes))}".strip()
    goes_on = f"{command} --missing --output {shlex.quote(str(output))}" if missing else command
    uri, experiment_id = tracking.open_store(base.tracking)
    ledger = Ledger(uri, experiment_id, with_diverged=counts_divergence, any_code=base.tracking.reuse == "any_code")
    carried = published.carried(jobs)
    held = {job.place for job in jobs if ledger.holds(job)}
    if stored and not (held or carried):
        text = f"neither `{tracking.shown(uri)}` nor `{published.path}` has a result of this claim"
        raise ConfigError(f"--stored: {text}; leave it out to run it")
    left_out = {job.place for job in jobs} if stored else carried if missing else {}
    planned = [job for job in jobs if job.place in held or job.place not in left_out]
    for text in published.left(jobs, {*held, *carried} if stored or missing else {job.place for job in jobs}):
        warnings.warn(text, StaleWarning, stacklevel=2)
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
                planned,
                ledger,
                workers=base.workers,
                parent_run_id=record.run_id,
                tags={"claim": name},
                section=base.engine,
            )
        except Interrupted as stop:
            stop.add_note(goes_on)
            if stop.results:
                seconds = {"total": time.perf_counter() - started}
                stop.so_far = Comparison(record.run_id, uri, stop.results, classes, seconds)
            raise
        failed = {
            job.place: result
            for job, result in zip(planned, results, strict=True)
            if result.failed and not (counts_divergence and result.diverged)
        }
        made = {
            job.place: result.to_json() | ledger.origin(job)
            for job, result in zip(planned, results, strict=True)
            if job.place not in failed or job.place not in carried
        }
        runs = {job.place: run for job in jobs if (run := made.get(job.place, carried.get(job.place))) is not None}
        if published.lacks and any(TOLD in run for run in runs.values()):
            text = f"{published.path}: there is no column {', '.join(published.lacks)}; what is carried has none"
            warnings.warn(text, StaleWarning, stacklevel=2)
        by_cell: dict[str, list[Run]] = {}
        for (cell, _), run in runs.items():
            by_cell.setdefault(cell, []).append(run)
        rows = claims.rows_of(claim, by_cell)
        measured = " ".join(_measured(command, runs, ledger.taken_over(planned), len(jobs)))
        markdown = claims.as_markdown(claim, rows, measured)
        with temporary.folder() as folder:
            figures = Path(output) if figure else folder
            files, drawn = claims.write_files(claim, name, rows, markdown, Path(output), figures)
            picture = parent.overview(drawn, folder)
            link = parent.view(record, jobs, results, ledger)
            text = parent.with_links(markdown, results, record.run_id, experiment_id, link=link, picture=picture)
            page.attach(record, filter(None, [*files, *drawn, picture]), tracking.described(base.tracking, text))
        record.failure = parent.failure(list(failed.values()))
    return Table(
        rows=[claims.as_json(row, claim.columns) for row in rows],
        markdown=markdown,
        files=[*files, *(drawn if figure else [])],
        tracking_uri=uri,
        parent_run_id=record.run_id,
        failed=bool(failed),
    )


def _measured(command: str, runs: Mapping[tuple[str, int], Run], taken_over: str, planned: int) -> Iterator[str]:
    """How the numbers of a table were obtained, sentence by sentence."""
    code = {spoken_code(code) for run in runs.values() for code in run["code"].split()}
    yield f"Measured with `{command}`; code: {'; '.join(sorted(code))}."
    if taken_over:
        yield taken_over
    if count := sum(TOLD in run for run in runs.values()):
        yield f"{count} of the runs are carried from the table that was here before."
    if len(runs) < planned:
        yield f"{len(runs)} of {planned} runs have been made so far."


def _told(changes: Sequence[str]) -> list[str]:
    """The changes that matter to readers of the table: all except those about the machine."""
    return [change for change in changes if not change.startswith(("data.", "tracking.", "workers=", "engine"))]
