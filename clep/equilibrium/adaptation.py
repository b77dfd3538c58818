"""Neuronal adaptation: extra steps that pull a nudged state back towards the free equilibrium."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from clep.specs.options import Spec, option


@dataclass(frozen=True)
class Adaptation(Spec):
    """After the nudged steps, `steps` more of  s <- (1 - rate) F_beta(s) + rate s*,  outputs included.

    F_beta is one ordinary nudged step. In CHL it leaves the clamped output where it is, so (1 - rate)^steps of the
    clamp remains. Adaptation shrinks the contrast of the two phases. Under centered nudging it shrinks all of it by
    nearly the same factor, much like a smaller learning rate. `rescale` restores the original norm, so only the change
    of direction remains.

    Reference: Kubo, Chalmers & Luczak 2022 (arXiv 2204.14008), Eq. 8; the extension to two nudged phases is ours.

    Args:
        watch: called for every contrast with its norm over all parameters before and after adaptation, two () tensors,
            without the scale of the loss and before any rescaling.
        over_parts: where a batch is shared by several processes, contrast of this part -> that of the whole batch, for
            each parameter; None for a batch in one piece.

    Raises:
        ConfigError: for a number out of range.

    Example:
        >>> from clep.equilibrium import CostNudging
        >>> CostNudging(beta=0.5, adaptation=Adaptation(steps=3)).adaptation.rate
        0.1
    """

    steps: int = option(5, "number of adaptation steps", "[0, inf)")
    rate: float = option(0.1, "share of the free equilibrium in each step", "[0, 1]")
    rescale: bool = option(True, "whether the update keeps the norm that it had before adaptation")
    watch: Callable[[Tensor, Tensor], None] | None = field(default=None, compare=False)
    over_parts: Callable[[Sequence[Tensor]], list[Tensor]] | None = field(default=None, compare=False)
