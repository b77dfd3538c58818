"""Updates of a member that nobody acts on in between: the crew does them one after another, without asking."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from clep.equilibrium import FreePhase, Gradient, Network
from clep.equilibrium.body import Body
from clep.equilibrium.costs import Cost

Edition = tuple[Network, tuple[int, ...]]
"""A network, and the versions of its time steps."""

Note = tuple[float, float, float, float]
"""Of an update: loss, share of hits, residual of the free phase at its end and after half of its steps."""


def edition(network: Network) -> Edition:
    """What must not have changed in a stack of a network.

    Args:
        network: the network.
    """
    return network, tuple(step._version for step in network.time_steps)


@dataclass(eq=False)
class Asked:
    """What a member says of the updates that it waits for.

    Attributes:
        kind: what updates must have in common to be computed together.
        edition: the network, and what must not have changed in a stack of it.
        network: whose updates they are.
        gradient: its estimate.
        criterion: its loss.
    """

    kind: Hashable
    edition: Edition
    network: Network
    gradient: Gradient
    criterion: Cost


@dataclass(eq=False)
class Course(Asked):
    """A member's updates, one for each of its batches.

    Attributes:
        inputs: of each batch, (B, ...), shaped as layer 0.
        labels: class indices of each batch, (B,).
        optimizer: what moves its weights.
        clip: largest norm of a gradient; None for any.
        body: what relaxes; set when the course begins.
        notes: of each update so far.
        output: of the last update, (B, K).
        loss: of the last update, ().
        gradients: of the last update, in the order of the stack's rows.
        finite: False after an update whose loss is not finite; it was not made, and no other one follows.
    """

    inputs: Sequence[Tensor]
    labels: Sequence[Tensor]
    optimizer: Optimizer
    clip: float | None
    body: Body | None = None
    notes: list[Note] = field(default_factory=list)
    output: Tensor | None = None
    loss: Tensor | None = None
    gradients: list[Tensor] = field(default_factory=list)
    finite: bool = True

    @property
    def x(self) -> Tensor:
        """Inputs of the next update."""
        return self.inputs[len(self.notes)]

    @property
    def y(self) -> Tensor:
        """Labels of the next update."""
        return self.labels[len(self.notes)]

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.finite or len(self.notes) == len(self.labels)

    def settled(self) -> Iterator[FreePhase]:
        """The free phases so far, for those who look at how they have settled: without states."""
        body, nothing = self.body, torch.empty(0)
        assert body is not None
        for _, _, residual, halfway in self.notes:
            yield FreePhase(nothing, nothing, (), body, residual, halfway, body.free.steps)  # type: ignore[arg-type]
