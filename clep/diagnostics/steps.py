"""How many relaxation steps a network needs: the cosine of its gradient to backpropagation through time (BPTT)."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from clep import progress
from clep.equilibrium import ORDERS, STARTS, Backpropagation, Gradient, LinearNudging, Network
from clep.specs.network import Order

FREE_STEPS = (2, 3, 5, 7, 10, 15, 20, 30, 50)
NUDGED_STEPS = (1, 2, 3, 4, 6, 8, 12, 20)
COSINES = (0.9, 0.99, 0.999)
TOLERANCES = (0.1, 0.03, 0.01, 0.003, 0.001)
_CONVERGED = 300  # steps of the converged reference


@dataclass(frozen=True)
class Need:
    """The cheapest way to reach a cosine.

    Attributes:
        relaxation, start: see `Network` and `LinearNudging`.
        beta: size of the nudge.
        cosine: the cosine to reach.
        free_steps, nudged_steps: the steps of each phase; None if no number that was tried is enough.
        sweeps: steps of the free phase and both nudged phases together.
        reached: the cosine at these steps.
    """

    relaxation: str
    start: str
    beta: float
    cosine: float
    free_steps: int | None
    nudged_steps: int | None
    sweeps: int | None
    reached: float | None


@dataclass(frozen=True)
class ToleranceEffect:
    """The effect of a tolerance of the free phase: the steps taken, and the cosine with converged nudged phases."""

    relaxation: str
    tolerance: float
    steps: int
    cosine: float


@dataclass(frozen=True)
class Steps:
    """How many steps a network needs.

    Attributes:
        accuracy: test accuracy of the network with the steps of its configuration.
        ceiling: cosine of centered nudging to BPTT once everything has converged, per beta: 1 minus its bias.
        bfloat16: cosine of the gradient relaxed in bfloat16 to that in full precision, per beta.
        needs: the cheapest settings.
        stops: the effect of tolerances.
    """

    accuracy: float
    ceiling: dict[float, float]
    bfloat16: dict[float, float]
    needs: list[Need]
    stops: list[ToleranceEffect]

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)

    def to_text(self) -> str:
        """The measurements as Markdown."""
        lines = [
            f"Test accuracy {self.accuracy:.4f}. Cosine to BPTT with converged phases: {_per_beta(self.ceiling)}. "
            f"Cosine of relaxation in bfloat16 to full precision: {_per_beta(self.bfloat16)}.",
            "",
            "| relaxation | second phase starts | beta | " + " | ".join(f"cosine {c:g}" for c in COSINES) + " |",
            "|---|---|---|" + "---|" * len(COSINES),
        ]
        for i in range(0, len(self.needs), len(COSINES)):
            row = self.needs[i : i + len(COSINES)]
            cells = ["-" if n.sweeps is None else f"{n.sweeps} ({n.free_steps} + 2 x {n.nudged_steps})" for n in row]
            lines.append(f"| {row[0].relaxation} | {row[0].start} | {row[0].beta:g} | {' | '.join(cells)} |")
        lines += ["", "| relaxation | tolerance | free steps | cosine |", "|---|---|---|---|"]
        lines += [f"| {s.relaxation} | {s.tolerance:g} | {s.steps} | {s.cosine:.4f} |" for s in self.stops]
        return "\n".join(lines)


def measure(
    network: Network,
    criterion: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    betas: Sequence[float],
    accuracy: float,
) -> Steps:
    """Measure a trained network on one batch, with centered phases; the network does not change.

    Args:
        network: the trained network.
        criterion: its loss, of outputs (B, classes) and labels (B,).
        x: inputs (B, ...).
        y: labels (B,).
        betas: sizes of the nudge to try; tolerances are tried with the smallest.
        accuracy: its test accuracy, for the report.
    """
    probe = _Probe(network, criterion, x, y)
    reference, _ = probe.gradient(Backpropagation(), _CONVERGED)
    ceiling: dict[float, float] = {}
    bfloat16: dict[float, float] = {}
    needs: list[Need] = []
    variants = [(beta, order, start) for beta in sorted(set(betas)) for order in ORDERS for start in STARTS]
    for beta, order, start in progress.bar(variants, desc="steps", unit="variant"):
        nudging = LinearNudging(beta, start=start)
        if beta not in ceiling:
            converged, _ = probe.gradient(nudging, _CONVERGED, _CONVERGED)
            rounded, _ = probe.gradient(nudging, _CONVERGED, _CONVERGED, precision="bfloat16")
            ceiling[beta], bfloat16[beta] = cosine(converged, reference), cosine(rounded, converged)
        cosines = {
            (free, nudged): cosine(probe.gradient(nudging, free, nudged, order)[0], reference)
            for free in FREE_STEPS
            for nudged in NUDGED_STEPS
        }
        needs += _cheapest(cosines, order, start, beta)
    stops = []
    for order in ORDERS:
        for tolerance in TOLERANCES:
            stopped, steps = probe.gradient(
                LinearNudging(min(betas)), _CONVERGED, _CONVERGED, order, tolerance=tolerance
            )
            stops.append(ToleranceEffect(order, tolerance, steps, cosine(stopped, reference)))
    return Steps(accuracy, ceiling, bfloat16, needs, stops)


def cosine(a: Tensor, b: Tensor) -> float:
    """The cosine of the angle between two vectors (N,), computed in double precision.

    Example:
        >>> import torch
        >>> round(cosine(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])), 4)
        0.7071
    """
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


class _Probe:
    """Gradients of one batch by a copy of the network, each with its own settings of the relaxation."""

    def __init__(self, network: Network, criterion: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        self.network, self.criterion, self.x, self.y = copy.deepcopy(network), criterion, x, y

    def gradient(
        self,
        gradient: Gradient,
        free_steps: int,
        nudged_steps: int = 1,
        relaxation: Order = "synchronous",
        *,
        tolerance: float = 0.0,
        precision: Literal["full", "bfloat16"] = "full",
    ) -> tuple[Tensor, int]:
        """The gradient of the loss for all parameters, flat, and the steps that the free phase took."""
        self.network.spec = replace(
            self.network.spec,
            free_steps=free_steps,
            nudged_steps=nudged_steps,
            relaxation=relaxation,
            tolerance=tolerance,
            precision=precision,
        )
        prediction = gradient.predict(self.network, self.x)
        loss = gradient.loss(prediction, self.y, self.criterion)
        gradients = torch.autograd.grad(loss, list(self.network.parameters()))
        steps = free_steps if prediction.free is None else prediction.free.steps
        return torch.cat([part.flatten() for part in gradients]), steps


def _cheapest(cosines: Mapping[tuple[int, int], float], order: str, start: str, beta: float) -> Iterator[Need]:
    """For each of `COSINES`, the setting that reaches it in the fewest steps of all phases together."""
    for target in COSINES:
        enough = [(free + 2 * nudged, free, nudged) for (free, nudged), c in cosines.items() if c >= target]
        if enough:
            sweeps, free, nudged = min(enough)
            yield Need(order, start, beta, target, free, nudged, sweeps, cosines[free, nudged])
        else:
            yield Need(order, start, beta, target, None, None, None, None)


def _per_beta(cosines: Mapping[float, float]) -> str:
    return ", ".join(f"{value:.4f} at beta {beta:g}" for beta, value in cosines.items())
