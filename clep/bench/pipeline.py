"""What the pipeline costs beside the updates: a stream learned by a bare loop, by clep and by plain Avalanche.

All sides learn the same batches, measure the same after each experience (the accuracy on all of them, and what the
means of hidden states tell apart), in as many passes, and end with the same weights, which is checked. The bare loop is
what anybody would write: it steps by torch's optimiser. They take turns on one thread, in CPU time, so that what else
the machine does slows all of them.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from avalanche.training import Naive
from torch import nn

from clep import streams
from clep.bench import cases
from clep.bench.cases import PipelineCase
from clep.equilibrium import LinearNudging, Network, SquaredError
from clep.errors import ClepError
from clep.evaluation import accuracies
from clep.feedforward import Feedforward
from clep.learner import Learner
from clep.randomness import seeded
from clep.separability import accuracy_of_hidden_means
from clep.streams import Stream
from clep.training import Training

_SEED = 0
_LR = 0.05
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class PipelineTiming:
    """What a stream costs for one kind of network; the fields of the JSON of `clep bench pipeline`.

    Attributes:
        updates: of the weights, in one run of the stream.
        bare_microseconds: CPU time of a bare loop for an update, with its share of the measuring; a median.
        microseconds: the same by `clep.Training`.
        avalanche_microseconds: the same by Avalanche's `Naive`.
        ratio: clep over the bare loop; the median over the rounds, in each of which the sides take turns.
        avalanche_ratio: Avalanche over the bare loop, likewise.
        rounds: how many there were.
    """

    case: str
    network: str
    updates: int
    bare_microseconds: float
    microseconds: float
    avalanche_microseconds: float
    ratio: float
    avalanche_ratio: float
    rounds: int


def time_pipeline(name: str) -> Iterator[PipelineTiming]:
    """Time one of `cases.PIPELINES`, for each of its networks.

    Raises:
        ClepError: if the sides end with different weights, so that their times say nothing.
    """
    case = cases.PIPELINES[name]
    stream = streams.stream("digits", experiences=case.experiences)
    updates = case.epochs * sum(len(experience.loader(case.batch)) for experience in stream.train)
    for kind, made in (("ep", equilibrium), ("mlp", feedforward)):
        ends = {side: made(case) for side in SIDES}
        for side, run in SIDES.items():
            run(ends[side], stream, case)
        if (other := differing(ends)) is not None:
            raise ClepError(f"bench: {other} ends with other weights than the bare loop for `{kind}`")
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(case.rounds):
            for side, run in SIDES.items():
                network, start = made(case), time.process_time()
                run(network, stream, case)
                seconds[side].append(time.process_time() - start)
        microseconds = {side: 1e6 * statistics.median(values) / updates for side, values in seconds.items()}
        yield PipelineTiming(
            case=name,
            network=kind,
            updates=updates,
            bare_microseconds=microseconds["bare"],
            microseconds=microseconds["clep"],
            avalanche_microseconds=microseconds["avalanche"],
            ratio=_median_ratio(seconds["clep"], seconds["bare"]),
            avalanche_ratio=_median_ratio(seconds["avalanche"], seconds["bare"]),
            rounds=case.rounds,
        )


def format_pipelines(timings: Sequence[PipelineTiming]) -> str:
    """The timings as a table for terminals."""
    head = f"{'case':10} {'network':8} {'updates':>7} {'bare us':>9} {'clep us':>9} {'avalanche':>9} {'ratio':>6} "
    lines = [head + f"{'avalanche ratio':>15}"]
    for t in timings:
        lines.append(
            f"{t.case:10} {t.network:8} {t.updates:7d} {t.bare_microseconds:9.0f} {t.microseconds:9.0f} "
            f"{t.avalanche_microseconds:9.0f} {t.ratio:6.2f} {t.avalanche_ratio:15.2f}"
        )
    return "\n".join(lines)


def equilibrium(case: PipelineCase) -> nn.Module:
    """An equilibrium network of the sizes of a case."""
    steps = {"free_steps": case.free_steps, "nudged_steps": case.nudged_steps}
    return Network(case.sizes, seed=_SEED, gradient=LinearNudging(phases="centered"), **steps)


def feedforward(case: PipelineCase) -> nn.Module:
    """An ordinary network of the same sizes."""
    return Feedforward(case.sizes, seed=_SEED)


def bare(network: nn.Module, stream: Stream, case: PipelineCase) -> None:
    """A loop over the same batches, without anything around it."""
    optimizer, criterion = torch.optim.SGD(network.parameters(), lr=_LR), SquaredError()
    with seeded(_SEED):
        accuracies(network, stream.evaluation, _CPU)
        for experience in stream.train:
            loader = experience.loader(case.batch)
            for _ in range(case.epochs):
                for x, y, _task in loader:
                    optimizer.zero_grad()
                    criterion(network(x), y).backward()
                    optimizer.step()
            _measure(network, stream, experience.index)


def pipeline(network: nn.Module, stream: Stream, case: PipelineCase) -> None:
    """`clep.Training`."""
    learner = Learner(network, lr=_LR, loss="mse", momentum=0.0)
    training = Training(learner, epochs=case.epochs, batch_size=case.batch, seed=_SEED)
    training.template.generator = None  # draws as Avalanche's loader does
    training.run(stream)


def avalanche(network: nn.Module, stream: Stream, case: PipelineCase) -> None:
    """Plain Avalanche."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No loggers specified")
        strategy = Naive(
            model=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=_LR),
            criterion=SquaredError(),
            train_mb_size=case.batch,
            train_epochs=case.epochs,
            evaluator=None,
        )
    with seeded(_SEED):
        accuracies(network, stream.evaluation, _CPU)
        for experience in stream.benchmark.train_stream:
            strategy.train(experience)
            _measure(network, stream, experience.current_experience)


SIDES: dict[str, Callable[[nn.Module, Stream, PipelineCase], None]] = {
    "bare": bare,
    "clep": pipeline,
    "avalanche": avalanche,
}
"""Who learns a stream; each changes the network that it is given."""


def differing(ends: Mapping[str, nn.Module]) -> str | None:
    """The first of some networks whose weights are not, to the bit, those of the bare loop; None if there is none."""
    bits = {side: nn.utils.parameters_to_vector(network.parameters()) for side, network in ends.items()}
    return next((side for side, values in bits.items() if not torch.equal(values, bits["bare"])), None)


def _measure(network: nn.Module, stream: Stream, latest: int) -> None:
    """What `clep.Training` measures after an experience."""
    accuracies(network, stream.evaluation, _CPU)
    seen = slice(latest + 1)
    accuracy_of_hidden_means(network, stream.train[seen], stream.evaluation[seen], _CPU)


def _median_ratio(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))
