"""How the gradient of a network is estimated: nudged phases delivered by autograd, or backpropagation through time.

Because the estimate is delivered by autograd, everything written for PyTorch applies to an equilibrium network
unchanged: optimisers, gradient clipping, distributed averaging, and regularisers that add to the loss or call the model
themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clep.equilibrium.costs import Cost, SquaredError
from clep.equilibrium.dynamics import Nudge, full_precision, max_abs
from clep.equilibrium.phases import FreePhase, Nudging, Term, contrast, nudged_terms, second_phase
from clep.errors import ConfigError

if TYPE_CHECKING:
    from clep.equilibrium.network import Network


@dataclass(frozen=True)
class LinearNudging(Nudging):
    """The vector-Jacobian product of the free equilibrium: nudge with the constant -dL/ds* (what `network(x)` uses).

    The nudge is divided by its largest absolute entry and the contrast multiplied by it, so the size of the nudge is
    beta whatever the scale of the loss, and the estimate is homogeneous: loss times k gives gradient times k. A zero
    gradient skips the nudged phases.
    """


@dataclass(frozen=True)
class Backpropagation:
    """The BPTT twin: differentiate the free phase itself; the same weights and steps, no nudged phase.

    Args:
        steps: the last steps of the free phase to differentiate, >= 1; None for all. With the number of nudged steps
            this is what equilibrium propagation estimates (Ernoult et al. 2019, theorem 1).

    Raises:
        ConfigError: for fewer than one step.
    """

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"learner.bptt_steps: expected an integer of at least 1 or null, got {self.steps}.")


@dataclass(frozen=True)
class CostNudging(Nudging):
    """The papers' form: nudge with -beta dC/ds evaluated along the nudged phase.

    Right for plain training and for strategies that leave the loss alone; a strategy that adds to the loss or calls the
    model itself needs `LinearNudging`. With a read-out, the cost is that of its output, whose weights get the gradient
    at the free equilibrium (Laborieux et al. 2021 take the mean of both nudged states, equal to first order).

    Other arguments:
        nudge: whether the nudge acts `inside` the activation (Laborieux et al. 2021) or `outside` it (Ernoult et al.
            2019).
        cost: the cost C, with reduction `mean`.

    Raises:
        ConfigError: for beta = 0, an unknown name, or a cost that is not a mean over the batch.
    """

    nudge: Literal["inside", "outside"] = "inside"
    cost: Cost = field(default_factory=SquaredError)

    def __post_init__(self) -> None:
        super().__post_init__()
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

        def gradients() -> list[Tensor]:
            return nudged_gradient(network, free, self.force(network, free, labels), self, self.nudge == "outside")[1]

        return self.cost(network.read_out(free.output), labels) + _delivered(network, gradients, len(labels))

    def force(self, network: "Network", free: FreePhase, labels: Tensor) -> Nudge:
        """-dC/ds of each sample as a function of the last state."""
        towards_target = self.cost.nudge(network.read_out(free.output).detach(), labels)
        if network.readout is None:
            return towards_target
        weight = network.readout.weight.detach()
        bias = None if network.readout.bias is None else network.readout.bias.detach()

        def through_read_out(state: Tensor) -> Tensor:
            dtype = torch.promote_types(state.dtype, weight.dtype)  # complex, or that of the read-out
            output = state.flatten(1).to(dtype) @ weight.T.to(dtype)
            force = towards_target(output if bias is None else output + bias) @ weight.to(dtype)
            return force.view(state.shape)

        return through_read_out


@dataclass(frozen=True)
class ContinualNudging(CostNudging):
    """C-EP: the weights move at every nudged step, by the change of dPhi/dtheta in that step.

    The updates of one phase add up to that of `CostNudging` as the learning rate goes to 0. `centered` lets both
    nudged phases advance side by side under the same weights (ours; the paper draws the sign of beta).

    Reference: Ernoult et al. 2020 (arXiv 2005.04168).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phases == "holomorphic" or self.start == "mirrored":
            raise ConfigError(
                "learner.phases: C-EP compares a nudged state with the one a step before, so its phases are "
                f"one_sided, random_sign or centered from the free equilibrium, got {self.phases}, {self.start}."
            )

    def loss(self, network: "Network", free: FreePhase, labels: Tensor) -> Tensor:
        """Mean cost at the free equilibrium; it has no gradient, see `updates`."""
        return self.cost(free.output, labels)

    @torch.no_grad()
    def updates(self, network: "Network", free: FreePhase, labels: Tensor) -> Iterator[list[Tensor]]:
        """Yield the gradient of each nudged step, for every parameter; **the caller moves the weights in between**.

        Args:
            network: the network that `free` came from.
            free: result of `network.free_phase(x)`.
            labels: class indices (B,).
        """
        force = self.force(network, free, labels)

        def nudge(beta: float) -> Nudge:
            return lambda state: beta * force(state)

        sign = network.draw_sign() if self.phases == "random_sign" else 1.0
        betas = (self.beta, -self.beta) if self.phases == "centered" else (sign * self.beta,)
        phases = [[state.clone() for state in free.states] for _ in betas]
        for _ in range(network.nudged_steps):
            with full_precision(free.x):
                dynamics = replace(network.dynamics, nudge_outside=self.nudge == "outside")
                drive = network.drive(free.x)
                terms = []
                for i, beta in enumerate(betas):
                    before = [state.clone() for state in phases[i]]
                    phases[i] = dynamics.relax(drive, phases[i], 1, nudge(beta)).states
                    terms.append(Term(1.0 / (beta * len(betas)), phases[i], before))
                gradients = contrast(network, free, terms, -1.0 / len(labels))
            yield gradients


@dataclass(frozen=True)
class Clamping:
    """Contrastive Hebbian learning (CHL): the output is clamped to the target in the second phase.

    The update is dPhi/dtheta(clamped) - dPhi/dtheta(free). With weak feedback it tends to backpropagation of a loss
    whose gradient before rho is s - y: the squared error where rho' = 1, a quarter of the cross-entropy for shifted
    sigmoids. The network's `adaptation`, if any, follows the clamped steps; in it the output, which has no dynamics of
    its own, goes back from the target towards the free equilibrium (Kubo et al. 2022).

    Args:
        restart: whether the clamped phase starts from zero instead of the free equilibrium.

    References:
        Movellan 1991; Xie & Seung 2003, who weaken the feedback (`feedback_scale`) and scale updates accordingly.
    """

    restart: bool = False
    cost: SquaredError = field(default_factory=SquaredError)

    def loss(self, network: "Network", free: FreePhase, labels: Tensor) -> Tensor:
        """Mean squared error at the free equilibrium; its `backward()` runs the clamped phase."""

        def gradients() -> list[Tensor]:
            start = [torch.zeros_like(s) if self.restart else s.clone() for s in free.states]
            start[-1] = self.cost.target(free.output, labels)
            start = [s.to(network.relaxation_dtype) for s in start]
            plain, adapted = second_phase(network, free, free.dynamics, start, clamped=True)
            return _contrast_after_adaptation(
                network, free, [Term(1.0, plain, free.states)], [Term(1.0, adapted, free.states)]
            )[0]

        return self.cost(free.output, labels) + _delivered(network, gradients, len(labels))


class Equilibrium(torch.autograd.Function):
    """x, parameters -> last state of the free equilibrium; backward is `LinearNudging`."""

    @staticmethod
    def forward(ctx: Any, network: "Network", x: Tensor, *parameters: Tensor) -> Tensor:
        free = network.free_phase(x)
        ctx.network, ctx.nudging, ctx.dynamics = network, network.nudging, free.dynamics
        ctx.save_for_backward(free.x, free.drive, *free.states, *parameters)
        return free.output.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        network: Network = ctx.network
        x, drive, *rest = ctx.saved_tensors  # raises if a parameter was changed in place since the forward
        free = FreePhase(x, drive, tuple(rest[: network.depth]), ctx.dynamics)
        scale = max_abs(gradient)
        if scale == 0.0:
            return None, *(torch.zeros_like(t) for t in (x, *rest[network.depth :]))
        force = -gradient / scale
        with full_precision(x):
            on_input, on_parameters = nudged_gradient(
                network, free, lambda output: force, ctx.nudging, wants_input=ctx.needs_input_grad[1]
            )
        on_input = None if on_input is None else on_input * scale
        return None, on_input, *(g.mul_(scale) for g in on_parameters)


class _Delivered(torch.autograd.Function):
    """parameters -> 0; backward computes their gradients and multiplies them by the incoming one."""

    @staticmethod
    def forward(ctx: Any, gradients: Callable[[], list[Tensor]], batch: int, *parameters: Tensor) -> Tensor:
        ctx.gradients, ctx.batch = gradients, batch
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises if a parameter was changed in place since the free phase
        with full_precision(gradient):
            gradients = ctx.gradients()
        return None, None, *(g.mul_(gradient / ctx.batch) for g in gradients)


def _delivered(network: "Network", gradients: Callable[[], list[Tensor]], batch: int) -> Tensor:
    """Zero, whose gradient for the connections' parameters is the mean of `gradients()` over the batch."""
    return _Delivered.apply(gradients, batch, *network.relaxing_parameters())


def nudged_gradient(
    network: "Network",
    free: FreePhase,
    force: Nudge,
    nudging: Nudging,
    outside: bool = False,
    *,
    wants_input: bool = False,
) -> tuple[Tensor | None, list[Tensor]]:
    """Run the nudged phases from the free equilibrium and contrast them.

    One-sided: -(1 / beta) [dPhi/dtheta(s^beta) - dPhi/dtheta(s*)]; centered:
    -(1 / 2 beta) [dPhi/dtheta(s^+beta) - dPhi/dtheta(s^-beta)] (Laborieux et al. 2021, Eq. 6); holomorphic:
    -(1 / N beta) sum_k exp(-2 pi i k / N) dPhi/dtheta(s^(beta exp(2 pi i k / N))) (Laborieux & Zenke 2022).

    Args:
        network: the network; its `adaptation`, if any, acts after the nudged steps.
        free: where the nudged phases start.
        force: -dC/ds of the last state, (B, ...) -> (B, ...); multiplied by beta.
        nudging: the arrangement of the phases.
        outside: whether the nudge acts outside the activation.
        wants_input: whether to return the gradient for the input as well.

    Returns:
        The gradient for the input (B, ...) or None, and for each parameter of the connections, summed over the batch.
    """
    plain, adapted = nudged_terms(network, free, force, nudging, outside=outside)
    on_parameters, rescaling = _contrast_after_adaptation(network, free, plain, adapted)
    on_input = None
    if wants_input:
        first, *others = (_change(term, network) for term in adapted)
        connection = network.links[0].connection
        pulled = connection.pull_back(sum(others, first), free.x)
        on_input = pulled * (-rescaling * network.gains[0])
    return on_input, on_parameters


def _contrast_after_adaptation(
    network: "Network", free: FreePhase, plain: Sequence[Term], adapted: Sequence[Term]
) -> tuple[list[Tensor], Tensor | float]:
    """The contrast after adaptation, of the norm of the one before if that is asked for, and the factor in it.

    Notes both norms; without adaptation it is the contrast of `adapted` alone.
    """
    gradients = contrast(network, free, adapted, -1.0)
    if network.adaptation is None:
        return gradients, 1.0
    before, after = _norm(contrast(network, free, plain, -1.0)), _norm(gradients)
    network.contrast_norms = (before, after)
    if not network.adaptation.rescale or after == 0.0:
        return gradients, 1.0
    return [g.mul_(before / after) for g in gradients], before / after


def _change(term: Term, network: "Network") -> Tensor:
    """d/dbeta of what the first layer sends."""
    first, second = (network.dynamics.signals(states)[0] for states in (term.first, term.second))
    change = term.coefficient * (first - second)
    return change.real if change.is_complex() else change


def _norm(tensors: list[Tensor]) -> Tensor:
    return torch.stack([t.norm() for t in tensors]).norm()
