"""One update of the weights: its values, and the moments when others may act on them."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Moment = Literal[
    "before_forward", "after_forward", "before_backward", "after_backward", "before_update", "after_update"
]


class Update(Protocol):
    """What `Learner.step` works on: a `Batch` in plain Lightning, the training template in a stream.

    Attributes:
        mb_x: inputs, (B, ...).
        mb_y: class indices, (B,).
        mb_output: the network's output, (B, K).
        loss: the value to differentiate.
        optimizer: moves the weights of C-EP within the step; otherwise Lightning does, after it.
    """

    mb_output: Tensor
    loss: Tensor

    @property
    def mb_x(self) -> Tensor: ...
    @property
    def mb_y(self) -> Tensor: ...
    @property
    def optimizer(self) -> Any: ...

    def at(self, moment: Moment) -> None:
        """Let others act; they may change any of the values."""

    def add(self, loss: Tensor) -> None:
        """Add the learner's loss, a () tensor, to the value to differentiate."""


@dataclass
class Batch:
    """An update without anything else acting on it."""

    mb_x: Tensor
    mb_y: Tensor
    optimizer: Any = None
    mb_output: Tensor = field(default_factory=lambda: torch.empty(0))
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))

    def at(self, moment: Moment) -> None:
        """Go on at once."""

    def add(self, loss: Tensor) -> None:
        """Take the loss for the value: nobody adds another."""
        self.loss = loss
