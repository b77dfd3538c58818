"""Jobs that take turns in one thread, and the updates of their networks, computed together.

Each job runs in a coroutine (a greenlet) of its own, as if it were alone. Where it needs an update of its weights, it
waits until every other job waits too; then one computation serves all. Jobs whose batches, strategies, sleep and
records differ need not know of each other.
"""

import contextvars
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import greenlet  # type: ignore[import-untyped]
import torch
from torch import Tensor

from clep import clock, interrupts
from clep.equilibrium import Gradient, Network
from clep.equilibrium.costs import Cost
from clep.population.course import Course, Edition
from clep.population.descent import Descent
from clep.population.draws import GlobalDraws
from clep.population.phases import Batches, Losses, Phases
from clep.population.stack import Stack

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


@dataclass
class Request:
    """An update that a member asks for.

    Attributes:
        kind: what requests must have in common to be computed together.
        edition: the network, and what must not have changed in a stack of it.
        network: whose update it is.
        gradient: its estimate.
        criterion: its loss.
        x: inputs, (B, ...), shaped as layer 0.
        y: class indices, (B,); None if the member computes its loss itself, from the states of the free phase.
    """

    kind: Hashable
    edition: Edition
    network: Network
    gradient: Gradient
    criterion: Cost
    x: Tensor
    y: Tensor | None


@dataclass
class Answer:
    """What became of a request.

    Attributes:
        phases: of all networks of its kind.
        index: of this one among them.
        losses: of all, or None if the member computes its own.
        gradients: the estimates, (S, ...) each; None before the nudged phases.
    """

    phases: Phases
    index: int
    losses: Losses | None = None
    gradients: Sequence[Tensor] | None = None


class Seat:
    """The place of a member in its crew.

    Attributes:
        clock: of the member's own work.
        draws: states of the global generators for the member; None if it never draws from them.
    """

    def __init__(self) -> None:
        self.clock = clock.Clock()
        self.draws: GlobalDraws | None = GlobalDraws()

    def ask(self, asked: Any) -> Any:
        """Wait for the others, and return the answer: an `Answer` for a `Request` or for a loss's gradient, the `Course`
        itself for a course that has ended.
        """
        grad = torch.is_grad_enabled()
        answer = greenlet.getcurrent().parent.switch(asked)
        torch.set_grad_enabled(grad)
        return answer


class Crew:
    """Runs jobs in turns.

    Args:
        jobs: each gets its seat.
        seats: one for each job.

    Example:
        >>> from clep.population.crew import Seat
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
        self._stacks: dict[tuple[int, ...], tuple[list[Edition], Stack, Descent]] = {}
        self._homes: dict[int, _Home] = {}

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
            for index in list(self._homes):
                self._leave(index)
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
            self._update_together(members)

    def _update_together(self, members: Sequence[int]) -> None:
        """One update of each of these; an error that only one of them has ends that one."""
        requests = [self._waiting[index] for index in members]
        try:
            with self._shared(members):
                stack, descent = self._stack(members, requests)
                self._enter(stack, descent, members, requests)
                phases = Phases(stack, [r.gradient for r in requests], Batches.of([r.x for r in requests]))
                losses = self._losses(phases, requests)
            incoming = self._incoming(phases, losses, members, requests)
            with self._shared(members):
                gradients = phases.gradients(incoming, losses, requests[0].criterion)
        except Exception as error:
            waiting = [index for index in members if isinstance(self._waiting.get(index), Request | Course)]
            for index in waiting:
                if len(members) > 1:
                    self._update_together([index])
                else:
                    self._leave(index)
                    self._turn(index, error)
            for index in set(members) & set(self._waiting) - set(waiting):  # its free phase is another one by now
                self._turn(index, error)
            return
        with self._shared(members):
            self._descend(stack, descent, phases, losses, gradients, members, requests)
        for i, (index, request) in enumerate(zip(members, requests, strict=True)):
            if not isinstance(request, Course):
                if index in self._waiting:
                    self._turn(index, Answer(phases, i, losses, gradients))
            elif request.ended:
                self._turn(index, request)

    def _shared(self, members: Sequence[int]) -> AbstractContextManager[None]:
        return clock.shared([self._seats[index].clock for index in members])

    @staticmethod
    def _losses(phases: Phases, requests: Sequence[Any]) -> Losses | None:
        """The losses of those that leave these to the crew."""
        if all(request.y is None for request in requests):
            return None
        nothing = [r.x.new_zeros(len(r.x), dtype=torch.long) if r.y is None else r.y for r in requests]
        return phases.losses(nothing, requests[0].criterion)

    def _incoming(
        self, phases: Phases, losses: Losses | None, members: Sequence[int], requests: Sequence[Any]
    ) -> Tensor:
        """The gradient of all losses for the last states, after those who compute their losses themselves did so."""
        incoming = torch.zeros_like(phases.free.output) if losses is None else losses.incoming
        for i, (index, request) in enumerate(zip(members, requests, strict=True)):
            if request.y is None:
                self._turn(index, Answer(phases, i, losses))
                incoming[i] = 0.0
                if index in self._waiting:
                    own = self._waiting[index]
                    incoming[i, : len(own)] = own
        return incoming

    def _descend(
        self,
        stack: Stack,
        descent: Descent,
        phases: Phases,
        losses: Losses | None,
        gradients: Sequence[Tensor],
        members: Sequence[int],
        requests: Sequence[Any],
    ) -> None:
        """Move the weights of those on a course, and note what came of the update."""
        courses = [(i, r) for i, r in enumerate(requests) if isinstance(r, Course)]
        if not courses:
            return
        assert losses is not None
        for i, course in courses:
            if not losses.finite[i]:
                course.finite = False
                self._leave(members[i])
        rows = [i for i, course in courses if course.finite]
        every = [*gradients, *losses.on_readout]
        if rows:
            # What is left of the gradients is for those who ask for theirs.
            own = every if len(rows) == len(requests) else [gradient.clone() for gradient in every]
            descent.step(own, rows)
        loss, (hits, residual, halfway) = losses.loss.tolist(), phases.noted(losses)
        for i, course in courses:
            if not course.finite:
                course.loss = losses.loss[i]
                continue
            course.notes.append((loss[i], hits[i], residual[i], halfway[i]))
            if course.ended:
                course.output = losses.output[i, : len(course.labels[-1])]
                course.loss = losses.loss[i]
                course.gradients = [gradient[i].clone() for gradient in own]
                self._leave(members[i])

    def _enter(self, stack: Stack, descent: Descent, members: Sequence[int], requests: Sequence[Any]) -> None:
        """Take over the present weights of all; those of a course stay in the stack until it has ended."""
        alone = []
        for i, (index, request) in enumerate(zip(members, requests, strict=True)):
            if not isinstance(request, Course):
                alone.append(i)
            elif self._homes.get(index) != (home := _Home(stack, descent, i, request)):
                self._leave(index)
                stack.load([i])
                descent.enter(i, request.optimizer, request.clip)
                self._homes[index] = home
        if alone:
            stack.load(alone)

    def _leave(self, index: int) -> None:
        """Give a member its weights and momentum back, if a stack has them."""
        home = self._homes.pop(index, None)
        if home is not None:
            home.stack.store(home.index)
            home.descent.leave(home.index, home.course.optimizer)

    def _stack(self, members: Sequence[int], requests: Sequence[Any]) -> tuple[Stack, Descent]:
        """The stack of these members' networks, kept while they and their time steps are the same."""
        key, known = tuple(members), [request.edition for request in requests]
        if key not in self._stacks or self._stacks[key][0] != known:
            if len(self._stacks) > _STACKS:
                self._stacks.clear()
            stack = Stack([request.network.body() for request in requests])
            self._stacks[key] = known, stack, Descent(stack)
        return self._stacks[key][1:]


class _Home(NamedTuple):
    """Where the weights of a member are while it is on a course."""

    stack: Stack
    descent: Descent
    index: int
    course: Course


_STACKS = 8  # kept at a time: members come and go
