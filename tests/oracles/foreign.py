"""Parts as another package would write them, one or more of each kind; `SOURCE` is this file, to install it as one."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from clep.equilibrium import Connection, Cost, CostNudging, Neuron

SOURCE = Path(__file__).read_text()
GROUPS = {
    "networks": {"dream_mlp": "MLP", "dream_conv": "conv", "dream_rows": "Rows", "dream_attention": "Attention"},
    "neurons": {"leaky": "leaky"},
    "connections": {"shrunk": "Shrunk"},
    "costs": {"power": "Power"},
    "gradients": {"scaled": "Scaled"},
}


class MLP(nn.Module):
    """Dense layers with batch norm and dropout."""

    def __init__(self, *, input_shape: tuple[int, ...], classes: int, width: int = 16, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(input_shape), width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, classes),
        )

    def forward(self, x):
        return self.layers(x)


def conv(*, classes: int, channels: int = 4) -> nn.Module:
    """A convolution net whose last layer finds its own size."""
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))


class Rows(nn.Module):
    """An LSTM that reads an image row by row."""

    def __init__(self, *, input_shape: tuple[int, ...], classes: int, units: int = 8):
        super().__init__()
        self.lstm = nn.LSTM(input_shape[-1], units, batch_first=True)
        self.readout = nn.Linear(units, classes)

    def forward(self, x):
        return self.readout(self.lstm(x.flatten(1, -2))[0][:, -1])


class Attention(nn.Module):
    """A transformer over the rows of an image."""

    def __init__(self, *, input_shape: tuple[int, ...], classes: int, heads: int = 2):
        super().__init__()
        layer = nn.TransformerEncoderLayer(input_shape[-1], heads, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.readout = nn.Linear(input_shape[-1], classes)

    def forward(self, x):
        return self.readout(self.encoder(x.flatten(1, -2)).mean(1))


def leaky(*, slope: Annotated[float, "[0, 1]"] = 0.1) -> Neuron:
    """A rectifier that leaks below 0 and stops at 1."""
    return Neuron(
        lambda u: torch.nn.functional.leaky_relu_(u, slope).clamp_(max=1.0),
        lambda u: torch.where(u > 0.0, 1.0, slope).to(u.dtype),
    )


class Shrunk(Connection):
    """All-to-all, with initial weights that are smaller by a factor."""

    def __init__(self, below, units, wiring, *, factor: float = 0.5):
        super().__init__(below, (units,))
        n = math.prod(below)
        bound = factor * wiring.bound(n, units)
        self.weight = nn.Parameter(torch.empty(units, n).uniform_(-bound, bound, generator=wiring.generator))

    def up(self, below, base=None, out=None):
        total = below.flatten(1) @ self.weight.T
        total = total if base is None else base + total
        return (total if out is None else out.copy_(total)), None

    def add_down(self, base, above, route=None, out=None):
        total = base + (above @ self.weight).unflatten(1, self.below)
        return total if out is None else out.copy_(total)

    def pull_back(self, above, below):
        return (above @ self.weight).unflatten(1, self.below)

    def differences(self, first, second, presynaptic, coefficient):
        one, two = (above.T @ below.flatten(1) for below, above in (first, second))
        return [coefficient * (one - two)]


class Power(Cost):
    """A power of the error."""

    def __init__(self, *, exponent: int = 4):
        super().__init__()
        self.exponent = exponent

    def each(self, output, labels):
        return (output - self.target(output, labels)).abs().pow(self.exponent).sum(1) / self.exponent

    def nudge(self, output, labels):
        target = self.target(output, labels)
        return lambda state: (target - state).abs().pow(self.exponent - 1) * (target - state).sign()


@dataclass(frozen=True)
class Scaled(CostNudging):
    """Cost nudging, times a factor."""

    factor: float = 2.0

    def loss(self, prediction, y, criterion):
        return self.factor * super().loss(prediction, y, criterion)
