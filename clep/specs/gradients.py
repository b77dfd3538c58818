"""The options of the gradient estimates; each is also a key of the section `learner`."""

from dataclasses import dataclass
from typing import Literal

from clep.errors import ConfigError
from clep.specs.options import Spec, option

Phases = Literal["one_sided", "random_sign", "centered", "holomorphic"]
Rule = Literal["contrast", "vector_field", "predictive"]
Start = Literal["free", "mirrored"]


@dataclass(frozen=True)
class Contrasting(Spec):
    """What all estimates that contrast two phases share."""

    rule: Rule = option(
        "contrast",
        "what the phases are compared by: `contrast`, dPhi/dtheta in both; `vector_field`, the postsynaptic change "
        "times the presynaptic free state; `predictive`, that change times the presynaptic state of the second phase",
        kw_only=True,
    )


@dataclass(frozen=True)
class NudgedPhases(Spec):
    """How the nudged phases are arranged.

    Raises:
        ConfigError: for beta = 0, an unknown name, or options that make no sense together.
    """

    beta: float = option(
        0.5,
        "size of the nudge, not 0; the estimate's bias shrinks like beta (`one_sided`), beta squared (`centered`) or "
        "beta^points (`holomorphic`)",
        "(-inf, inf)",
    )
    phases: Phases = option(
        "centered",
        "`one_sided`: contrast with the free state; `random_sign`: the same, with the sign of beta drawn per batch; "
        "`centered`: contrast of +beta and -beta (Laborieux et al. 2021); `holomorphic`: `points` complex betas on a "
        "circle (Laborieux & Zenke 2022)",
    )
    points: int = option(
        4, "number of betas on the circle of `holomorphic`; conjugate pairs are relaxed once", "[2, inf)", kw_only=True
    )
    start: Start = option(
        "free",
        "where the second of two `centered` phases starts: at the free equilibrium (`free`), or at the mirror image of "
        "the first phase's end, which saves steps (`mirrored`)",
        kw_only=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta == 0.0:
            raise ConfigError(
                "beta: expected a number other than 0 (the contrast of the two phases is divided by it), got 0.0; "
                "published runs use 0.1 to 1"
            )
        if self.start == "mirrored" and self.phases != "centered":
            raise ConfigError(
                f"start: `mirrored` is for the second of two `centered` phases, got phases={self.phases}; use "
                "phases=centered"
            )


@dataclass(frozen=True)
class Nudging(Contrasting, NudgedPhases):
    """Nudged phases and how they are compared: the options of `linear`.

    Example:
        >>> Nudging(beta=0.1, phases="centered").rule
        'contrast'
    """


@dataclass(frozen=True)
class CostOptions(Nudging):
    """The options of estimates that are nudged by a cost."""

    nudge: Literal["inside", "outside"] = option(
        "inside",
        "whether the nudge acts inside the activation (Laborieux et al. 2021) or outside it (Ernoult et al. 2019); not "
        "for `linear`",
    )


@dataclass(frozen=True)
class ClampingOptions(Contrasting):
    """The options of `clamped`."""

    restart: bool = option(False, "whether the clamped phase starts from zero instead of the free equilibrium")


@dataclass(frozen=True)
class BackpropagationOptions(Spec):
    """The options of `bptt`."""

    bptt_steps: int | None = option(
        None,
        "how many of the last free steps `bptt` differentiates, null for all; with as many as nudged steps it computes "
        "what equilibrium propagation estimates (Ernoult et al. 2019, theorem 1)",
        "[1, inf)",
    )
