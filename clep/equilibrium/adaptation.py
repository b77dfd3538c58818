"""Neuronal adaptation: extra steps that pull a nudged state back towards the free equilibrium."""

from dataclasses import dataclass

from clep.errors import ConfigError


@dataclass(frozen=True)
class Adaptation:
    """After the nudged steps, `steps` more of  s <- (1 - rate) F_beta(s) + rate s*,  outputs included.

    F_beta is one ordinary nudged step; in CHL it leaves the clamped output where it is, so that (1 - rate)^steps of the
    clamp is left in the end. Adaptation shrinks the contrast of the two phases, under centered nudging by nearly one
    factor, i.e. acts as a smaller learning rate; `rescale` restores the norm it had before, so that what is left is
    adaptation's change of direction.

    Reference: Kubo, Chalmers & Luczak 2022 (arXiv 2204.14008), Eq. 8; the extension to two nudged phases is ours.

    Args:
        steps: number of adaptation steps, >= 0.
        rate: c of the equation, in [0, 1].
        rescale: whether the update keeps the norm it had before adaptation.
    """

    steps: int = 5
    rate: float = 0.1
    rescale: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"steps: expected an integer of at least 0, got {self.steps}.")
        if not 0.0 <= self.rate <= 1.0:
            raise ConfigError(f"rate: expected a float in [0, 1], got {self.rate}.")
