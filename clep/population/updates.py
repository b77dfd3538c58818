"""The updates that the members of a crew wait for, computed together."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clep import clock
from clep.population.asking import Answer, Request, Seat
from clep.population.batches import Batches
from clep.population.course import Course, Edition
from clep.population.descent import Descent
from clep.population.phases import Losses, Phases
from clep.population.stack import Stack


class Updates:
    """Computes updates of members that wait for them.

    Args:
        waiting: index of each member that waits -> what it has asked for.
        seats: of all members.
        turn: gives a member its answer, and lets it go on until it waits again or has ended.
    """

    def __init__(self, waiting: dict[int, Any], seats: Sequence[Seat], turn: Callable[[int, Any], None]) -> None:
        self._waiting, self._seats, self._turn = waiting, seats, turn
        self._stacks: dict[tuple[int, ...], tuple[list[Edition], Stack, Descent]] = {}
        self._homes: dict[int, _Home] = {}

    def together(self, members: Sequence[int]) -> None:
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
                    self.together([index])
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

    def stop(self) -> None:
        """Give all members their weights back."""
        for index in list(self._homes):
            self._leave(index)

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
            if not math.isfinite(losses.loss[i]):
                course.finite = False
                self._leave(members[i])
        rows = [i for i, course in courses if course.finite]
        every = [*gradients, *losses.on_readout]
        if rows:
            # What is left of the gradients is for those who ask for theirs.
            own = every if len(rows) == len(requests) else [gradient.clone() for gradient in every]
            descent.step(own, rows)
        residual, halfway = phases.free.residual.tolist(), phases.free.halfway.tolist()
        for i, course in courses:
            if not course.finite:
                course.loss = losses.output.new_tensor(losses.loss[i])
                continue
            course.notes.append((losses.loss[i], losses.hits[i], residual[i], halfway[i]))
            if course.ended:
                course.output = losses.output[i, : len(course.labels[-1])]
                course.loss = losses.output.new_tensor(losses.loss[i])
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
                request.body = stack.bodies[i]
                self._homes[index] = home
        if alone:
            stack.load(alone)

    def _leave(self, index: int) -> None:
        """Give a member its weights and momentum back, if a stack has them."""
        home = self._homes.pop(index, None)
        if home is not None:
            home.stack.store(home.position)
            home.descent.leave(home.position, home.course.optimizer)

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
    position: int
    course: Course


_STACKS = 8  # kept at a time: members come and go
