"""Free phases that never settle: training counts them and warns once."""

import warnings

from torch import Tensor

from clep.equilibrium import FreePhase
from clep.errors import SettlingWarning


class Unsettled:
    """Counts the free phases of training that oscillate or diverge, and warns once."""

    def __init__(self) -> None:
        self.batches = self.bad = 0
        self.latest: tuple[Tensor, int] | None = None
        self._told = False

    def look(self, free: FreePhase) -> None:
        """Count a free phase."""
        self.batches += 1
        self.latest = free.residual, free.steps
        trouble = free.trouble()
        if trouble is None:
            return
        self.bad += 1
        if not self._told:
            self._told = True
            warnings.warn(
                f"The free phase {trouble}: its residual is {float(free.residual):.2g} after {free.steps} steps and "
                f"was {float(free.halfway):.2g} halfway. Smaller steps (network.time_step.mean), weaker feedback "
                "(network.feedback_scale), asynchronous relaxation or a lower learner.lr let it settle; "
                "`train/unsettled` is the share of such batches.",
                SettlingWarning,
                stacklevel=2,
            )

    def take(self) -> float:
        """Share of unsettled batches since the last call."""
        share = self.bad / max(1, self.batches)
        self.batches = self.bad = 0
        return share
