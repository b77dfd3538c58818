"""Jobs that take turns in one thread, and the updates of their networks, computed together.

Each job runs in a coroutine (a greenlet) of its own, as if it were alone. Where it needs an update of its weights, it
waits until every other job waits too; then one computation serves all. Jobs whose batches, strategies, sleep and
records differ need not know of each other.
"""

import contextvars
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import greenlet  # type: ignore[import-untyped]
import torch
from torch import Tensor

from clep import clock
from clep.equilibrium import Gradient, Network
from clep.equilibrium.costs import Cost
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
        network: whose update it is.
        gradient: its estimate.
        criterion: its loss.
        x: inputs, (B, ...), shaped as layer 0.
        y: class indices, (B,); None if the member computes its loss itself, from the states of the free phase.
    """

    kind: Hashable
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
        """Wait for the others, and return the answer: an `Answer` for a `Request`, gradients for a loss's gradient."""
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
        self._stacks: dict[tuple[int, ...], tuple[list[Any], Stack]] = {}
        self._turn_began = 0.0

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
        kinds: dict[Hashable, list[int]] = {}
        for index, request in self._waiting.items():
            kinds.setdefault(request.kind, []).append(index)
        for members in kinds.values():
            requests = [self._waiting[index] for index in members]
            try:
                with clock.shared([self._seats[index].clock for index in members]):
                    answers = self._free(members, requests)
            except Exception as error:
                for index in members:
                    self._turn(index, error)
                continue
            self._nudge(members, requests, answers)

    def _free(self, members: Sequence[int], requests: Sequence[Request]) -> list[Answer]:
        """The free phases, and the losses of those that leave these to the crew."""
        stack = self._stack(members, requests)
        stack.load(range(len(requests)))
        phases = Phases(stack, [request.gradient for request in requests], Batches.of([r.x for r in requests]))
        labels = [
            request.x.new_zeros(len(request.x), dtype=torch.long) if request.y is None else request.y
            for request in requests
        ]
        losses = None
        if any(request.y is not None for request in requests):
            losses = phases.losses(labels, requests[0].criterion)
        return [Answer(phases, i, losses) for i in range(len(requests))]

    def _nudge(self, members: Sequence[int], requests: Sequence[Request], answers: Sequence[Answer]) -> None:
        """The nudged phases, after those who compute their losses themselves have done so."""
        phases, losses = answers[0].phases, answers[0].losses
        incoming = torch.zeros_like(phases.free.output) if losses is None else losses.incoming
        for i, (index, request) in enumerate(zip(members, requests, strict=True)):
            if request.y is None:
                self._turn(index, answers[i])
                incoming[i] = 0.0
                if index in self._waiting:
                    own = self._waiting[index]
                    incoming[i, : len(own)] = own
        try:
            with clock.shared([self._seats[index].clock for index in members]):
                gradients = phases.gradients(incoming, losses, requests[0].criterion)
        except Exception as error:
            for index in members:
                if index in self._waiting:
                    self._turn(index, error)
            return
        for answer in answers:
            answer.gradients = gradients
        for index, answer in zip(members, answers, strict=True):
            if index in self._waiting:
                self._turn(index, answer)

    def _stack(self, members: Sequence[int], requests: Sequence[Request]) -> Stack:
        """The stack of these members' networks, kept while they and their time steps are the same."""
        key = tuple(members)
        known = [(request.network, *(step._version for step in request.network.time_steps)) for request in requests]
        if key not in self._stacks or self._stacks[key][0] != known:
            if len(self._stacks) > _STACKS:
                self._stacks.clear()
            self._stacks[key] = known, Stack([request.network.body() for request in requests])
        return self._stacks[key][1]


_STACKS = 8  # kept at a time: members come and go
