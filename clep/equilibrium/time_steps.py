"""Heterogeneous time steps (HTS): one step dt in (0, 1] per neuron, drawn once from a seeded generator.

Reference: Kubo, Modi & Patel 2026 (arXiv 2603.03402); see `TimeStep`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from clep.errors import ConfigError
from clep.specs.layers import TimeStep

_BISECTIONS = 100

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "scalar": lambda generator, n, spread: np.ones(n),
    "lognormal": lambda generator, n, spread: generator.lognormal(0.0, spread, n),
    "gamma": lambda generator, n, spread: generator.gamma(spread**-2, spread**2, n) if spread else np.ones(n),
    "normal": lambda generator, n, spread: generator.normal(1.0, spread, n),
    "uniform": lambda generator, n, spread: generator.uniform(1.0 - spread, 1.0 + spread, n),
}
"""Family name -> draw of `n` values; their scale is still free."""


def draw_time_steps(time_step: TimeStep, layers: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Draw the steps of all neurons of some layers.

    Clipping to [0.05, 1] shifts the mean of a wide distribution (with spread 1, a log-normal's from 0.8 to 0.55). So
    the scale is solved for: the clipped steps have the mean `time_step.mean`, and heterogeneous and scalar networks
    differ only in the spread.

    Args:
        time_step: how they are drawn.
        layers: number of neurons of each layer, n in all.
        generator: draws the steps.

    Returns:
        Array (n,) of float64 in [min, max] with that mean, layer after layer.

    Raises:
        ConfigError: if the distribution cannot have that mean within its bounds.
    """
    n = sum(layers)
    if time_step.distribution == "scalar" or time_step.spread == 0.0:
        return np.full(n, time_step.mean)
    family = DISTRIBUTIONS[time_step.distribution]
    if time_step.per == "layer":
        raw = np.repeat(family(generator, len(layers), time_step.spread), layers)
    else:
        raw = family(generator, n, time_step.spread)

    def clipped(log_scale: float) -> np.ndarray:
        steps: np.ndarray = np.clip(np.exp(log_scale) * raw, time_step.min, time_step.max)
        return steps

    low, high = -20.0, 20.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if clipped(middle).mean() < time_step.mean else (low, middle)
    steps = clipped(high)
    if abs(steps.mean() - time_step.mean) > 0.01 * time_step.mean:
        raise ConfigError(
            f"time_step.spread: no {time_step.distribution} distribution of spread {time_step.spread} clipped to "
            f"[{time_step.min}, {time_step.max}] has a mean of {time_step.mean}; use a smaller spread"
        )
    return steps


def harmonic_mean(time_step: TimeStep, n: int = 100_000, seed: int = 0) -> float:
    """Harmonic mean of the clipped steps, estimated from `n` draws: the scalar step of equal mean time constant.

    Example:
        >>> from clep.equilibrium import TimeStep
        >>> round(harmonic_mean(TimeStep("lognormal", mean=0.6, spread=0.5)), 2)
        0.49
    """
    return float(1.0 / np.mean(1.0 / draw_time_steps(time_step, [n], np.random.default_rng(seed))))
