"""How fast clep is: whole updates beside an autograd baseline, a sleep beside a torch loop."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reads it once, when torch is imported

import torch

from clep import progress
from clep.bench import sleep, updates
from clep.bench.sleep import SleepTiming
from clep.bench.updates import Timing
from clep.errors import ConfigError
from clep.schema import unknown


def bench(cases: Sequence[str] = (), *, threads: int = 1) -> list[Timing | SleepTiming]:
    """Time the cases, updates synchronous and asynchronous.

    Args:
        cases: names of `updates.CASES`, none for all of them; or of `sleep.CASES`.
        threads: threads of torch.

    Raises:
        ConfigError: for an unknown case.
    """
    for name in cases:
        if name not in (known := [*updates.CASES, *sleep.CASES]):
            raise ConfigError(f"bench: {unknown(name, known, 'case')}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        chosen = list(cases) or list(updates.CASES)
        return [timing for name in progress.bar(chosen, desc="bench", unit="case") for timing in _timings(name)]
    finally:
        torch.set_num_threads(before)


def to_json(timings: Sequence[Timing | SleepTiming]) -> str:
    """The timings as a JSON list."""
    return json.dumps([asdict(timing) for timing in timings])


def format_timings(timings: Sequence[Timing | SleepTiming]) -> str:
    """The timings for terminals: updates as a table, sleeps in words."""
    table = [t for t in timings if isinstance(t, Timing)]
    words = [sleep.format_sleep(t) for t in timings if isinstance(t, SleepTiming)]
    return "\n".join([updates.format_updates(table), *words] if table else words)


def _timings(name: str) -> Iterator[Timing | SleepTiming]:
    if name in updates.CASES:
        yield from updates.time_updates(name)
    else:
        yield sleep.time_sleep(name)
