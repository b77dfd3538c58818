"""How much faster trainings are in one pass than one after another.

All sides train the same learners on class-incremental digits, evaluation included, and take turns: those in one pass,
those alone, and those alone by steps of torch. CPU time is measured, so that other work on the machine counts little.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from clep import streams
from clep.bench import cases
from clep.bench.cases import PopulationCase
from clep.equilibrium import Network
from clep.learner import Learner
from clep.population.training import train_together
from clep.streams import Stream
from clep.training import Training

_ROUNDS = 3


@dataclass(frozen=True)
class PopulationTiming:
    """One size of a population; the fields of the JSON of `clep bench population`.

    Attributes:
        size: S, the number of trainings.
        milliseconds: CPU time of one update of one member, in one pass.
        alone_milliseconds: the same in a training of its own; of at most `PopulationCase.alone` of them.
        torch_milliseconds: the same by steps of torch (`network.compiled=off`).
        images_per_second: of all members together.
        ratio: `alone_milliseconds` over `milliseconds`, the median over the rounds.
        spread: (smallest, largest) ratio over the rounds.
        torch_ratio: `torch_milliseconds` over `milliseconds`, likewise.
        torch_spread: likewise.
    """

    case: str
    size: int
    milliseconds: float
    alone_milliseconds: float
    torch_milliseconds: float
    images_per_second: float
    ratio: float
    spread: tuple[float, float]
    torch_ratio: float
    torch_spread: tuple[float, float]


def time_populations(name: str) -> Iterator[PopulationTiming]:
    """Time one of `cases.POPULATIONS`, each of its sizes, on torch's current number of threads."""
    case = cases.POPULATIONS[name]
    data = [streams.stream("digits", experiences=5, seed=seed) for seed in range(max(case.counts))]
    _updates_per_second(case, data[:1])  # loads what the first training loads
    for size in case.counts:
        alone, rounds = data[: min(size, case.alone)], []
        for _ in range(_ROUNDS):
            sides = (
                _updates_per_second(case, alone),
                _updates_per_second(case, alone, compiled="off"),
                _updates_per_second(case, data[:size], together=True),
            )
            rounds.append(sides)
        one, by_torch, quick = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratios = [[sides[2] / sides[i] for sides in rounds] for i in range(2)]
        yield PopulationTiming(
            case=name,
            size=size,
            milliseconds=1e3 / quick,
            alone_milliseconds=1e3 / one,
            torch_milliseconds=1e3 / by_torch,
            images_per_second=quick * case.batch,
            ratio=statistics.median(ratios[0]),
            spread=(min(ratios[0]), max(ratios[0])),
            torch_ratio=statistics.median(ratios[1]),
            torch_spread=(min(ratios[1]), max(ratios[1])),
        )


def format_populations(timings: Sequence[PopulationTiming]) -> str:
    """The timings as a table for terminals."""
    lines = [f"{'case':10} {'S':>3} {'one pass':>10} {'alone':>10} {'ratio':>22} {'by torch':>10} {'ratio':>22}"]
    for t in timings:
        own, torch = (
            f"{ratio:.2f} ({low:.2f} to {high:.2f})"
            for ratio, (low, high) in ((t.ratio, t.spread), (t.torch_ratio, t.torch_spread))
        )
        lines.append(
            f"{t.case:10} {t.size:3d} {t.milliseconds:7.2f} ms {t.alone_milliseconds:7.2f} ms {own:>22} "
            f"{t.torch_milliseconds:7.2f} ms {torch:>22}"
        )
    return "\n".join(lines)


def _updates_per_second(
    case: PopulationCase, data: list[Stream], *, together: bool = False, compiled: Literal["auto", "off"] = "auto"
) -> float:
    trainings = [_training(case, seed, compiled) for seed in range(len(data))]
    start = time.process_time()
    if together:
        results = [outcome.value for outcome in train_together(trainings, data)]
    else:
        results = [training.run(stream) for training, stream in zip(trainings, data, strict=True)]
    seconds = time.process_time() - start
    return float(sum(result.reports[-1].updates for result in results)) / seconds


def _training(case: PopulationCase, seed: int, compiled: str) -> Training:
    steps = {"free_steps": case.free_steps, "nudged_steps": case.nudged_steps}
    network = Network(case.sizes, seed=seed, compiled=compiled, **steps)  # type: ignore[arg-type]
    return Training(Learner(network), seed=seed, batch_size=case.batch, epochs=case.epochs)
