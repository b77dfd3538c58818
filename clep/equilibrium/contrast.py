"""The contrast of the states of two phases: what the weights learn from."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.body import FreePhase
from clep.equilibrium.connections import Ends
from clep.equilibrium.phases import Term
from clep.specs.gradients import Rule

RULES: dict[Rule, Callable[[Ends, Ends], Ends | None]] = {
    # dPhi/dtheta at each state; untied forward and feedback weights both use that of their connection (Kubo 2026).
    "contrast": lambda second_phase, free: None,
    # The postsynaptic change times the presynaptic free state. For untied feedback the lower layer is the
    # postsynaptic one (Ernoult et al. 2020; Laborieux et al. 2021).
    "vector_field": lambda second_phase, free: free,
    # The same with the presynaptic state of the second phase (Luczak et al. 2022; Kubo et al. 2022).
    "predictive": lambda second_phase, free: second_phase,
}
"""Name of a learning rule -> the presynaptic signals that it uses, None for those of each state.

With tied feedback the last two leave out the contribution of the feedback. It vanishes as `feedback_scale` goes to 0
(FRE-RNN).
"""


def contrast(free: FreePhase, terms: Sequence[Term], factor: float, rule: Rule) -> list[Tensor]:
    """`factor` * sum of the terms, for each parameter of the connections in their order, summed over the batch."""
    presynaptic, signals = RULES[rule], free.body.dynamics.signals
    sums: list[list[Tensor]] = [[] for _ in free.body.links]
    free_rates = signals(free.states)
    for term in terms:
        first, second = (signals(states) for states in term[1:])
        for i, link in enumerate(free.body.links):
            at_first, at_second, at_rest = (
                (free.x if link.below == 0 else rates[link.below - 1], rates[link.above - 1])
                for rates in (first, second, free_rates)
            )
            coefficient = term.coefficient * factor * free.body.gains[i]
            parts = link.connection.differences(at_first, at_second, presynaptic(at_first, at_rest), coefficient)
            sums[i] = [a.add_(b) for a, b in zip(sums[i], parts, strict=True)] if sums[i] else parts
    return [gradient for parts in sums for gradient in parts]


def adapted_contrast(
    free: FreePhase, plain: Sequence[Term], adapted: Sequence[Term], rule: Rule, adaptation: Adaptation | None
) -> tuple[list[Tensor], Tensor | float]:
    """The negative contrast after adaptation, and the factor in it that restores its norm before adaptation.

    Args:
        free: the free phase.
        plain: terms before adaptation.
        adapted: terms after it.
        rule: a name of `RULES`.
        adaptation: gets both norms; None for the contrast of `adapted` as it is.
    """
    gradients = contrast(free, adapted, -1.0, rule)
    if adaptation is None:
        return gradients, 1.0
    whole = adaptation.over_parts or list[Tensor]
    before, after = _norm(whole(contrast(free, plain, -1.0, rule))), _norm(whole(gradients))
    if adaptation.watch is not None:
        adaptation.watch(before, after)
    if not adaptation.rescale or after == 0.0:
        return gradients, 1.0
    return [g.mul_(before / after) for g in gradients], before / after


def _norm(tensors: list[Tensor]) -> Tensor:
    norm: Tensor = torch.stack([t.norm() for t in tensors]).norm()
    return norm
