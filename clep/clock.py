"""The time of a piece of work: that of the machine or, among others in one thread, its own share of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar


class Clock:
    """The time that a member of a crew has used."""

    def __init__(self) -> None:
        self.used = 0.0
        self._since: float | None = None

    def now(self) -> float:
        """Seconds that it has used so far."""
        return self.used + (0.0 if self._since is None else time.perf_counter() - self._since)


_own: ContextVar[Clock | None] = ContextVar("clock", default=None)


def now() -> float:
    """Seconds since some moment; differences of these are times of the present piece of work.

    Example:
        >>> before = now()
        >>> now() >= before
        True
    """
    own = _own.get()
    return time.perf_counter() if own is None else own.now()


def use(clock: Clock) -> None:
    """Measure what runs in this context by a clock of its own.

    Args:
        clock: the clock.
    """
    _own.set(clock)


@contextmanager
def running(clock: Clock) -> Iterator[None]:
    """Its own work is done meanwhile.

    Args:
        clock: of whose work it is.
    """
    began = clock._since = time.perf_counter()
    try:
        yield
    finally:
        clock.used, clock._since = clock.used + time.perf_counter() - began, None


@contextmanager
def shared(clocks: Sequence[Clock]) -> Iterator[None]:
    """Work of all is done meanwhile, an equal share for each.

    Args:
        clocks: of whose work it is.
    """
    began = time.perf_counter()
    try:
        yield
    finally:
        each = (time.perf_counter() - began) / len(clocks)
        for clock in clocks:
            clock.used += each
