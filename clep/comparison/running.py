"""Run the jobs of a comparison that the store lacks, each in its own process and MLflow run.

Whatever ends a process, the store knows of its job: a run that a killed worker leaves is closed, or made if there was
none yet.
"""

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, NamedTuple

from clep import interrupts, run_names, tracking, unfinished
from clep.comparison.cells import Job, varying
from clep.comparison.crews import TAG, together
from clep.comparison.ledger import Ledger
from clep.comparison.watching import Watch
from clep.config import Config
from clep.errors import ConfigError, StaleWarning
from clep.on_ray import engine
from clep.population.asking import Seat
from clep.population.crew import run_together
from clep.recording import record_failure
from clep.results import Comparison, Result
from clep.schema import EngineSection
from clep.workers import PRELOAD, Jobs, Message

_logger = logging.getLogger(__name__)

Pipeline = Callable[..., Result]
"""A pipeline such as `class_incremental.run`:
`(config, *, parent_run_id, experiment_id, tags, name, on_progress) -> Result`."""


class Interrupted(KeyboardInterrupt):
    """The work was interrupted.

    Attributes:
        results: of the jobs that had ended, in the order of the jobs.
        so_far: these as a comparison; None if there are none.
    """

    def __init__(self, results: list[Result]) -> None:
        super().__init__()
        self.results = results
        self.so_far: Comparison | None = None


class Task(NamedTuple):
    """The work of one worker process.

    Attributes:
        pipeline: runs one configuration.
        config: the configuration.
        parent_run_id: the MLflow run that its run belongs to.
        tags: of its run.
        name: of its run.
        stopped: a run of the same job that was stopped, to go on with; empty for none.
        experiment_id: the MLflow experiment.
    """

    pipeline: Pipeline
    config: Config
    parent_run_id: str
    tags: dict[str, str]
    name: str
    stopped: str
    experiment_id: str


def run_missing(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    ledger: Ledger,
    *,
    workers: int,
    parent_run_id: str,
    section: EngineSection,
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
        section: what runs them.
        tags: more tags for each job's run.

    Raises:
        Interrupted: on Ctrl-C; running runs are then KILLED in MLflow.
    """
    results = {index: result for index, job in enumerate(jobs) if (result := ledger.result(job)) is not None}
    missing = [index for index in range(len(jobs)) if index not in results]
    for text in filter(None, [*ledger.stale([jobs[index] for index in missing]), ledger.taken_over(jobs)]):
        warnings.warn(text, StaleWarning, stacklevel=2)
    told = varying(jobs)
    names = [run_names.of_job(job.cell, job.config, told) for job in jobs]
    stopped = dict(unfinished.by_identity(ledger.uri)) if ledger.resumes else {}
    arguments = [
        Task(
            pipeline,
            jobs[i].config,
            parent_run_id,
            {**ledger.tags(jobs[i]), **(tags or {})},
            names[i],
            stopped.pop(jobs[i].fingerprint, ""),
            ledger.experiment_id,
        )
        for i in missing
    ]
    groups = together([jobs[i] for i in missing], workers)
    for group in groups:
        for position in group if len(group) > 1 else ():  # the run says with how many it is trained in one pass
            task = arguments[position]
            arguments[position] = task._replace(tags={**task.tags, TAG: str(len(group))})
    where = section if arguments else EngineSection()  # no cluster is started for nothing
    try:
        with Watch([jobs[i] for i in missing]) as watch, engine(where, workers) as run:
            for position, result in _ended(arguments, groups, run, ledger.uri, watch):
                results[missing[position]] = result
    except KeyboardInterrupt:
        raise Interrupted(_in_order(jobs, results)) from None
    return _in_order(jobs, results)


def _in_order(jobs: Sequence[Job], results: Mapping[int, Result]) -> list[Result]:
    # A stored run may have been another cell's, with another label.
    return [replace(results[index], cell=job.cell) for index, job in enumerate(jobs) if index in results]


def _ended(
    arguments: Sequence[Task], groups: Sequence[Sequence[int]], run: Jobs, uri: str, watch: Watch
) -> Iterator[tuple[int, Result]]:
    """Yield the position and the result of each job as it ends.

    Args:
        arguments: the work of each job.
        groups: positions of those that one process does.
        run: what runs the groups.
        uri: the store.
        watch: tells what happens.
    """
    run_ids: dict[int, str] = {}
    running = {number: list(group) for number, group in enumerate(groups)}
    preload = list(dict.fromkeys([*(pipeline.__module__ for pipeline, *_ in arguments), *PRELOAD]))
    works = [[arguments[position] for position in group] for group in groups]
    messages = run(_run_group, works, preload=preload)
    try:
        with closing(messages):
            for message in messages:
                group = running[message.job]
                if message.kind == "progress":
                    member, told = message.value
                    position = groups[message.job][member]
                    if not isinstance(told, Message):
                        if "run_id" in told:
                            run_ids[position] = told["run_id"]
                            watch.started(position, told.get("experiences"))
                        watch.reported(told)
                        continue
                    # A group that was started again tells once more of what had ended.
                    ended, message = [position] if position in group else [], told
                elif message.kind == "again":
                    for position in group:
                        _close_lost(message, arguments[position], uri, run_ids.pop(position, None))
                    continue
                else:
                    ended = list(group)
                for position in ended:
                    group.remove(position)
                    result = _outcome(message, arguments[position], uri, run_ids.pop(position, None))
                    watch.ended(position, result)
                    yield position, result
    except KeyboardInterrupt:
        with interrupts.held():
            for run_id in run_ids.values():  # a worker that took too long to close its run itself is dead by now
                with suppress(ConfigError):  # a store in trouble does not know
                    if tracking.run_of(uri, run_id).status == "RUNNING":
                        tracking.end(uri, run_id, "KILLED")
        raise


def _run_group(tasks: Sequence[Task], tell: Callable[[Any], None]) -> None:
    """The work of one worker process: a job, or several in one pass. Each tells how it has ended."""

    def job(member: int, task: Task) -> Callable[[Seat], None]:
        def run(seat: Seat) -> None:
            try:
                result = _run(task, lambda told: tell((member, told)), seat if len(tasks) > 1 else None)
                end = Message(member, "done", result)
            except Exception as error:
                interrupts.check()  # a library may have made this of it
                end = Message(member, "error", f"{type(error).__name__}: {error}")
            tell((member, end))

        return run

    jobs = [job(member, task) for member, task in enumerate(tasks)]
    if len(jobs) == 1:
        jobs[0](Seat())
        return
    run_together(jobs, tasks[0].config.threads)


def _run(task: Task, tell: Callable[[Any], None], seat: Seat | None) -> Result:
    """One job."""
    options: dict[str, Any] = {"parent_run_id": task.parent_run_id, "experiment_id": task.experiment_id}
    options |= {"tags": task.tags, "name": task.name}
    if seat is not None:
        options["seat"] = seat
    if task.stopped:
        uri = tracking.tracking_uri(task.config.tracking.uri)
        options["start"] = unfinished.start_of(uri, task.stopped)
    return task.pipeline(task.config, on_progress=tell, **options)


def _outcome(message: Message, task: Task, uri: str, run_id: str | None) -> Result:
    """The result of a job that returned, raised an error or lost its process."""
    if message.kind == "done":
        return message.value
    _, config, parent_run_id, tags, name, _, experiment_id = task
    died = message.kind == "died"
    error = f"the worker process ended with {_fate(message.value)}" if died else message.value
    try:
        if run_id is None and died:
            run_id = _unfinished(uri, parent_run_id, tags)
        if run_id is None:
            run_id = record_failure(config, error, parent_run_id, experiment_id, tags, name)
        elif died:
            tracking.end(uri, run_id, "FAILED", error)
    except Exception as lost:  # the other jobs go on, and the result says what happened to this one
        _logger.warning("The failure of `%s` is not in `%s`: %s", name, tracking.shown(uri), lost)
    return Result.of(config, uri, run_id, "FAILED", error=error)


def _close_lost(message: Message, task: Task, uri: str, run_id: str | None) -> None:
    """Close the run of a process that was lost, before its job begins once more in a run of its own."""
    error = f"the worker process ended with {_fate(message.value)}; its job was started again"
    try:
        run_id = run_id or _unfinished(uri, task.parent_run_id, task.tags)
        if run_id is not None:
            tracking.end(uri, run_id, "FAILED", error)
    except Exception as lost:
        _logger.warning("The failure of `%s` is not in `%s`: %s", task.name, tracking.shown(uri), lost)


def _fate(code: int | str) -> str:
    if isinstance(code, str):
        return code
    if code >= 0:
        return f"exit code {code}"
    return f"signal {-code} ({'killed, perhaps for want of memory' if -code == signal.SIGKILL else 'killed'})"


def _unfinished(uri: str, parent_run_id: str, tags: Mapping[str, str]) -> str | None:
    """The run that a worker had made but not yet told of."""
    runs = tracking.children_of(uri, parent_run_id)
    return next((run.run_id for run in runs if run.status == "RUNNING" and tags.items() <= run.tags.items()), None)
