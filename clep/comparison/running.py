"""Run the jobs of a comparison that the store lacks, each in its own process and MLflow run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from clep import run_names, tracking
from clep.comparison.cells import Job, varying
from clep.comparison.ledger import Ledger
from clep.comparison.watching import Watch
from clep.config import Config
from clep.results import Result
from clep.workers import Message, run_jobs

Pipeline = Callable[..., Result]
"""A pipeline such as `class_incremental.run`:
`(config, *, parent_run_id, experiment_id, tags, name, on_progress) -> Result`."""

PRELOAD = ["clep.strategies.sleep_replay", "clep.comparison.warm"]


def run_missing(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    ledger: Ledger,
    *,
    workers: int,
    parent_run_id: str,
    tags: Mapping[str, str] | None = None,
) -> list[Result]:
    """The result of every job: from the ledger, or else from a new run.

    A job that fails does not stop the others; its result says so and gives the error.

    Args:
        pipeline: runs one configuration; importable by its name.
        jobs: the jobs.
        ledger: knows the results that the store has.
        workers: number of runs at a time.
        parent_run_id: the MLflow run that all runs belong to.
        tags: more tags for each job's run.
    """
    results = {index: result for index, job in enumerate(jobs) if (result := ledger.result(job)) is not None}
    missing = [index for index in range(len(jobs)) if index not in results]
    told = varying(jobs)
    names = [run_names.of_job(job.cell, job.config, told) for job in jobs]
    work = partial(pipeline, experiment_id=ledger.experiment_id)
    arguments = [
        (work, jobs[i].config, parent_run_id, {**ledger.tags(jobs[i]), **(tags or {})}, names[i]) for i in missing
    ]
    with Watch([jobs[i] for i in missing]) as watch:
        for position, result in _ended(arguments, workers, ledger.uri, watch):
            results[missing[position]] = result
    # A stored run may have been another cell's, with another label.
    return [replace(results[index], cell=job.cell) for index, job in enumerate(jobs)]


_Arguments = tuple[partial[Result], Config, str, dict[str, str], str]


def _ended(arguments: Sequence[_Arguments], workers: int, uri: str, watch: Watch) -> Iterator[tuple[int, Result]]:
    """Yield the position and the result of each job as it ends."""
    run_ids: dict[int, str] = {}
    configs = [config for _, config, *_ in arguments]
    preload = [*dict.fromkeys(pipeline.func.__module__ for pipeline, *_ in arguments), *PRELOAD]
    messages = run_jobs(_run, arguments, workers=workers, preload=preload)
    with closing(messages):
        for message in messages:
            if message.kind == "progress":
                if "run_id" in message.value:
                    run_ids[message.job] = message.value["run_id"]
                    watch.started(message.job)
                watch.reported(message.value)
            else:
                result = _outcome(message, configs[message.job], uri, run_ids.get(message.job))
                watch.ended(message.job, result)
                yield message.job, result


def _run(arguments: _Arguments, tell: Callable[[Any], None]) -> Result:
    """The work of one worker process."""
    pipeline, config, parent_run_id, tags, name = arguments
    return pipeline(config, parent_run_id=parent_run_id, tags=tags, name=name, on_progress=tell)


def _outcome(message: Message, config: Config, uri: str, run_id: str | None) -> Result:
    """The result of a job that returned, raised an error or lost its process."""
    if message.kind == "done":
        return message.value
    error = message.value
    if message.kind == "died":
        error = f"the worker process ended with exit code {message.value} (out of memory, or killed)"
        if run_id is not None:
            tracking.end(uri, run_id, "FAILED", error)
    return Result.of(config, uri, run_id, "FAILED", error=error)
