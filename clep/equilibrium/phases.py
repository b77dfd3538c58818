"""The nudged phases of an update and the contrast of their equilibria."""

import cmath
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from torch import Tensor

from clep.equilibrium.dynamics import Dynamics, Nudge
from clep.errors import ConfigError

if TYPE_CHECKING:
    from clep.equilibrium.network import Network

Phases = Literal["one_sided", "random_sign", "centered", "holomorphic"]
PHASES: tuple[Phases, ...] = ("one_sided", "random_sign", "centered", "holomorphic")
Start = Literal["free", "mirrored"]
STARTS: tuple[Start, ...] = ("free", "mirrored")


@dataclass(frozen=True)
class FreePhase:
    """Result of a free phase: what the nudged phases start from.

    Attributes:
        x: input (B, ...), shaped as layer 0.
        drive: W_1 x + b_1, (B, ...), shaped as layer 1.
        states: equilibrium of the layers above the input, (B, ...) each.
        dynamics: the relaxation that found it.
    """

    x: Tensor
    drive: Tensor
    states: tuple[Tensor, ...]
    dynamics: Dynamics

    @property
    def output(self) -> Tensor:
        """State of the last layer, (B, ...)."""
        return self.states[-1]


@dataclass(frozen=True)
class Nudging:
    """How the nudged phases are arranged.

    Args:
        beta: size of the nudge, not 0; the bias of the estimate falls as beta (`one_sided`), beta squared (`centered`)
            or beta^points (`holomorphic`).
        phases: `one_sided` (contrast with the free state), `random_sign` (the same with the sign of beta drawn for each
            batch), `centered` (contrast of +beta and -beta; Laborieux et al. 2021) or `holomorphic` (`points` complex
            betas on a circle; Laborieux & Zenke 2022).

    Other arguments:
        points: number of betas on the circle of `holomorphic`, >= 2; conjugate pairs are relaxed once.
        start: where the second phase of `centered` starts: at the `free` equilibrium, or `mirrored`, at the reflection
            of the first phase's end about it, which saves steps.

    Raises:
        ConfigError: for beta = 0, an unknown name, or a combination without meaning.
    """

    beta: float = 0.5
    phases: Phases = "centered"
    _: KW_ONLY
    points: int = 4
    start: Start = "free"

    def __post_init__(self) -> None:
        if self.beta == 0.0:
            raise ConfigError(
                "learner.beta: expected a float other than 0 (the contrast of the two phases is divided by it), got "
                "0.0; published runs use 0.1 to 1."
            )
        for key, value, valid in (("phases", self.phases, PHASES), ("start", self.start, STARTS)):
            if value not in valid:
                raise ConfigError(f"learner.{key}: unknown {key} `{value}`. Valid names: {', '.join(valid)}.")
        if self.points < 2:
            raise ConfigError(f"learner.points: expected an integer of at least 2, got {self.points}.")
        if self.start == "mirrored" and self.phases != "centered":
            raise ConfigError(
                f"learner.start: `mirrored` starts the second of two `centered` phases, got phases `{self.phases}`."
            )


class Term(NamedTuple):
    """`coefficient` * [dPhi/dtheta(first) - dPhi/dtheta(second)], of which the real part counts."""

    coefficient: complex
    first: Sequence[Tensor]
    second: Sequence[Tensor]


def nudged_terms(
    network: "Network", free: FreePhase, force: Nudge, nudging: Nudging, *, outside: bool = False
) -> tuple[list[Term], list[Term]]:
    """Run the nudged phases; the sum of the terms estimates d/dbeta dPhi/dtheta at beta = 0.

    Args:
        network: the network; its `adaptation`, if any, acts after the nudged steps.
        free: where the nudged phases start.
        force: -dC/ds of the last state, (B, ...) -> (B, ...); multiplied by beta.
        nudging: the arrangement of the phases.
        outside: whether the nudge acts outside the activation.

    Returns:
        The terms without and with neuronal adaptation; the same twice if the network has none.
    """
    beta = nudging.beta * (network.draw_sign() if nudging.phases == "random_sign" else 1.0)

    def relaxed(amount: complex, start: Sequence[Tensor] = free.states) -> tuple[list[Tensor], list[Tensor]]:
        return _nudged_phase(network, free, lambda output: amount * force(output), start, amount, outside)

    def terms(index: int, points: Sequence[tuple[list[Tensor], list[Tensor]]]) -> list[Term]:
        ends = [point[index] for point in points]
        if nudging.phases == "centered":
            return [Term(1.0 / (2.0 * beta), *ends)]
        if nudging.phases != "holomorphic":
            return [Term(1.0 / beta, ends[0], free.states)]
        n = nudging.points
        opposite = ends.pop() if n % 2 == 0 else free.states
        around = [
            Term(2.0 * cmath.rect(1.0, -math.tau * k / n) / (n * beta), ends[k], free.states)
            for k in range(1, len(ends))
        ]
        return [Term(1.0 / (n * beta), ends[0], opposite), *around]

    if nudging.phases == "centered":
        first = relaxed(beta)
        mirror = [2.0 * s - end for s, end in zip(free.states, first[0], strict=True)]
        points = [first, relaxed(-beta, mirror if nudging.start == "mirrored" else free.states)]
    elif nudging.phases == "holomorphic":
        points = [relaxed(beta * _root(k, nudging.points)) for k in range(nudging.points // 2 + 1)]
    else:
        points = [relaxed(beta)]
    return terms(0, points), terms(1, points)


def _root(k: int, n: int) -> complex:
    """k-th of the n-th roots of one; a float where it is real."""
    return {0: 1.0, n / 2: -1.0}.get(k, cmath.rect(1.0, math.tau * k / n))


def _nudged_phase(
    network: "Network", free: FreePhase, nudge: Nudge, start: Sequence[Tensor], amount: complex, outside: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """States after the nudged steps, and after adaptation."""
    dynamics, dtype = free.dynamics, network.relaxation_dtype
    if isinstance(amount, complex):
        dynamics, dtype = network.dynamics, free.x.dtype.to_complex()
    dynamics = replace(dynamics, nudge_outside=outside)
    return second_phase(network, free, dynamics, [state.to(dtype, copy=True) for state in start], nudge)


def second_phase(
    network: "Network",
    free: FreePhase,
    dynamics: Dynamics,
    states: list[Tensor],
    nudge: Nudge | None = None,
    *,
    clamped: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Relax from `states`, **overwritten**, whose last layer is nudged or clamped, then adapt.

    What is clamped has no dynamics of its own: in adaptation it takes the share of the free equilibrium alone, which
    lets go of it, s_L <- (1 - rate) s_L + rate s*_L.

    Returns:
        States after the nudged steps, and after adaptation; the same twice if the network has none.
    """
    dtype = states[0].dtype
    drive = free.drive.to(dtype)
    ends = dynamics.relax(drive, states, network.nudged_steps, nudge, clamped=clamped).states
    adapted = ends
    if network.adaptation is not None:
        adapted = [state.clone() for state in ends]
        for _ in range(network.adaptation.steps):
            adapted = dynamics.relax(drive, adapted, 1, nudge, clamped=clamped).states
            for state, target in zip(adapted, free.states, strict=True):
                state.lerp_(target.to(dtype), network.adaptation.rate)
    real = free.x.dtype
    plain, after = ([s if s.is_complex() else s.to(real) for s in states] for states in (ends, adapted))
    return plain, after


def contrast(network: "Network", free: FreePhase, terms: Sequence[Term], factor: float) -> list[Tensor]:
    """`factor` * sum of the terms, for each parameter of the connections in their order, summed over the batch.

    Rule `contrast`: the difference of dPhi/dtheta; with untied feedback both sets of weights take that of their
    connection (Kubo 2026). Rule `vector_field`: the postsynaptic change times the presynaptic free state, where for
    untied feedback the lower layer is the postsynaptic one (Ernoult et al. 2020; Laborieux et al. 2021). Rule
    `predictive`: the same with the presynaptic state of the second phase (Luczak et al. 2022; Kubo et al. 2022).
    """
    sums: list[list[Tensor]] = [[] for _ in network.links]
    rest = network.dynamics.signals(free.states)
    for term in terms:
        first, second = (network.dynamics.signals(states) for states in term[1:])
        for i, link in enumerate(network.links):
            at_first, at_second, at_rest = (
                (free.x if link.below == 0 else signals[link.below - 1], signals[link.above - 1])
                for signals in (first, second, rest)
            )
            coefficient = term.coefficient * factor * network.gains[i]
            parts = link.connection.differences(at_first, at_second, at_rest, coefficient, network.rule)
            sums[i] = [a.add_(b) for a, b in zip(sums[i], parts, strict=True)] if sums[i] else parts
    return [gradient for parts in sums for gradient in parts]
