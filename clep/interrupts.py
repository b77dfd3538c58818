"""Ctrl-C, `kill`, a closed terminal and a scheduler's notice: a flag beside the exception.

Python drops an exception that is raised in a weakref callback or in `__del__`, and libraries turn it into others. So
the signal is noted as well, and whoever works for long looks at the flag: at every batch, and when a run is closed.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
QUEUE_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: what a scheduler is asked to start again
_AGAIN_SECONDS = 1.0  # a signal this long after the last one is raised again, unless the run is being closed

_noted: int | None = None
_raised = 0.0
_held = 0
_patient = 0
_asked = False
_closing = False
_ends = False
_leave: Callable[[], None] | None = None


@contextmanager
def listening(*, to_the_end: bool = False) -> Iterator[None]:
    """Note these signals and raise `KeyboardInterrupt`, once; further ones do not cut the closing of a run short.

    Args:
        to_the_end: whether only the end of the process follows. Ctrl-C and `kill` may cut that short, in silence;
            the other signals are too late.
    """
    global _noted, _raised, _held, _closing, _asked, _ends
    previous = {}
    for number in SIGNALS:
        with suppress(ValueError):  # not in the main thread: then there is nothing to listen to
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN or number == signal.SIGINT:
                previous[number] = handler  # `nohup` asks for SIGHUP to be ignored
                signal.signal(number, _note)
    _noted, _raised, _held, _closing, _asked, _ends = None, 0.0, 0, False, False, to_the_end
    unraisable, sys.unraisablehook = sys.unraisablehook, _quiet(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        for number, handler in previous.items():
            last = signal.SIG_DFL if number in (signal.SIGINT, signal.SIGTERM) else signal.SIG_IGN
            signal.signal(number, last if to_the_end else handler)
        _noted, _asked, _ends = None, False, False


def _quiet(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Without the traceback of an interrupt that Python drops: it is noted."""

    def print_others(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    return print_others


def pending() -> int | None:
    """The first signal that was noted; None if there was none."""
    return _noted


def check() -> None:
    """Raise `KeyboardInterrupt` if a signal was noted, whatever became of the exception.

    Example:
        >>> check()
    """
    if _noted is not None and not _held:
        raise KeyboardInterrupt


@contextmanager
def patient() -> Iterator[None]:
    """Only note a scheduler's notice (SIGUSR1) meanwhile: the work calls `leave_if_asked` where it can go on later."""
    global _patient
    _patient += 1
    try:
        yield
    finally:
        _patient -= 1


def asked() -> bool:
    """Whether a scheduler asks to stop soon."""
    return _asked


def leave_if_asked() -> None:
    """Raise `KeyboardInterrupt` if a scheduler asks to stop soon: from here, the work can go on later.

    Example:
        >>> leave_if_asked()
    """
    global _noted
    if _asked:
        _noted = signal.SIGUSR1
        raise KeyboardInterrupt


@contextmanager
def leaving_at_once(leave: Callable[[], None]) -> Iterator[None]:
    """Call `leave` at a signal meanwhile, if only the end of the process follows: an exception would be too much.

    Libraries written in C++ are loaded so: an exception that comes up in the middle is a crash to some.

    Args:
        leave: ends the process; it may ask for `exit_code`.
    """
    global _leave
    _leave = leave
    try:
        yield
    finally:
        _leave = None


@contextmanager
def held() -> Iterator[None]:
    """Only note signals meanwhile: for what must not end half done, such as the status of a run."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1


def close() -> None:
    """If a signal was noted, raise no more: what follows is the way out."""
    global _closing
    _closing = _closing or _noted is not None


def begin() -> None:
    """Work begins, perhaps after other work that is settled: signals are raised, and one that was noted is now.

    Example:
        >>> begin()
    """
    global _closing
    _closing = False
    check()


def settle() -> None:
    """What was asked for is done and stored: signals are only noted from here on, so that its result is printed.

    Example:
        >>> settle()
    """
    global _closing
    _closing = True


def closing() -> bool:
    """Whether the way out has begun."""
    return _closing


def forget() -> None:
    """The signal has been dealt with, as that which ends a server on purpose: it is no interrupt."""
    global _noted, _closing
    _noted, _closing = None, False


def exit_code() -> int:
    """130 after Ctrl-C, 143 after `kill`, 129 after the terminal was closed, as shells have it; 75 after a scheduler's
    notice that time is up: SIGUSR1, or SIGTERM in a job of SLURM."""
    number = signal.SIGINT if _noted is None else signal.Signals(_noted)
    if number.name == "SIGUSR1" or (number == signal.SIGTERM and "SLURM_JOB_ID" in os.environ):
        return QUEUE_AGAIN
    return 128 + number


def _note(number: int, frame: Any) -> None:
    global _noted, _raised, _asked
    if _patient and signal.Signals(number).name == "SIGUSR1" and not _closing:
        _asked = True
        return
    first, now = _noted is None, time.monotonic()
    _noted = number if first else _noted
    if _leave is not None and _ends and not _held:
        _leave()
    if _held or _closing or not (first or now - _raised > _AGAIN_SECONDS):
        return
    _raised = now
    raise KeyboardInterrupt
