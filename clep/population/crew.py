"""Jobs that take turns in one thread, and the updates of their networks, computed together.

Each job runs in a coroutine (a greenlet) of its own, as if it were alone. Where it needs updates of its weights, it
waits until every other job waits too; then one computation serves all. Jobs whose batches, strategies, sleep and
records differ need not know of each other.
"""

import contextvars
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import greenlet  # type: ignore[import-untyped]
import torch

from clep import clock, interrupts
from clep.population.asking import Seat
from clep.population.draws import GlobalDraws
from clep.population.updates import Updates

Job = Callable[["Seat"], Any]
"""Work of one member; it gets its seat."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        value: what it returned.
        error: what it raised, or None.
    """

    value: Any = None
    error: BaseException | None = None


def run_together(jobs: Sequence[Job], threads: int) -> list[Outcome]:
    """Run jobs in turns, on so many threads of torch.

    Args:
        jobs: each gets a seat.
        threads: of all: each job that sets its own would put back what it found.

    Raises:
        KeyboardInterrupt: on Ctrl-C.

    Example:
        >>> [outcome.value for outcome in run_together([lambda seat: 1, lambda seat: 2], threads=1)]
        [1, 2]
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return Crew(jobs, [Seat() for _ in jobs]).run()
    finally:
        torch.set_num_threads(before)


class Crew:
    """Runs jobs in turns.

    Args:
        jobs: each gets its seat.
        seats: one for each job.

    Example:
        >>> from clep.population.asking import Seat
        >>> [outcome.value for outcome in Crew([lambda seat: 1, lambda seat: 2], [Seat(), Seat()]).run()]
        [1, 2]
    """

    def __init__(self, jobs: Sequence[Job], seats: Sequence[Seat]) -> None:
        self._jobs, self._seats = jobs, seats
        self._greenlets = [greenlet.greenlet(lambda i=i: self._outcome(i)) for i in range(len(jobs))]
        for member, seat in zip(self._greenlets, seats, strict=True):
            member.gr_context = contextvars.copy_context()
            member.gr_context.run(clock.use, seat.clock)
        self._waiting: dict[int, Any] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._updates = Updates(self._waiting, seats, self._turn)

    def run(self) -> list[Outcome]:
        """Run all jobs to their ends; the error of one ends that one only.

        Raises:
            KeyboardInterrupt: if a job is interrupted; the others are then interrupted too.
        """
        outside = GlobalDraws()
        outside.keep()
        try:
            for i in range(len(self._jobs)):
                self._turn(i)
            while self._waiting:
                self._update()
        except KeyboardInterrupt:
            self._updates.stop()
            self._interrupt()
            raise
        finally:
            outside.restore()
        return [self._outcomes[i] for i in range(len(self._jobs))]

    def _outcome(self, index: int) -> Outcome:
        try:
            return Outcome(self._jobs[index](self._seats[index]))
        except Exception as error:
            return Outcome(error=error)

    def _turn(self, index: int, answer: Any = None) -> None:
        """Let a member go on until it waits again, or has ended."""
        member, seat = self._greenlets[index], self._seats[index]
        self._waiting.pop(index, None)
        with clock.running(seat.clock):
            if seat.draws is not None:
                seat.draws.restore()
            try:
                if isinstance(answer, BaseException):
                    asked = member.throw(answer)
                else:
                    asked = member.switch() if answer is None else member.switch(answer)
            finally:
                if seat.draws is not None and not member.dead:
                    seat.draws.keep()
        if member.dead:
            self._outcomes[index] = asked
        else:
            self._waiting[index] = asked

    def _interrupt(self) -> None:
        """Let every member close its records."""
        for index, member in enumerate(self._greenlets):
            while member and not member.dead:
                try:
                    self._turn(index, KeyboardInterrupt())
                except KeyboardInterrupt:
                    break

    def _update(self) -> None:
        """Compute what all members wait for."""
        interrupts.check()
        kinds: dict[Hashable, list[int]] = defaultdict(list)
        for index, asked in self._waiting.items():
            kinds[asked.kind].append(index)
        for members in kinds.values():
            self._updates.together(members)
