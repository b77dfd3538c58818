"""What `clep bench` times, by name. Nothing here imports torch, so that the help can list the names."""

from dataclasses import dataclass
from typing import Any

from clep.specs.layers import ConvLayer


@dataclass(frozen=True)
class Case:
    """A network and its phases, with the settings of the public code that the baseline stands for."""

    sizes: tuple[Any, ...]
    batch: int = 200
    free_steps: int = 20
    nudged_steps: int = 4
    beta: float = 0.5


@dataclass(frozen=True)
class SleepCase:
    """A network with random weights U(-1, 1) / sqrt(n_below), and a sleep.

    Attributes:
        sizes: layers from input to output.
        input_spikes: expected number of input spikes per step.
        thresholds: one for each layer above the input.
        change: increment of the rule, in standard deviations of a layer's weights; the decrement is a third of it.
        steps: steps of the sleep.
        torch_steps: steps of the torch loop; its time is scaled to `steps`.
    """

    sizes: tuple[int, ...] = (784, 1200, 1200, 10)
    input_spikes: float = 13.0
    thresholds: tuple[float, ...] = (2.0, 0.1, 0.04)
    change: float = 0.0005
    steps: int = 25_000
    torch_steps: int = 2_000


@dataclass(frozen=True)
class Axis:
    """Something that can grow.

    Attributes:
        name: what it is called.
        measured: what is measured while it grows.
        sizes: its sizes, in ascending order.
        least: the exponent that the time must have.
        of_stream: whether a stream is learned, or one update made.
    """

    name: str
    measured: str
    sizes: tuple[int, ...]
    least: float = 1.0
    of_stream: bool = True


@dataclass(frozen=True)
class PopulationCase:
    """Trainings on class-incremental digits, in one pass and one after another.

    Attributes:
        sizes: layers from input to output.
        counts: numbers of trainings in one pass.
        alone: so many of them, at most, are timed one after another.
    """

    sizes: tuple[int, ...] = (64, 256, 10)
    counts: tuple[int, ...] = (1, 8, 32)
    alone: int = 2
    batch: int = 32
    epochs: int = 10
    free_steps: int = 20
    nudged_steps: int = 6


@dataclass(frozen=True)
class PipelineCase:
    """The digits as a stream, learned by an equilibrium network and by an ordinary one of the same sizes."""

    sizes: tuple[int, ...] = (64, 256, 10)
    experiences: int = 5
    epochs: int = 5
    batch: int = 32
    free_steps: int = 20
    nudged_steps: int = 6
    rounds: int = 9


_CONV4 = tuple(ConvLayer(channels, kernel=3, padding=1) for channels in (32, 64, 128, 128))

UPDATES = {
    "mlp1": Case((784, 512, 10)),
    "mlp2": Case((784, 512, 512, 10)),
    "mlp1_long": Case((784, 512, 10), free_steps=250, nudged_steps=30),
    "conv4": Case(((3, 32, 32), *_CONV4, 10), batch=64),
}
"""Updates, timed by `clep.bench.updates`."""

SLEEPS = {"sleep": SleepCase()}
"""Sleeps, timed by `clep.bench.sleep`."""

POPULATIONS = {"population": PopulationCase()}
"""Trainings in one pass, timed by `clep.bench.population`."""

PIPELINES = {"pipeline": PipelineCase()}
"""Streams, timed by `clep.bench.pipeline`."""

_AXES = (
    Axis("experiences", "a stream that is measured at its end (stream.evaluate=every:n)", (10, 100, 1000)),
    Axis("experiences_all", "a stream, all of it measured after each experience", (10, 30, 100), least=2.0),
    Axis("classes", "two experiences of 1000 samples", (10, 100, 1000)),
    Axis("buffer", "an experience of 32 samples beside stored ones", (100, 1000, 10_000, 100_000), least=0.0),
    Axis("width", "an update of n-n-10", (64, 128, 256, 512, 1024), least=2.0, of_stream=False),
    Axis("depth", "an update of 64-...-64-10 with n hidden layers", (1, 2, 4, 8), of_stream=False),
    Axis("steps", "an update with n free steps", (10, 20, 40, 80, 160), of_stream=False),
)
AXES = {axis.name: axis for axis in _AXES}
"""What `clep bench scaling` lets grow, by name; timed by `clep.bench.scaling`."""

SCALINGS = {"scaling": tuple(AXES)} | {f"scaling:{name}": (name,) for name in AXES}
"""Cases of growth: all axes, or one."""


def every() -> list[str]:
    """The names of all cases.

    Example:
        >>> "sleep" in every()
        True
    """
    return [*UPDATES, *SLEEPS, *PIPELINES, *POPULATIONS, *SCALINGS]
