"""The nudged or clamped phases of an update."""

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.bernoulli import Bernoulli
from clep.equilibrium.body import FreePhase
from clep.equilibrium.compiled import Course
from clep.equilibrium.dynamics import Dynamics, Stop
from clep.equilibrium.motions import Affine, Nudge
from clep.specs.gradients import Nudging

_SMALL = 2**17  # entries of the states of both phases: beyond that, the arithmetic costs more than the calls


class Term(NamedTuple):
    """The real part of `coefficient` * [dPhi/dtheta(first) - dPhi/dtheta(second)]."""

    coefficient: complex
    first: Sequence[Tensor]
    second: Sequence[Tensor]


class Phase(NamedTuple):
    """States at the end of a second phase, before and after adaptation; the same twice without adaptation."""

    plain: list[Tensor]
    adapted: list[Tensor]


def nudged_terms(
    free: FreePhase,
    force: Nudge,
    nudging: Nudging,
    *,
    twice: Callable[[], Nudge] | None = None,
    outside: bool = False,
    adaptation: Adaptation | None = None,
) -> tuple[list[Term], list[Term]]:
    """Run the nudged phases; the sum of the terms estimates d/dbeta dPhi/dtheta at beta = 0.

    Args:
        free: where the nudged phases start.
        force: -dC/ds of the last state, (B, ...) -> (B, ...); multiplied by beta.
        nudging: the arrangement of the phases.
        twice: makes the force on two copies of the batch, one below the other, (2 B, ...) -> (2 B, ...); with it, both
            centered phases may run as one of twice the size.
        outside: whether the nudge acts outside the activation.
        adaptation: extra steps after the nudged ones.

    Returns:
        The terms before and after adaptation.
    """
    beta = signed_beta(free, nudging)
    dynamics = nudged(free.body.dynamics, outside)

    def relaxed(amount: complex, start: Sequence[Tensor] = free.states) -> Phase:
        taken, dtype = dynamics, free.body.dtype
        if isinstance(amount, complex):
            taken, dtype = nudged(free.body.own_dynamics, outside), free.x.dtype.to_complex()
        states = [state.to(dtype, copy=True) for state in start]
        return second_phase(free, taken, states, nudge_by(amount, force), adaptation=adaptation)

    def terms(index: int, points: Sequence[Phase]) -> list[Term]:
        states = [point[index] for point in points]
        if nudging.phases == "centered":
            return [Term(1.0 / (2.0 * beta), *states)]
        if nudging.phases != "holomorphic":
            return [Term(1.0 / beta, states[0], free.states)]
        n = nudging.points
        opposite = states.pop() if n % 2 == 0 else free.states
        around = [
            Term(2.0 * cmath.rect(1.0, -math.tau * k / n) / (n * beta), states[k], free.states)
            for k in range(1, len(states))
        ]
        return [Term(1.0 / (n * beta), states[0], opposite), *around]

    side_by_side = nudging.phases == "centered" and nudging.start == "free"
    compiled = _compiled(free, dynamics, free.states, force, (beta, -beta), adaptation) if side_by_side else None
    if compiled is not None:
        points = compiled
    elif side_by_side and twice is not None and _pays_together(free):
        points = _both(free, dynamics, beta, twice(), adaptation)
    elif nudging.phases == "centered":
        first = relaxed(beta)
        mirror = [2.0 * s - state for s, state in zip(free.states, first.plain, strict=True)]
        points = [first, relaxed(-beta, mirror if nudging.start == "mirrored" else free.states)]
    elif nudging.phases == "holomorphic":
        points = [relaxed(beta * _root(k, nudging.points)) for k in range(nudging.points // 2 + 1)]
    else:
        points = [relaxed(beta)]
    return terms(0, points), terms(1, points)


def _pays_together(free: FreePhase) -> bool:
    """Whether two phases cost less as one of twice the batch: the calls of small ones do, their arithmetic does not.

    Spikes are drawn for a batch, so spiking neurons keep phases of their own.
    """
    small = 2 * sum(state.numel() for state in free.states) <= _SMALL
    return small and not isinstance(free.body.dynamics.motion, Bernoulli)


def _both(free: FreePhase, dynamics: Dynamics, beta: float, force: Nudge, adaptation: Adaptation | None) -> list[Phase]:
    """The phases of beta and -beta, as one of twice the batch."""
    n = len(free.x)
    two = replace(free, drive=_two(free.drive), states=tuple(_two(state) for state in free.states))
    betas = free.x.new_full((2 * n, *[1] * (free.output.dim() - 1)), beta)
    betas[n:] = -beta
    states = [state.to(free.body.dtype, copy=adaptation is not None) for state in two.states]
    phase = second_phase(two, dynamics, states, lambda state: betas * force(state), adaptation=adaptation)
    up, down = ([[state[half] for state in end] for end in phase] for half in (slice(n), slice(n, None)))
    return [Phase(*up), Phase(*down)]


def _two(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor])


def signed_beta(free: FreePhase, nudging: Nudging) -> float:
    """beta of this update, with a sign drawn for `random_sign`."""
    return nudging.beta * (free.body.draw_sign() if nudging.phases == "random_sign" else 1.0)


def nudge_by(beta: complex, force: Nudge) -> Nudge:
    """The force times beta."""
    if isinstance(force, Affine) and isinstance(beta, float):
        return replace(force, factor=beta * force.factor)
    return lambda state: beta * force(state)


def nudged(dynamics: Dynamics, outside: bool) -> Dynamics:
    """The dynamics with the nudge inside or outside the activation; energy-based dynamics have no outside."""
    motion = dynamics.motion
    return replace(dynamics, motion=replace(motion, nudge_outside=True)) if outside else dynamics  # type: ignore[type-var]


def second_phase(
    free: FreePhase,
    dynamics: Dynamics,
    states: list[Tensor],
    nudge: Nudge | None = None,
    *,
    clamped: bool = False,
    adaptation: Adaptation | None = None,
) -> Phase:
    """Relax from `states` (**overwritten**) with the last layer nudged or clamped, then adapt.

    A clamped layer has no dynamics of its own: adaptation only mixes in the free equilibrium and so lets go of the
    clamp, s_L <- (1 - rate) s_L + rate s*_L.
    """
    compiled = _compiled(free, dynamics, states, nudge, (1.0,), adaptation, clamped=clamped)
    if compiled is not None:
        return compiled[0]
    dtype = states[0].dtype
    drive = free.drive.to(dtype)
    plain = dynamics.relax(drive, states, Stop(free.body.nudged_steps), nudge, clamped=clamped).states
    adapted = plain
    if adaptation is not None:
        adapted = [state.clone() for state in plain]
        for _ in range(adaptation.steps):
            adapted = dynamics.relax(drive, adapted, Stop(1), nudge, clamped=clamped).states
            for state, target in zip(adapted, free.states, strict=True):
                state.lerp_(target.to(dtype), adaptation.rate)
    real = free.x.dtype
    return Phase(*([s if s.is_complex() else s.to(real) for s in states] for states in (plain, adapted)))


def _compiled(
    free: FreePhase,
    dynamics: Dynamics,
    start: Sequence[Tensor],
    nudge: Nudge | None,
    factors: Sequence[float],
    adaptation: Adaptation | None,
    *,
    clamped: bool = False,
) -> list[Phase] | None:
    """Phases from the same states, one for each factor on the nudge, in one compiled call; None if it cannot be."""
    steps = dynamics.compiled_steps(free.drive, nudge)
    if steps is None:
        return None
    course = Course(dynamics.groups(len(start) - clamped), free.body.nudged_steps).then(adaptation)
    ended = steps.relax(course, free.drive, start, nudge, [factors], free.states)  # type: ignore[arg-type]
    return [Phase(*ends) for ends in zip(ended.states, ended.adapted, strict=True)]


def _root(k: int, n: int) -> complex:
    """The k-th of the n-th roots of one; a float if it is real."""
    return {0: 1.0, n / 2: -1.0}.get(k, cmath.rect(1.0, math.tau * k / n))
