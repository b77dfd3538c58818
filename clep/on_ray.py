"""Run independent jobs on a Ray cluster: the jobs, messages and results of `clep.workers.run_jobs`, on many machines.

Each job is a task in a process of its own. A task whose process or node is lost is started again, a few times; other
jobs do not notice. Ray is the extra `ray` and is imported only when a cluster is used.
"""

import importlib
import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from clep import distribution, interrupts, temporary
from clep.errors import ConfigError, MissingExtraError
from clep.schema import EngineSection
from clep.workers import Jobs, Message, Said, run_jobs, work

_LOOK_SECONDS = 0.25
_KNOCK_SECONDS = 5.0
_GRACE_SECONDS = 6.0  # for all tasks to close their MLflow runs after an interrupt
_OBJECT_STORE = 80 * 2**20  # bytes; jobs and results are small, and by default Ray takes a third of the memory
_CARRIED = ("CLEP_", "MLFLOW_")  # variables of the command that its tasks need as well


@contextmanager
def engine(section: EngineSection, workers: int) -> Iterator[Jobs]:
    """What runs jobs, as `clep.workers.run_jobs` does: worker processes here, or the tasks of a Ray cluster.

    Args:
        section: which of the two, and what each task gets.
        workers: number of jobs at a time, here or on a Ray cluster that is started for this block.

    Raises:
        ConfigError: if there is no cluster at the address.
        MissingExtraError: if Ray is not installed.

    Example:
        >>> from clep.schema import EngineSection
        >>> def double(job, report):
        ...     return 2 * job
        >>> with engine(EngineSection(), workers=0) as run:
        ...     [message.value for message in run(double, [1, 2], preload=[])]
        [2, 4]
    """
    if section.name == "local":
        yield partial(run_jobs, workers=workers)
        return
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError(
            f"engine: `ray` is not installed; install it with: pip install '{distribution.NAME}[ray]'"
        )
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():  # by the program that calls clep
        yield partial(_run_tasks, ray, section)
        return
    with temporary.folder() as folder:
        own = {} if section.address else {"num_cpus": max(1, workers) * section.cpus, "_temp_dir": str(folder)}
        own |= {} if section.address else {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray would warn of otherwise
        try:
            _knock(section.address or "")
            with nullcontext() if section.address else interrupts.held(), _own_signals():
                ray.init(section.address or "local", log_to_driver=False, logging_level="ERROR", **own)
        except (OSError, ValueError, RuntimeError) as error:
            text = str(error).partition("\n")[0]
            raise ConfigError(
                f"engine.address: no Ray cluster answers at {section.address or 'this machine'} "
                f"({type(error).__name__}: {text}); start one with `ray start --head`, or leave the key null"
            ) from error
        try:
            yield partial(_run_tasks, ray, section)
        finally:
            with interrupts.held():
                ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Signals are handled as before the block: Ray takes `kill` for a crash."""
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    try:
        yield
    finally:
        with suppress(ValueError):  # not in the main thread: then Ray has changed none
            for number, handler in before.items():
                signal.signal(number, handler)


def _knock(address: str) -> None:
    """Look whether somebody listens at host:port; Ray itself would try for minutes.

    Raises:
        OSError: if nobody does.
        ValueError: for a port that is no number.
    """
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), _KNOCK_SECONDS).close()


class _Mailbox:
    """Messages of tasks, in the order of their arrival; an actor beside the command."""

    def __init__(self) -> None:
        self._messages: list[Any] = []

    def put(self, message: Any) -> None:
        self._messages.append(message)

    def take(self) -> list[Any]:
        taken, self._messages = self._messages, []
        return taken


class _Sender:
    """What a task reports to, in place of a pipe.

    Args:
        mailbox: handle of the actor.
        job: index of the job.
        attempt: how often it was started before; what a lost attempt had to say does not count.
    """

    def __init__(self, mailbox: Any, job: int, attempt: int) -> None:
        self._mailbox, self._job, self._attempt = mailbox, job, attempt

    def send(self, message: tuple[str, Any]) -> None:
        """Send `(kind, value)`, and wait until it is there.

        Raises:
            OSError: if nobody takes it any more.
        """
        ray: Any = importlib.import_module("ray")
        try:
            ray.get(self._mailbox.put.remote((self._job, self._attempt, *message)))
        except ray.exceptions.RayError as error:
            raise BrokenPipeError("the command has ended") from error


def _task(function: Callable[..., Any], job: Any, sender: _Sender, place: dict[str, Any]) -> None:
    """Body of a task: as if the process were one of the command's own, as far as the machine has the same files."""
    os.environ.update(place["environment"])
    with suppress(OSError):
        os.chdir(place["directory"])
    sys.path.extend(path for path in place["path"] if path not in sys.path)
    work(function, job, sender)


def _place() -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
    return {"environment": environment, "directory": os.getcwd(), "path": [path for path in sys.path if path]}


def _run_tasks(
    ray: Any,
    section: EngineSection,
    function: Callable[[Any, Callable[[Any], None]], Any],
    jobs: Sequence[Any],
    *,
    preload: Sequence[str] = (),
) -> Generator[Message, None, None]:
    """As `run_jobs`; as many at a time as the cluster has room for. A task imports what it needs itself."""
    if not jobs:
        return
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(_Mailbox).remote()
    # A process for each task (max_calls), so that a job computes the same alone or among others.
    remote = ray.remote(num_cpus=section.cpus, num_gpus=section.gpus, max_calls=1, max_retries=0)(_task)
    attempts, ended, said = [0] * len(jobs), set[int](), Said()
    place = _place()

    def start(index: int) -> Any:
        return remote.remote(function, jobs[index], _Sender(mailbox, index, attempts[index]), place)

    running = {start(index): index for index in range(len(jobs))}
    try:
        while running:
            interrupts.check()
            ready, _ = ray.wait(list(running), num_returns=len(running), timeout=_LOOK_SECONDS)
            for index, attempt, kind, value in ray.get(mailbox.take.remote()):
                if attempt != attempts[index] or index in ended:
                    continue
                if kind == "warning":
                    said.give(*value)
                    continue
                if kind != "progress":
                    ended.add(index)
                yield Message(index, kind, value)
            for task in ready:
                index = running.pop(task)
                if index in ended:
                    continue
                why = _fate(ray, task)
                if attempts[index] < section.retries:
                    attempts[index] += 1
                    yield Message(index, "again", why)
                    running[start(index)] = index
                else:
                    ended.add(index)
                    yield Message(index, "died", why)
    except BaseException:
        with interrupts.held():
            _stop(ray, list(running))
        raise
    finally:
        with interrupts.held(), suppress(ray.exceptions.RayError):
            ray.kill(mailbox)


def _fate(ray: Any, task: Any) -> str:
    """Why a task ended without a message, in one line."""
    try:
        ray.get(task)
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__} of Ray: {' '.join(str(error).split())[:200]}"
    return "no message"


def _stop(ray: Any, tasks: list[Any]) -> None:
    """Interrupt all tasks, and end those that take too long to close their runs."""
    for task in tasks:
        ray.cancel(task)
    deadline = time.monotonic() + _GRACE_SECONDS
    _, left = ray.wait(tasks, num_returns=len(tasks), timeout=max(0.0, deadline - time.monotonic()))
    for task in left:
        ray.cancel(task, force=True)
