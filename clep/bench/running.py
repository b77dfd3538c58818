"""Time the cases, and what comes of it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reads it once, at import

import torch

from clep import progress
from clep.bench import cases as known
from clep.bench import pipeline, population, scaling, sleep, updates
from clep.bench.pipeline import PipelineTiming
from clep.bench.population import PopulationTiming
from clep.bench.scaling import Growth
from clep.bench.sleep import SleepTiming
from clep.bench.updates import Timing
from clep.checks import check, one_of

AnyTiming = Timing | SleepTiming | PipelineTiming | PopulationTiming | Growth


@dataclass(frozen=True)
class Timings:
    """The result of `bench`.

    Attributes:
        timings: two per update, synchronous and asynchronous, one per sleep, two per stream, one for each network, one
            per size of a population, and one per axis of growth.
    """

    timings: tuple[AnyTiming, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Plain containers."""
        return [asdict(timing) for timing in self.timings]

    def to_text(self) -> str:
        """Updates, populations, streams and growth as tables, sleeps in words."""
        table = [timing for timing in self.timings if isinstance(timing, Timing)]
        words = [sleep.format_sleep(timing) for timing in self.timings if isinstance(timing, SleepTiming)]
        streams = [timing for timing in self.timings if isinstance(timing, PipelineTiming)]
        growths = [timing for timing in self.timings if isinstance(timing, Growth)]
        sizes = [timing for timing in self.timings if isinstance(timing, PopulationTiming)]
        texts = [updates.format_updates(table)] if table else []
        texts += words + ([population.format_populations(sizes)] if sizes else [])
        more = [pipeline.format_pipelines(streams)] if streams else []
        return "\n".join([*texts, *more, *([scaling.format_scaling(growths)] if growths else [])])


def bench(cases: Sequence[str] = (), *, threads: int = 1, figure: str | Path | None = None) -> Timings:
    """Time the cases; updates both synchronous and asynchronous.

    Args:
        cases: keys of `UPDATES`, `SLEEPS`, `PIPELINES`, `POPULATIONS` or `SCALINGS` in `clep.bench.cases`; all updates
            if empty.
        threads: number of torch's threads.
        figure: file of a plot of the growth that was measured, PNG; None for none.

    Raises:
        ConfigError: for an unknown case, or fewer than 1 thread.
    """
    for name in cases:
        one_of("cases", name, known.every(), "case")
    check("threads", threads, int, "[1, inf)")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        chosen = list(cases) or list(known.UPDATES)
        bar = progress.bar(chosen, desc="bench", unit="case")
        found = Timings(tuple(timing for name in bar for timing in _timings(name)))
        if figure is not None and (growths := [g for g in found.timings if isinstance(g, Growth)]):
            scaling.draw(growths, Path(figure))
        return found
    finally:
        torch.set_num_threads(before)


def _timings(name: str) -> Iterator[AnyTiming]:
    if name in known.UPDATES:
        yield from updates.time_updates(name)
    elif name in known.PIPELINES:
        yield from pipeline.time_pipeline(name)
    elif name in known.SCALINGS:
        yield from map(scaling.time_scaling, [known.AXES[axis] for axis in known.SCALINGS[name]])
    elif name in known.SLEEPS:
        yield sleep.time_sleep(name)
    else:
        yield from population.time_populations(name)
