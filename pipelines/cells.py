"""Run many configurations, each in a worker process and an MLflow run of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clep.pipelines import class_incremental

from clep import progress, tracking
from clep.config import Config
from clep.results import Result
from clep.workers import Message, run_jobs

_PRELOAD = ["clep.pipelines.class_incremental", "mlflow", "matplotlib.figure", "clep.strategies.sleep_replay"]


def run_cells(
    jobs: Sequence[Config],
    *,
    workers: int,
    uri: str,
    parent_run_id: str,
    experiences: int,
    tags: Sequence[Mapping[str, str]] = (),
) -> Iterator[tuple[int, Result]]:
    """Run every job, `workers` at a time, and yield its index and result as it ends.

    A job that fails does not stop the others: its result has a status and an error.

    Args:
        jobs: configurations.
        workers: processes at a time.
        uri: the MLflow store, prepared.
        parent_run_id: the run that all of them belong to.
        experiences: per job, for the progress bar.
        tags: further tags of each job's run; empty for none.
    """
    run_ids: dict[int, str] = {}
    tags = tags or [{}] * len(jobs)
    arguments = [(job, parent_run_id, dict(extra)) for job, extra in zip(jobs, tags, strict=True)]
    messages = run_jobs(_run_cell, arguments, workers=workers, preload=_PRELOAD)
    ended = 0
    with progress.bar(total=len(jobs) * experiences, desc="starting", unit="exp") as bar:
        try:
            for message in messages:
                if message.kind == "progress":
                    run_ids.update({message.job: message.value["run_id"]} if "run_id" in message.value else {})
                    bar.update("experience" in message.value)
                else:
                    ended += 1
                    yield message.job, _outcome(message, jobs[message.job], uri, run_ids.get(message.job))
                bar.set_description(f"{ended}/{len(jobs)} runs")
        finally:
            messages.close()


def _run_cell(job: tuple[Config, str, dict[str, str]], tell: Callable[[Any], None]) -> Result:
    config, parent_run_id, tags = job
    return class_incremental.run(config, parent_run_id=parent_run_id, tags=tags, on_progress=tell)


def _outcome(message: Message, config: Config, uri: str, run_id: str | None) -> Result:
    if message.kind == "done":
        return message.value
    error = message.value
    if message.kind == "died":
        error = f"the worker process ended with exit code {message.value} (out of memory, or killed)"
        if run_id is not None:
            tracking.end(uri, run_id, "FAILED", error)
    return Result.of(config, uri, run_id, "FAILED", error=error)
