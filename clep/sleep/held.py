"""What sleep may ask about itself: how much of the experience just trained is still known."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_SAMPLES = 256


@dataclass
class Held:
    """Samples of the experience just trained, there for one sleep; never of the past, and never for evaluation.

    Attributes:
        model: the model that sleeps.
        x, y: inputs (n, ...) and classes (n,), on the device of the model.
        before: accuracy before the sleep.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> held = Held(nn.Identity(), torch.eye(3), torch.tensor([0, 1, 0]))
        >>> round(held.before, 2)
        0.67
    """

    model: nn.Module
    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        self.before = self.accuracy()

    @classmethod
    def of(cls, dataset: Any, model: nn.Module, device: torch.device) -> "Held":
        """Up to 256 samples, evenly spaced over a data set: nothing is drawn, and sorted classes all have a part.

        Args:
            dataset: of `(x, y, ...)`.
            model: the model that sleeps.
            device: of the model.
        """
        rows = torch.linspace(0, len(dataset) - 1, min(_SAMPLES, len(dataset))).long().tolist()
        data = dataset.eval()
        x, y, *_ = zip(*(data[row] for row in rows), strict=True)
        return cls(model, torch.stack(x).to(device), torch.as_tensor(y).to(device))

    def accuracy(self) -> float:
        """Share of the samples that the model, as it is now, assigns to their class; it stays in its mode."""
        return float((self._output().argmax(1) == self.y).float().mean())

    @torch.no_grad()
    def _output(self) -> Tensor:
        modes = [(part, part.training) for part in self.model.modules()]
        self.model.eval()
        try:
            output: Tensor = self.model(self.x)
            return output
        finally:
            for part, mode in modes:
                part.training = mode
