"""Run the cells of a claim over its seeds, each as a run in MLflow, and write one table; resumes where it stopped."""

import csv
import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clep.pipelines.cells import run_cells

from clep import recording, report, tracking
from clep.build import build_stream, build_training, fingerprint, resolved
from clep.claims import Claim, summarise
from clep.claims.stability import check_epochs
from clep.config import Config, compose, replace
from clep.errors import ConfigError
from clep.results import Result
from clep.streams import Stream

_TAG = "claim_job"
_OF_RUN = ("seed", "accuracy")
_FIXED = ("seed", "seeds", "cells", "strategies", "tune")


@dataclass(frozen=True)
class Table:
    """Result of the pipeline.

    Attributes:
        rows: one per cell; see `clep.claims.summarise`.
        markdown: the table and the verdicts.
        files: where they were written.
        tracking_uri: where MLflow has the runs.
        failed: whether any run failed.
    """

    rows: list[dict[str, Any]]
    markdown: str
    files: list[Path]
    tracking_uri: str
    failed: bool


def run(
    claim: Claim,
    changes: Sequence[str] = (),
    *,
    small: bool = False,
    output: str | Path = "docs/results",
    figure: bool = False,
) -> Table:
    """Run what has not been run, then write `<claim>.md` and `<claim>.csv` into `output`.

    A run counts as done if the store has a finished one of the same resolved configuration and version; what is done
    elsewhere than in the configuration (a changed method) needs a new store. In a claim with the column `diverged`, a
    run whose training diverged is done as well, and no failure.

    Args:
        claim: what to run.
        changes: further `key=value` changes for every cell, e.g. `data.root=...` or `workers=4`.
        small: with the claim's changes for a quick look; the table is then called `<claim>_small`.
        output: folder of the tables; created if it is not there.
        figure: write the figure of a grid there too; the run in MLflow has it anyway.

    Raises:
        ConfigError, DataError: for anything wrong with a cell, before the first is trained.
        KeyboardInterrupt: on Ctrl-C; what has finished is kept and found again.
    """
    _refuse(changes)
    shared = [*claim.set, *(claim.small if small else ())]
    pipeline = claim.small_config if small and claim.small_config else claim.config
    base = compose(pipeline, [*shared, *changes])
    seeds = [seed for seed in claim.seeds if not small or seed in claim.seeds[:2]]
    chosen = [cell for cell in claim.cells if not cell.note]
    cells = [(cell, compose(cell.config or pipeline, [*shared, *cell.set, *changes])) for cell in chosen]
    _check([config for _, config in cells], claim.columns)
    jobs = [
        (cell.label, resolved(replace(config, seed=seed)))
        for seed in seeds
        for cell, config in cells
        if seed in (cell.seeds or seeds)
    ]
    counts_divergence = "diverged" in claim.columns
    keys = [fingerprint(config) for _, config in jobs]

    name = f"{claim.name}_small" if small else claim.name
    uri = tracking.tracking_uri(base.tracking.uri)
    experiment_id = tracking.prepare(uri, base.tracking.experiment)
    command = f"clep reproduce {claim.given}{' --small' if small else ''} {shlex.join(_told(changes))}".strip()
    provenance = tracking.provenance()
    with tracking.Run(
        uri, experiment_id, f"reproduce {name}", tags=provenance | {"claim": name}, params={"command": command}
    ) as parent:
        done = tracking.finished(uri, experiment_id, _TAG)
        results = {i: _stored(uri, done[key].run_id) for i, key in enumerate(keys) if key in done}
        if counts_divergence:
            gone = {key: run for key, run in tracking.diverged(uri, experiment_id, _TAG).items() if key not in done}
            results |= {i: _diverged(jobs[i][1], uri, gone[key]) for i, key in enumerate(keys) if key in gone}
            done |= gone
        todo = [i for i in range(len(jobs)) if i not in results]
        for position, result in run_cells(
            [jobs[i][1] for i in todo],
            workers=base.workers,
            uri=uri,
            parent_run_id=parent.run_id,
            experiences=base.stream.experiences,
            tags=[{_TAG: keys[i], "cell": jobs[i][0], "claim": name} for i in todo],
        ):
            results[todo[position]] = result.to_json()
        by_cell = {
            cell.label: [results[i] for i, (label, _) in enumerate(jobs) if label == cell.label] for cell, _ in cells
        }
        codes = {_code(done[keys[i]].tags) for i in results if keys[i] in done} | (
            {_code(provenance)} if todo else set()
        )
        measured = f"Measured with `{command}`; code: {'; '.join(sorted(codes))}."
        rows, markdown = summarise(claim, by_cell, measured)
        files = list(_write(Path(output), name, rows, markdown))
        with tempfile.TemporaryDirectory() as folder:
            drawn = list(_draw(Path(output if figure else folder), claim, name, rows))
            for file in [*files, *drawn]:
                parent.artifact(file)
        files += drawn if figure else []
        parent.describe(markdown[: tracking.DESCRIPTION_LENGTH])
    failed = any(r["status"] != "FINISHED" and not (counts_divergence and r["diverged"]) for r in results.values())
    return Table(rows, markdown, files, uri, failed)


def _refuse(changes: Sequence[str]) -> None:
    """Refuse changes of what a claim fixes."""
    for change in changes:
        key = change.partition("=")[0].partition(".")[0]
        if key in _FIXED:
            raise ConfigError(
                f"{key}: the claim's file says which cells and seeds are run; change a copy of it, and give its path."
            )


def _check(configs: Sequence[Config], columns: Sequence[str]) -> None:
    """Refuse what cannot be loaded, trained or measured; the data do not outlive this."""
    streams: dict[str, Stream] = {}
    for config in configs:
        check_epochs(columns, config)
        source = str(config.stream)
        streams[source] = streams.get(source) or build_stream(config)
        build_training(config, streams[source])


def _code(tags: Mapping[str, str]) -> str:
    """Version and commit of clep, from the tags of a run."""
    return f"version {tags['version']}" + (f", commit {tags['git_commit']}" if "git_commit" in tags else "")


def _told(changes: Sequence[str]) -> list[str]:
    """The changes that a reader of the table needs: not those of the machine."""
    return [change for change in changes if not change.startswith(("data.", "tracking.", "workers="))]


def _diverged(config: Config, uri: str, found: tracking.Found) -> dict[str, Any]:
    return Result.of(config, uri, found.run_id, "FAILED", error=found.tags["error"]).to_json()


def _draw(folder: Path, claim: Claim, name: str, rows: Sequence[dict[str, Any]]) -> Iterator[Path]:
    if claim.grid:
        path = folder / f"{name}.png"
        report.plot_grid([row for row in rows if row["at"]], path, over=claim.grid[-1].name)
        yield path


def _stored(uri: str, run_id: str) -> dict[str, Any]:
    return json.loads(tracking.artifacts(uri, run_id, recording.RESULT).read_text(encoding="utf-8"))


def _write(folder: Path, name: str, rows: Sequence[dict[str, Any]], markdown: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(markdown, encoding="utf-8")
    yield path
    path = folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        keys = ["mean", "std", "forgetting", "learned_accuracy", "published", "bytes"]
        further = list(dict.fromkeys(key for row in rows for run in row["runs"] for key in run if key not in _OF_RUN))
        writer.writerow(["cell", *_OF_RUN, *keys, *further])
        for row in rows:
            shared = [row[key] for key in keys]
            for run in row["runs"] or [{}]:
                writer.writerow(
                    [row["label"], *(run.get(key, "") for key in _OF_RUN), *shared, *(run.get(key) for key in further)]
                )
    yield path
