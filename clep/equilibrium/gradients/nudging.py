"""Nudged phases and their contrast: what linear and cost nudging share."""

from collections.abc import Callable, Sequence

from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.body import FreePhase
from clep.equilibrium.contrast import adapted_contrast
from clep.equilibrium.motions import Nudge
from clep.equilibrium.phases import Term, nudged_terms
from clep.specs.gradients import Nudging


def nudged_gradient(
    free: FreePhase,
    force: Nudge,
    nudging: Nudging,
    *,
    twice: Callable[[], Nudge] | None = None,
    outside: bool = False,
    adaptation: Adaptation | None = None,
    wants_input: bool = False,
) -> tuple[Tensor | None, list[Tensor]]:
    """Run the nudged phases from the free equilibrium and contrast them.

    One-sided: -(1 / beta) [dPhi/dtheta(s^beta) - dPhi/dtheta(s*)]; centered:
    -(1 / 2 beta) [dPhi/dtheta(s^+beta) - dPhi/dtheta(s^-beta)] (Laborieux et al. 2021, Eq. 6); holomorphic:
    -(1 / N beta) sum_k exp(-2 pi i k / N) dPhi/dtheta(s^(beta exp(2 pi i k / N))) (Laborieux & Zenke 2022).

    Args:
        free: where the nudged phases start.
        force: -dC/ds of the last state, (B, ...) -> (B, ...); multiplied by beta.
        nudging: the arrangement of the phases and the learning rule.
        twice: makes the force on two copies of the batch, one below the other; see `nudged_terms`.
        outside: whether the nudge acts outside the activation.
        adaptation: extra steps after the nudged ones.
        wants_input: whether to return the gradient for the input too.

    Returns:
        The gradient for the input (B, ...) or None, and for each parameter of the connections, summed over the batch.
    """
    plain, adapted = nudged_terms(free, force, nudging, twice=twice, outside=outside, adaptation=adaptation)
    on_parameters, rescaling = adapted_contrast(free, plain, adapted, nudging.rule, adaptation)
    on_input = None
    if wants_input:
        pulled = free.body.links[0].connection.pull_back(_change_of_first_layer(free, adapted), free.x)
        on_input = pulled * (-rescaling * free.body.gains[0])
    return on_input, on_parameters


def _change_of_first_layer(free: FreePhase, terms: Sequence[Term]) -> Tensor:
    """d/dbeta of what the first layer sends."""

    def change(term: Term) -> Tensor:
        first, second = (free.body.dynamics.signals(states)[0] for states in (term.first, term.second))
        moved = term.coefficient * (first - second)
        return moved.real if moved.is_complex() else moved

    first, *others = map(change, terms)
    return sum(others, first)
