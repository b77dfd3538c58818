"""How much faster trainings are in one pass than one after another.

Both sides train the same learners on class-incremental digits, evaluation included; they take turns. CPU time is
measured, so that other work on the machine counts little.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

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
        images_per_second: of all members together.
        ratio: `alone_milliseconds` over `milliseconds`, the median over the rounds.
        spread: (smallest, largest) ratio over the rounds.
    """

    case: str
    size: int
    milliseconds: float
    alone_milliseconds: float
    images_per_second: float
    ratio: float
    spread: tuple[float, float]


def time_populations(name: str) -> Iterator[PopulationTiming]:
    """Time one of `cases.POPULATIONS`, each of its sizes, on torch's current number of threads."""
    case = cases.POPULATIONS[name]
    data = [streams.stream("digits", experiences=5, seed=seed) for seed in range(max(case.counts))]
    _updates_per_second(case, data[:1])  # loads what the first training loads
    for size in case.counts:
        alone, pairs = data[: min(size, case.alone)], []
        for _ in range(_ROUNDS):
            pairs.append((_updates_per_second(case, alone), _updates_per_second(case, data[:size], together=True)))
        slow, quick = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratios = [together / one for one, together in pairs]
        yield PopulationTiming(
            case=name,
            size=size,
            milliseconds=1e3 / quick,
            alone_milliseconds=1e3 / slow,
            images_per_second=quick * case.batch,
            ratio=statistics.median(ratios),
            spread=(min(ratios), max(ratios)),
        )


def format_population(timing: PopulationTiming) -> str:
    """A timing as text for terminals."""
    low, high = timing.spread
    return (
        f"{timing.case}: {timing.size} in one pass, {timing.milliseconds:.2f} ms an update and "
        f"{timing.images_per_second:.0f} images/s; alone {timing.alone_milliseconds:.2f} ms, "
        f"ratio {timing.ratio:.2f} ({low:.2f} to {high:.2f})"
    )


def _updates_per_second(case: PopulationCase, data: list[Stream], *, together: bool = False) -> float:
    trainings = [_training(case, seed) for seed in range(len(data))]
    start = time.process_time()
    if together:
        results = [outcome.value for outcome in train_together(trainings, data)]
    else:
        results = [training.run(stream) for training, stream in zip(trainings, data, strict=True)]
    seconds = time.process_time() - start
    return float(sum(result.reports[-1].updates for result in results)) / seconds


def _training(case: PopulationCase, seed: int) -> Training:
    network = Network(case.sizes, seed=seed, free_steps=case.free_steps, nudged_steps=case.nudged_steps)
    return Training(Learner(network), seed=seed, batch_size=case.batch, epochs=case.epochs)
