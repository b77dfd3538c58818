"""What a batch leaves at rest: silent units, unused directions, and the part of a step that writes only there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clep.dense_parameters import DenseParameters, joined
from clep.equilibrium.stack import stack_of

_SILENT = 1e-6


@torch.no_grad()
def observed(model: Any, x: Tensor) -> list[Tensor]:
    """The signals of every layer for a batch x (B, ...), from the input to the output, each (B, n)."""
    return [*stack_of(model).presynaptic(x), model(x)]


def at_rest(signals: Sequence[Tensor], layers: Sequence[DenseParameters]) -> list[Tensor]:
    """Which units are silent for the whole batch, (n,) for each layer from the input to the output."""
    silent_units = [(s.abs() <= _SILENT).all(0) for s in signals]
    below, *above = silent_units
    return [below, *(s if layer.settles else torch.zeros_like(s) for s, layer in zip(above, layers, strict=True))]


@torch.no_grad()
def invisible(
    changes: Sequence[Sequence[Tensor]],
    layers: Sequence[DenseParameters],
    signals: Sequence[Tensor],
    resting: Sequence[Tensor],
    inhibition: float = 0.0,
) -> list[list[Tensor]]:
    """What of a step the present batch does not notice.

    Args:
        changes: for each layer, the changes of its `all`.
        layers: the parameters, before the step.
        signals: of the present batch, from the input to the output, each (B, n).
        resting: which units are at rest, (n,) for each of these.
        inhibition: kappa of the mean inhibition among the units of a hidden layer.
    """
    masked: list[list[Tensor]] = []
    for of_layer, below, above in zip(changes, resting, resting[1:], strict=False):
        either = above[:, None] | below[None, :]
        masked.append([change * (either if change.dim() == 2 else above) for change in of_layer])
    steps = [torch.ones_like(signals[0][0])]
    for index, layer in enumerate(layers):  # how far each unit above it may go
        drive = _drive(index, layers, [layer.all for layer in layers], signals)
        if index + 1 < len(layers):
            drive = drive - inhibition * signals[index + 1].mean(1, keepdim=True)
        more = _drive(index, layers, masked, signals)
        room = torch.where(more > 0.0, (-drive).clamp_min(0.0) / more.clamp_min(1e-30), torch.inf)
        steps.append(torch.where(resting[index + 1], room.amin(0).clamp_max(1.0), 1.0))
    return [
        [change * (up[:, None] * down[None, :] if change.dim() == 2 else up) for change in of_layer]
        for of_layer, down, up in zip(masked, steps[:-1], steps[1:], strict=True)
    ]


@torch.no_grad()
def unused(
    changes: Sequence[Sequence[Tensor]], layers: Sequence[DenseParameters], signals: Sequence[Tensor]
) -> list[list[Tensor]]:
    """The part of a step along directions that the present batch does not use.

    Args:
        changes: for each layer, the changes of its `all`.
        layers: the parameters.
        signals: of the present batch, from the input to the output, each (B, n).
    """
    kept: list[list[Tensor]] = []
    for layer, (weight, *rest), below, above in zip(layers, changes, signals, signals[1:], strict=False):
        ups = below if layer.bias is None else torch.cat([below, below.new_ones(len(below), 1)], 1)
        used = span(ups)
        change = joined(weight, None if layer.bias is None else rest[0])
        change = change - (change @ used) @ used.T
        sent = span(above) if layer.feedback else None
        if sent is not None and layer.down is None:
            change = change - sent @ (sent.T @ change)
        parts = [change[:, : weight.shape[1]]]
        if layer.bias is not None:
            parts.append(change[:, -1])
        if layer.down is not None:
            down = rest[-1]
            parts.append(down if sent is None else down - sent @ (sent.T @ down))
        kept.append(parts)
    return kept


def span(rows: Tensor) -> Tensor:
    """An orthonormal basis (n, k) of what rows (B, n) span.

    Example:
        >>> import torch
        >>> span(torch.tensor([[0.0, 2.0, 0.0], [0.0, 4.0, 0.0]])).abs()
        tensor([[0.],
                [1.],
                [0.]])
    """
    exact = rows.double()
    values, vectors = torch.linalg.eigh(exact @ exact.T)
    large = values > 1e-10 * values.max().clamp_min(1e-300)
    basis: Tensor = (exact.T @ vectors[:, large]) / values[large].sqrt()
    return basis.to(rows.dtype)


def _drive(
    index: int, layers: Sequence[DenseParameters], values: Sequence[Sequence[Tensor]], signals: Sequence[Tensor]
) -> Tensor:
    """What the units above layer `index` receive from both sides, (B, n), with given values of the parameters."""
    layer, own = layers[index], values[index]
    drive = signals[index] @ own[0].T
    if layer.bias is not None:
        drive = drive + own[1]
    if index + 1 < len(layers) and layers[index + 1].feedback:
        higher = values[index + 1]
        down = higher[0] if layers[index + 1].down is None else higher[-1]
        drive = drive + layers[index + 1].feedback * signals[index + 2] @ down
    return drive
