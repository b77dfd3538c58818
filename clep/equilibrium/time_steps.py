"""Heterogeneous time steps (HTS): one step dt in (0, 1] per neuron, drawn once from a seeded generator.

Reference: Kubo, Modi & Patel 2026 (arXiv 2603.03402). The paper's distributions are not public; the families and the
matching of means below are ours. dt is drawn, not the time constant tau = 1 / dt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clep.errors import ConfigError

_BISECTIONS = 100
SHARING = ("neuron", "layer")

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "scalar": lambda generator, n, spread: np.ones(n),
    "lognormal": lambda generator, n, spread: generator.lognormal(0.0, spread, n),
    "gamma": lambda generator, n, spread: generator.gamma(spread**-2, spread**2, n) if spread else np.ones(n),
    "normal": lambda generator, n, spread: generator.normal(1.0, spread, n),
    "uniform": lambda generator, n, spread: generator.uniform(1.0 - spread, 1.0 + spread, n),
}
"""Family name -> draw of `n` values whose scale is still free."""


@dataclass(frozen=True)
class TimeStep:
    """How the time steps of a network are drawn.

    Args:
        distribution: `scalar` (every step equals `mean`), `lognormal`, `gamma`, `normal` or `uniform`.
        mean: mean step of the network's neurons **after** clipping, in (0, 1].
        spread: width of the family, >= 0: standard deviation of ln dt (lognormal), coefficient of variation (gamma,
            normal), half width divided by the mean (uniform).
        min: smallest step, > 0; the slowest neuron sets how many relaxation steps are needed.
        max: largest step, <= 1; at 1 a neuron jumps to its activation at once.
        per: `neuron`, or `layer` for one draw that all neurons of a layer share, a control.

    Raises:
        ConfigError: for an unknown name or a value out of range.
    """

    distribution: str = "lognormal"
    mean: float = 0.6
    spread: float = 0.5
    min: float = 0.05
    max: float = 1.0
    per: str = "neuron"

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise ConfigError(
                f"network.time_step.distribution: unknown distribution `{self.distribution}`. "
                f"Valid names: {', '.join(DISTRIBUTIONS)}."
            )
        if self.per not in SHARING:
            raise ConfigError(
                f"network.time_step.per: unknown sharing `{self.per}`. Valid names: {', '.join(SHARING)}."
            )
        if not 0.0 < self.min <= self.mean <= self.max <= 1.0:
            raise ConfigError(
                "network.time_step: expected 0 < min <= mean <= max <= 1, "
                f"got min={self.min}, mean={self.mean}, max={self.max}."
            )
        if self.spread < 0.0:
            raise ConfigError(f"network.time_step.spread: expected a float of at least 0, got {self.spread}.")

    def draw(self, layers: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        """Draw the steps of all neurons of some layers.

        Clipping moves the mean of a wide distribution (a log-normal's from 0.8 to 0.55 on [0.05, 1]), so the scale of
        the draw is solved such that the mean of the clipped steps is `mean`: heterogeneous and scalar networks then
        differ in the spread alone.

        Args:
            layers: number of neurons of each, n in all.
            generator: what the steps are drawn from.

        Returns:
            Array (n,) of float64 in [min, max] with mean `mean`, layer after layer.
        """
        n = sum(layers)
        if self.distribution == "scalar" or self.spread == 0.0:
            return np.full(n, self.mean)
        family = DISTRIBUTIONS[self.distribution]
        if self.per == "layer":
            raw = np.repeat(family(generator, len(layers), self.spread), layers)
        else:
            raw = family(generator, n, self.spread)

        def clipped(log_scale: float) -> np.ndarray:
            return np.clip(np.exp(log_scale) * raw, self.min, self.max)

        low, high = -20.0, 20.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if clipped(middle).mean() < self.mean else (low, middle)
        steps = clipped(high)
        if abs(steps.mean() - self.mean) > 0.01 * self.mean:
            raise ConfigError(
                f"network.time_step: no {self.distribution} distribution of spread {self.spread} clipped to "
                f"[{self.min}, {self.max}] has a mean of {self.mean}; use a smaller spread."
            )
        return steps

    def harmonic_mean(self, n: int = 100_000, seed: int = 0) -> float:
        """Harmonic mean of the clipped steps, estimated from `n` draws: the scalar step of equal mean time constant.

        Example:
            >>> round(TimeStep("lognormal", mean=0.6, spread=0.5).harmonic_mean(), 2)
            0.49
        """
        return float(1.0 / np.mean(1.0 / self.draw([n], np.random.default_rng(seed))))
