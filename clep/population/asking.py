"""How a member of a crew asks for its updates, and what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import greenlet  # type: ignore[import-untyped]
import torch
from torch import Tensor

from clep import clock
from clep.population.course import Asked
from clep.population.draws import GlobalDraws
from clep.population.phases import Losses, Phases


@dataclass(eq=False)
class Request(Asked):
    """An update that a member asks for.

    Attributes:
        x: inputs, (B, ...), shaped as layer 0.
        y: class indices, (B,); None if the member computes its loss itself, from the states of the free phase.
    """

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
        """Wait for the others, and return what came of it.

        Args:
            asked: a `Request`, the gradient of a loss for the last states, or a `Course`.

        Returns:
            An `Answer`; of a course, itself when it has ended.
        """
        grad = torch.is_grad_enabled()
        answer = greenlet.getcurrent().parent.switch(asked)
        torch.set_grad_enabled(grad)
        return answer
