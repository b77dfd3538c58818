"""How time and memory grow with the size of a problem: one axis at a time, with a fitted exponent.

Everything else is small, so that what is measured is the growth. Times are CPU seconds of one thread. A stream's memory
is what the process holds more than before; that of an update is what it allocates for a moment.
"""

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clep.bench import updates
from clep.bench.cases import Axis, Case
from clep.datasets import Dataset
from clep.equilibrium import Network
from clep.learner import Learner
from clep.registry import build
from clep.report import plot_scaling
from clep.streams import Stream, stream_of
from clep.training import Training

_FEATURES, _HIDDEN = 16, 16
_SAMPLES, _TESTED = 32, 20  # of an experience
_FITTED = 3  # the largest sizes, where constant costs weigh least
_NOISE = 4e6  # bytes by which a process may grow without a reason
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Growth:
    """How one thing grows; the fields of the JSON of `clep bench scaling`.

    Attributes:
        axis: what grows.
        measured: what was measured.
        sizes: its sizes.
        seconds: CPU seconds for each.
        bytes: memory for each.
        exponent: k of seconds ~ size^k, fitted to the largest sizes; None for one size.
        memory_exponent: the same of the bytes; None where they are lost in noise.
        least: the exponent that it must have.
    """

    axis: str
    measured: str
    sizes: list[int]
    seconds: list[float]
    bytes: list[int]
    exponent: float | None
    memory_exponent: float | None
    least: float


def time_scaling(axis: Axis, sizes: Sequence[int] = ()) -> Growth:
    """Measure one axis, from the smallest size to the largest.

    Args:
        axis: a value of `AXES` in `clep.bench.cases`.
        sizes: other sizes than its own, in ascending order.
    """
    chosen = list(sizes or axis.sizes)
    measure = _MEASURES[axis.name]
    measure(chosen[0])  # imports, compiles, fills caches
    found = [measure(size) for size in chosen]
    seconds, held = [s for s, _ in found], [max(0, b) for _, b in found]
    least = _NOISE if axis.of_stream else 0.0
    return Growth(
        axis.name,
        axis.measured,
        chosen,
        seconds,
        held,
        exponent(chosen, seconds),
        exponent(chosen, held, least),
        axis.least,
    )


def exponent(sizes: Sequence[int], values: Sequence[float], noise: float = 0.0) -> float | None:
    """k of values ~ sizes^k: the slope of the logarithms at the largest sizes; None if fewer than two tell.

    Args:
        sizes: in ascending order.
        values: of each size.
        noise: values up to this one do not count.

    Example:
        >>> exponent([10, 100, 1000], [2.0, 200.0, 20000.0])
        2.0
        >>> exponent([10, 100], [0.0, 3.0], noise=1.0) is None
        True
    """
    told = [(np.log(size), np.log(value)) for size, value in zip(sizes, values, strict=True) if value > noise]
    if len(told) < 2:
        return None
    logarithms: Any = np.array(told[-_FITTED:])
    return round(float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0]), 2)


def format_scaling(growths: Sequence[Growth]) -> str:
    """The exponents as a table for terminals."""
    lines = [f"{'axis':16} {'sizes':>16} {'seconds':>18} {'time ~':>8} {'must':>6} {'memory ~':>9}  of"]
    for g in growths:
        sizes, seconds = f"{g.sizes[0]}..{g.sizes[-1]}", f"{g.seconds[0]:.3g}..{g.seconds[-1]:.3g}"
        grown, held = (f"n^{value:.2f}" if value is not None else "-" for value in (g.exponent, g.memory_exponent))
        lines.append(f"{g.axis:16} {sizes:>16} {seconds:>18} {grown:>8} {f'n^{g.least:g}':>6} {held:>9}  {g.measured}")
    return "\n".join(lines)


def draw(growths: Sequence[Growth], path: Path) -> None:
    """Write the plot of growths as PNG."""
    plot_scaling([(g.axis, g.sizes, g.seconds, g.exponent) for g in growths], path)


def made_stream(experiences: int, *, classes: int = 10, samples: int = _SAMPLES, evaluate: str = "seen") -> Stream:
    """A stream of made-up samples, each experience of all classes in turn, with tests of its own.

    Args:
        experiences: how many.
        classes: how many in all.
        samples: to learn from, in each experience.
        evaluate: see `stream.evaluate`.
    """
    generator = torch.Generator().manual_seed(0)

    def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.arange(max(n, classes)) % classes
        return torch.rand(len(y), _FEATURES, generator=generator), y

    data = Dataset(*part(experiences * samples), *part(experiences * _TESTED), name="made")
    learned, tested = ([range(i * n, (i + 1) * n) for i in range(experiences)] for n in (samples, _TESTED))
    return replace(stream_of(data, learned, tested), evaluate=evaluate)


def _stream(
    size: int, *, make: Callable[[int], Stream], strategies: Callable[[int], dict[str, Any]], of_last: bool = False
) -> tuple[float, int]:
    """CPU seconds and bytes of learning a stream, or of its last experience alone."""
    gc.collect()
    before, marks = _held(), [time.process_time()]
    stream = make(size)
    options = strategies(size)
    learner = Learner(Network([_FEATURES, _HIDDEN, len(stream.class_order)]))
    training = Training(learner, build(list(options), options, seed=0), epochs=1, batch_size=512)
    peak = [0]

    def note(*_: Any) -> None:
        marks.append(time.process_time())
        peak.append(_held() - before)

    training.run(stream, note)
    return marks[-1] - marks[-2 if of_last else 0], max(peak)


def _held() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE if Path("/proc/self/statm").exists() else 0


def _update(size: int, *, case: Callable[[int], Case]) -> tuple[float, int]:
    """CPU seconds and bytes of one update."""
    made = case(size)
    network = updates.network_of(made)
    x, y = torch.rand(made.batch, made.sizes[0]), torch.randint(made.sizes[-1], (made.batch,))
    call = partial(updates.explicit_update, network, made, x, y)
    call()
    start, times = time.process_time(), 0
    while time.process_time() - start < 0.3 or times < 2:
        call()
        times += 1
    return (time.process_time() - start) / times, updates.peak_bytes(call)


def _nothing(size: int) -> dict[str, Any]:
    return {"naive": {}}


_MEASURES: dict[str, Callable[[int], tuple[float, int]]] = {
    "experiences": partial(_stream, make=lambda n: made_stream(n, evaluate=f"every:{n}"), strategies=_nothing),
    "experiences_all": partial(_stream, make=lambda n: made_stream(n, evaluate="all"), strategies=_nothing),
    "classes": partial(_stream, make=lambda n: made_stream(2, classes=n, samples=1000), strategies=_nothing),
    "buffer": partial(
        _stream,
        make=lambda n: _large_then_small(n),
        strategies=lambda n: {"replay": {"mem_size": n}},
        of_last=True,
    ),
    "width": partial(_update, case=lambda n: Case((n, n, 10), batch=32)),
    "depth": partial(_update, case=lambda n: Case((64, *[64] * n, 10), batch=32)),
    "steps": partial(_update, case=lambda n: Case((64, 64, 10), batch=32, free_steps=n, nudged_steps=n // 4)),
}


def _large_then_small(size: int) -> Stream:
    """One experience that fills a memory, and one of `_SAMPLES`."""
    whole = made_stream(2, samples=size + _SAMPLES)
    rows = [range(size), range(size, size + _SAMPLES)]
    data = Dataset(whole.samples.x, whole.samples.y, whole.test[0].samples.x, whole.test[0].samples.y, name="made")
    return stream_of(data, rows, [range(10), range(10, 20)])
