"""Neuronal adaptation: extra steps that pull a nudged state back towards the free equilibrium."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from clep.specs.options import Spec, option


@dataclass(frozen=True)
class Adaptation(Spec):
    """After the nudged steps, `steps` more of  s <- (1 - rate) F_beta(s) + rate s*,  outputs included.

    F_beta is one ordinary nudged step; in CHL it leaves the clamped output where it is, so that (1 - rate)^steps of the
    clamp is left in the end. Adaptation shrinks the contrast of the two phases, under centered nudging by nearly one
    factor, i.e. acts as a smaller learning rate; `rescale` restores the norm it had before, so that what is left is
    adaptation's change of direction.

    Reference: Kubo, Chalmers & Luczak 2022 (arXiv 2204.14008), Eq. 8; the extension to two nudged phases is ours.

    Args:
        watch: told the norm over all parameters of every contrast before and after adaptation, () tensors, without the
            scale of the loss and before any rescaling.

    Raises:
        ConfigError: for a number out of range.
    """

    steps: int = option(5, "number of adaptation steps", "[0, inf)")
    rate: float = option(0.1, "share c of the free equilibrium in each step", "[0, 1]")
    rescale: bool = option(True, "whether the update keeps the norm it had before adaptation")
    watch: Callable[[Tensor, Tensor], None] | None = field(default=None, compare=False)
