"""Run independent jobs in separate processes: isolated, interruptible, and unharmed if another one crashes."""

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TextIO

from clep import interrupts
from clep.errors import WARNINGS, ConfigError, InputWarning, SettlingWarning, is_for_its_authors

PRELOAD = ("clep.pipelines.class_incremental", "clep.strategies.sleep_replay", "clep.comparison.warm")
"""What takes long to import, for workers that train."""

_GRACE_SECONDS = 4.0  # for all workers to close their MLflow runs after an interrupt
_LOOK_SECONDS = 1.0  # how long an interrupt whose exception was lost can stay unnoticed
_ORPHAN_SECONDS = 1.5  # for a worker without a parent to begin its way out, before it is ended where it is
_OF_ONE_RUN = re.compile(r"[0-9a-f]{32}|experience-\d+")  # in the name of a file
_CLOSING_SECONDS = 10.0  # for the way out itself
_UNGUARDED = 78  # exit code of a worker that would start the work again; EX_CONFIG of sysexits.h
_TOLD_ELSEWHERE = InputWarning, SettlingWarning
"""Each run's metrics tell, and the parent has looked at the data; warnings from many runs would be a jumble."""

_imported: tuple[int | None, list[str]] = None, []
"""Of the process that workers come from: its id, and the modules that it imports."""
_has_served = False  # whether it has forked one, and so has imported all


@dataclass(frozen=True)
class Message:
    """A message from a job.

    Attributes:
        job: index of the job.
        kind: `progress` (its own reports), `done` (its return value), `error` (an exception, as text), `died`, or
            `again` (its process died, and it is started once more).
        value: its content; of a death the exit code, or a text.
    """

    job: int
    kind: str
    value: Any


class Jobs(Protocol):
    """What runs jobs: `run_jobs`, or another engine; see `clep.on_ray.engine`."""

    def __call__(
        self, function: Callable[..., Any], jobs: Sequence[Any], *, preload: Sequence[str]
    ) -> Generator[Message, None, None]:
        """Run `function(job, report)` for every job, and yield their messages."""
        ...


class Said:
    """The warnings that jobs have given: each is given once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def give(self, text: str, category: type[Warning]) -> None:
        """Give a warning of a worker, unless another one has given it, of another run or experience."""
        if (known := _OF_ONE_RUN.sub("", text)) not in self._known:
            self._known.add(known)
            warnings.warn(text, category, stacklevel=3)


def run_jobs(
    function: Callable[[Any, Callable[[Any], None]], Any], jobs: Sequence[Any], *, workers: int, preload: Sequence[str]
) -> Generator[Message, None, None]:
    """Run `function(job, report)` for every job, at most `workers` at a time, each in a new process.

    If the platform allows, the processes are forked from a server that has imported `preload`, and that stays for
    further jobs. So a job starts in milliseconds in a clean process, and computes the same alone or among others. On
    Ctrl-C, running jobs get the same interrupt and time to finish their records; then `KeyboardInterrupt` is raised. A
    warning of clep that several jobs give is given once, here.

    Without workers the jobs run in this process, one after another; the reports of a job come when it has ended.

    Args:
        function: importable by name; `report(value)` sends a `progress` message.
        jobs: picklable arguments.
        workers: number of processes at a time; 0 for none but this one.
        preload: modules that take long to import.

    Yields:
        Messages in the order of arrival; every job ends with `done`, `error` or `died`.

    Raises:
        ConfigError: if workers, which import the script that runs, start its work again.
    """
    if not jobs:  # a server would still be importing when this process ends, and takes its temporary folder along
        return
    if workers == 0:
        yield from _run_here(function, jobs)
        return
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        yield from _run_elsewhere(function, jobs, workers, preload, running)
    except BaseException:
        _stop([process for _, process in running.values()])
        end_server()
        raise


def _run_elsewhere(
    function: Callable[..., Any],
    jobs: Sequence[Any],
    workers: int,
    preload: Sequence[str],
    running: dict[Connection, tuple[int, Any]],
) -> Iterator[Message]:
    """Run the jobs in processes; those that run at present are in `running`."""
    context: Any = multiprocessing.get_context(_method())  # the type shared by all contexts lacks `Process`
    _begin_server(preload)
    waiting, said = list(enumerate(jobs))[::-1], Said()
    while waiting or running:
        while waiting and len(running) < workers:
            index, job = waiting.pop()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(function, job, sender), name=f"clep job {index}")
            _start(process, [other for _, other in running.values()])
            sender.close()
            running[receiver] = (index, process)
        interrupts.check()
        ready: list[Any] = wait(list(running), _LOOK_SECONDS)  # connections; the type of `wait` does not know them
        for connection in ready:
            index, process = running[connection]
            try:
                kind, value = connection.recv()
            except (EOFError, OSError):  # it may have died in the middle of a message
                process.join()
                kind, value = "died", process.exitcode
                if value == _UNGUARDED:
                    raise ConfigError(
                        "workers: each worker process imports the script that runs, and came to this call again; "
                        'put what the script does under `if __name__ == "__main__":`, or set workers=0'
                    ) from None
            if kind == "warning":
                said.give(*value)
                continue
            yield Message(index, kind, value)
            if kind != "progress":
                process.join()
                del running[connection]


@contextmanager
def importing(preload: Sequence[str]) -> Iterator[None]:
    """Let the process that workers come from import what it needs while this one does, on another core.

    If no job has been run when the block ends, that process ends too: it may still be importing.

    Args:
        preload: modules that take long to import.
    """
    _begin_server(preload)
    try:
        yield
    finally:
        if not _has_served:
            end_server()


def _method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _begin_server(preload: Sequence[str]) -> None:
    """Have a process that workers come from and that has imported `preload`, or is about to, if the platform has any.

    One that runs may have been started for other work, and every worker would then import the rest anew. It is
    replaced, unless processes that came from it still run: without it, nobody would know how they end.
    """
    global _imported
    if _method() != "forkserver":
        return
    server: Any = multiprocessing.forkserver._forkserver  # nothing public tells of it
    running, (known, modules) = server._forkserver_pid, _imported
    suits = running == known and set(preload) <= set(modules)
    ours = multiprocessing.context.ForkServerProcess
    if running is not None and not suits and not any(isinstance(p, ours) for p in multiprocessing.active_children()):
        end_server()
    wanted = [*dict.fromkeys([*modules, *preload])]
    multiprocessing.set_forkserver_preload(wanted)
    with _signals_blocked(), _safe_path():
        multiprocessing.resource_tracker.ensure_running()  # which lets some through again once it has started
    with _signals_blocked(), _safe_path():
        multiprocessing.forkserver.ensure_running()
    if server._forkserver_pid != running:
        _imported = server._forkserver_pid, wanted


def _start(process: Any, others: Sequence[Any]) -> None:
    """Start a process, and leave nothing behind if that is interrupted.

    The server forks it once all is imported, which takes long the first time. Meanwhile nobody knows the process yet.

    Args:
        process: to be started.
        others: those that run; without the server, nobody would know of them any more.
    """

    global _has_served

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)  # they are for the thread that waits
        process.start()

    with ThreadPoolExecutor(1) as thread:
        begun = thread.submit(begin)
        try:
            while not begun.done():
                wait_for([begun], _LOOK_SECONDS)
                interrupts.check()
            begun.result()
            _has_served = True
        except BaseException:
            _stop(others)
            end_server()
            if begun.exception() is None:  # otherwise the server has not come to it
                _stop([process])
            raise


def end_server() -> None:
    """End the process that workers come from, if there is one.

    It may still be importing, and would write to folders that are gone.
    """
    global _has_served
    _has_served = False
    server: Any = multiprocessing.forkserver._forkserver  # nothing public tells of it
    if (pid := server._forkserver_pid) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        server._stop()


def _run_here(function: Callable[..., Any], jobs: Sequence[Any]) -> Iterator[Message]:
    """Run the jobs in this process."""
    for index, job in enumerate(jobs):
        reports: list[Any] = []
        interrupts.check()
        try:
            with warnings.catch_warnings():
                for kind in _TOLD_ELSEWHERE:
                    warnings.simplefilter("ignore", kind)
                end = Message(index, "done", function(job, reports.append))
        except Exception as error:
            end = Message(index, "error", f"{type(error).__name__}: {error}")
        yield from (Message(index, "progress", report) for report in reports)
        interrupts.check()
        yield end


def refuse_unguarded() -> None:
    """End a worker process that is only importing the script it comes from, and so would do its work once more."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        os._exit(_UNGUARDED)


def work(function: Callable[..., Any], job: Any, sender: Any) -> None:
    """Body of a worker process.

    Args:
        function: `function(job, report)`.
        job: its argument.
        sender: takes `(kind, value)` by `send`, which raises OSError where nobody listens any more.
    """
    os.environ["CLEP_PROGRESS"] = "0"
    sys.stdout = sys.stderr
    for kind in _TOLD_ELSEWHERE:
        warnings.simplefilter("ignore", kind)
    _send_warnings(sender)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches a worker from the terminal and from its parent; the second does not cut the clean-up short.
    with interrupts.listening(to_the_end=True):
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.SIGNALS)  # see `_signals_blocked`
            try:
                message = ("done", function(job, lambda report: _tell(sender, report)))
                interrupts.check()
            except Exception as error:
                interrupts.check()  # a library may have made this of it
                message = ("error", f"{type(error).__name__}: {error}")
            with interrupts.held(), suppress(OSError):  # nobody waits for it any more
                sender.send(message)
        except KeyboardInterrupt:
            os._exit(interrupts.exit_code())


def _send_warnings(sender: Any) -> None:
    """From now on, give clep's own warnings to the parent: workers of many cells say the same."""
    shown = warnings.showwarning

    def send(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, WARNINGS) and threading.current_thread() is threading.main_thread():
            with suppress(OSError):
                sender.send(("warning", (str(message), category)))
        elif not is_for_its_authors(category, filename):
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = send


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Ctrl-C and the like wait meanwhile, and for ever in the processes started now, which end with this one.

    Workers get them once they listen. Otherwise one sent to all processes would print a traceback, or end the server
    that has to say how its workers ended.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.SIGNALS)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Python processes that start meanwhile take no module of the working directory for one of the library."""
    given = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if given is not None:
            os.environ["PYTHONSAFEPATH"] = given


def _tell(sender: Any, report: Any) -> None:
    """Send a report; without anybody to send it to, the work is interrupted."""
    try:
        sender.send(("progress", report))
    except OSError:
        os.kill(os.getpid(), signal.SIGTERM)


def _end_with_parent() -> None:
    """Interrupt this worker when the process that started it is gone: nobody waits for its result."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_SECONDS)
    if interrupts.closing():
        time.sleep(_CLOSING_SECONDS)
    os._exit(128 + signal.SIGTERM)  # the next command finds its run, and says so


def _stop(processes: Sequence[Any]) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
    deadline = time.monotonic() + _GRACE_SECONDS
    with interrupts.held():
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
