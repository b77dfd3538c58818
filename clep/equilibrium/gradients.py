"""Equilibrium propagation as one autograd node: the nudged phases are what `loss.backward()` runs.

Because the estimate is delivered by autograd, everything written for PyTorch applies to an equilibrium network
unchanged: optimisers, gradient clipping, distributed averaging, and regularisers that add to the loss or call the model
themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clep.equilibrium.costs import SquaredError
from clep.equilibrium.dynamics import Nudge, full_precision, max_abs
from clep.errors import ConfigError

if TYPE_CHECKING:
    from clep.equilibrium.network import Network

Phases = Literal["one_sided", "random_sign", "centered"]
PHASES: tuple[Phases, ...] = ("one_sided", "random_sign", "centered")


@dataclass(frozen=True)
class FreePhase:
    """Result of a free phase: what the nudged phases start from.

    Attributes:
        x: input (B, n_0).
        drive: W_1 x + b_1, (B, n_1).
        states: equilibrium of the layers above the input, (B, n_l) each.
    """

    x: Tensor
    drive: Tensor
    states: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        """State of the output layer, (B, K)."""
        return self.states[-1]


@dataclass(frozen=True)
class LinearNudging:
    """The vector-Jacobian product of the free equilibrium: nudge with the constant -dL/ds* (what `network(x)` uses).

    The nudge is divided by its largest absolute entry and the contrast multiplied by it, so the size of the nudge is
    beta whatever the scale of the loss, and the estimate is homogeneous: loss times k gives gradient times k. A zero
    gradient skips the nudged phases.

    Args:
        beta: size of the nudge, not 0; its bias falls as beta (`one_sided`) or beta squared (`centered`).
        phases: `one_sided` (contrast with the free state), `random_sign` (the same with the sign of beta drawn for each
            batch) or `centered` (contrast of +beta and -beta).

    Raises:
        ConfigError: for beta = 0 or unknown phases.
    """

    beta: float = 0.5
    phases: Phases = "centered"

    def __post_init__(self) -> None:
        _check(self.beta, self.phases)


@dataclass(frozen=True)
class CostNudging:
    """The papers' form: nudge with -beta dC/ds evaluated along the nudged phase.

    Right for plain training and for strategies that leave the loss alone; a strategy that adds to the loss or calls the
    model itself needs `LinearNudging`.

    Args:
        beta: as in `LinearNudging`.
        phases: as in `LinearNudging`.
        nudge: whether the nudge acts `inside` the activation (Laborieux et al. 2021) or `outside` it (Ernoult et al.
            2019).
        cost: the cost C, with reduction `mean`.

    Raises:
        ConfigError: for beta = 0, an unknown name, or a cost that is not a mean over the batch.
    """

    beta: float = 0.5
    phases: Phases = "centered"
    nudge: Literal["inside", "outside"] = "inside"
    cost: SquaredError = field(default_factory=SquaredError)

    def __post_init__(self) -> None:
        _check(self.beta, self.phases)
        if self.nudge not in ("inside", "outside"):
            raise ConfigError(f"learner.nudge: expected `inside` or `outside`, got `{self.nudge}`.")
        if self.cost.reduction != "mean":
            raise ConfigError(
                "cost: expected reduction `mean` (the gradient of cost nudging is that of the mean over the batch), "
                f"got `{self.cost.reduction}`; multiply the loss instead."
            )

    def loss(self, network: "Network", free: FreePhase, labels: Tensor) -> Tensor:
        """Mean cost at the free equilibrium; its `backward()` runs the nudged phases.

        The gradient is for the network's parameters; none flows to its input, unlike with `LinearNudging`.

        Args:
            network: the network that `free` came from.
            free: result of `network.free_phase(x)`.
            labels: class indices (B,).
        """
        return _CostEquilibrium.apply(network, self, free, labels, *network.parameters())


def _check(beta: float, phases: str) -> None:
    if beta == 0.0:
        raise ConfigError(
            "learner.beta: expected a float other than 0 (the contrast of the two phases is divided by it), got 0.0; "
            "published runs use 0.1 to 1."
        )
    if phases not in PHASES:
        raise ConfigError(f"learner.phases: unknown phases `{phases}`. Valid names: {', '.join(PHASES)}.")


class Equilibrium(torch.autograd.Function):
    """x, parameters -> output of the free equilibrium; backward is `LinearNudging`."""

    @staticmethod
    def forward(ctx: Any, network: "Network", x: Tensor, *parameters: Tensor) -> Tensor:
        free = network.free_phase(x)
        ctx.network = network
        ctx.save_for_backward(free.x, free.drive, *free.states, *parameters)
        return free.output.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        network: Network = ctx.network
        x, drive, *rest = ctx.saved_tensors  # raises if a parameter was changed in place since the forward
        free = FreePhase(x, drive, tuple(rest[: network.depth]))
        scale = max_abs(gradient)
        if scale == 0.0:
            return None, *(torch.zeros_like(t) for t in (x, *rest[network.depth :]))
        force = -gradient / scale
        beta, phases = network.nudging.beta, network.nudging.phases
        with full_precision(x):
            on_input, on_parameters = nudged_gradient(
                network, free, lambda output: force, beta, phases, wants_input=ctx.needs_input_grad[1]
            )
        on_input = None if on_input is None else on_input * scale
        return None, on_input, *(g.mul_(scale) for g in on_parameters)


class _CostEquilibrium(torch.autograd.Function):
    """free phase, labels, parameters -> mean cost; backward is `CostNudging`."""

    @staticmethod
    def forward(
        ctx: Any, network: "Network", nudging: CostNudging, free: FreePhase, labels: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.network, ctx.nudging, ctx.free = network, nudging, free
        ctx.save_for_backward(labels, *parameters)
        return nudging.cost(free.output, labels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        network: Network = ctx.network
        nudging: CostNudging = ctx.nudging
        labels = ctx.saved_tensors[0]
        force = nudging.cost.nudge(ctx.free.output, labels)
        with full_precision(gradient):
            _, on_parameters = nudged_gradient(
                network, ctx.free, force, nudging.beta, nudging.phases, outside=nudging.nudge == "outside"
            )
        per_sample = gradient / len(labels)
        return None, None, None, None, *(g.mul_(per_sample) for g in on_parameters)


def nudged_gradient(
    network: "Network",
    free: FreePhase,
    force: Nudge,
    beta: float,
    phases: Phases,
    *,
    wants_input: bool = False,
    outside: bool = False,
) -> tuple[Tensor | None, list[Tensor]]:
    """Run the nudged phases from the free equilibrium and contrast them.

    One-sided: -(1 / beta) [dPhi/dtheta(s^beta) - dPhi/dtheta(s*)]; centered:
    -(1 / 2 beta) [dPhi/dtheta(s^+beta) - dPhi/dtheta(s^-beta)] (Laborieux et al. 2021, Eq. 6).

    Args:
        network: the network; its `adaptation`, if any, acts after the nudged steps.
        free: where the nudged phases start.
        force: -dC/ds of the output state, (B, K) -> (B, K); multiplied by +-beta.
        beta: see `LinearNudging`.
        phases: see `LinearNudging`.
        wants_input: whether to return the gradient for the input as well.
        outside: whether the nudge acts outside the activation.

    Returns:
        The gradient for the input (B, n_0) or None, and for each parameter, summed over the batch.
    """
    dynamics = replace(network.dynamics, nudge_outside=outside)
    if phases == "random_sign":
        beta *= network.draw_sign()
    signs = (beta, -beta) if phases == "centered" else (beta,)
    nudges: list[Nudge] = [lambda output, signed=signed: signed * force(output) for signed in signs]
    nudged = [
        dynamics.relax(free.drive, [s.clone() for s in free.states], network.nudged_steps, nudge).states
        for nudge in nudges
    ]

    def contrast() -> list[Tensor]:
        reference, distance = (nudged[1], 2.0 * beta) if phases == "centered" else (free.states, beta)
        return _phi_gradients(network, free.x, nudged[0], reference, -1.0 / distance)

    on_parameters = contrast()
    rescaling = 1.0
    if network.adaptation is not None:
        before = _norm(on_parameters)
        for states, nudge in zip(nudged, nudges, strict=True):
            for _ in range(network.adaptation.steps):
                states[:] = dynamics.relax(free.drive, states, 1, nudge).states
                for state, target in zip(states, free.states, strict=True):
                    state.lerp_(target, network.adaptation.rate)
        on_parameters = contrast()
        after = _norm(on_parameters)
        network.contrast_norms = (before, after)
        if network.adaptation.rescale and after > 0.0:
            rescaling = before / after
            on_parameters = [g.mul_(rescaling) for g in on_parameters]
    on_input = None
    if wants_input:
        if phases == "centered":
            difference, distance = nudged[0][0] - nudged[1][0], 2.0 * beta
        else:
            difference, distance = nudged[0][0] - free.states[0], beta
        on_input = network.connections[0].down(difference) * (-rescaling / distance)
    return on_input, on_parameters


def _phi_gradients(
    network: "Network", x: Tensor, first: Sequence[Tensor], second: Sequence[Tensor], factor: float
) -> list[Tensor]:
    """`factor` * [dPhi/dtheta(first) - dPhi/dtheta(second)] for every parameter, summed over the batch."""
    gradients = []
    for layer, connection in enumerate(network.connections):
        below = (x, x) if layer == 0 else (first[layer - 1], second[layer - 1])
        gradients += connection.phi_difference((below[0], first[layer]), (below[1], second[layer]))
    return [g.mul_(factor) for g in gradients]


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([t.norm() for t in tensors]).norm()
