"""Gradient episodic memory (GEM): Avalanche's plugin, with a clear error if its solver is missing.

Reference: Lopez-Paz & Ranzato 2017 (arXiv 1706.08840).
"""

import importlib.util

from avalanche.training.plugins import GEMPlugin

from clep import distribution
from clep.errors import MissingExtraError
from clep.strategy import Memory, Strategy, in_range


class GEM(GEMPlugin, Strategy):
    """Project gradients so that the loss on stored samples of every earlier experience does not grow.

    Args:
        patterns_per_experience: number of samples to store per experience, >= 1.
        memory_strength: offset of the projection in favour of backward transfer (gamma of the paper), >= 0.

    Raises:
        ConfigError: for a value out of range.
        MissingExtraError: if the solver of its quadratic programme is not installed.
    """

    uses_gradients = True
    differentiates_outputs = True  # those of stored samples
    draws_globally = True  # Avalanche's plug-in does

    def __init__(self, patterns_per_experience: int = 20, memory_strength: float = 0.5) -> None:
        if importlib.util.find_spec("quadprog") is None:
            raise MissingExtraError(
                f"strategies: gem needs the solver quadprog; install it with: pip install '{distribution.NAME}[gem]'"
            )
        in_range("patterns_per_experience", patterns_per_experience, 1)
        in_range("memory_strength", memory_strength, 0.0)
        # Avalanche has no types, so mypy sees only the other base; its constructor takes nothing.
        super().__init__(patterns_per_experience, memory_strength)  # type: ignore[call-arg]

    def memory(self) -> Memory:
        """The stored samples; their gradients from the latest update count as statistics."""
        samples = [self.memory_x, self.memory_y]
        return Memory(
            exemplars=sum(map(len, self.memory_y.values())),
            exemplar_bytes=sum(tensor.nbytes for stored in samples for tensor in stored.values()),
            statistics_bytes=self.G.nbytes,
        )
