"""The short runs that the checks look at: a few digits, a tiny network, and each way to train it."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from avalanche.core import BasePlugin
from torch import Tensor, nn

from clep import parts
from clep.checkpoints import Checkpoints, Saved, Snapshot, UnsavableError, files
from clep.equilibrium import Network
from clep.equilibrium.gradients import gradient_from
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.learner import Learner
from clep.measuring import ExperienceReport
from clep.memory import Memory, memory_in
from clep.randomness import reproducible
from clep.strategy import Strategy, memory_of
from clep.streams import Stream, stream
from clep.training import Training, TrainingResult

FEEDFORWARD = "feedforward"
RULES = (*sorted(parts.own("gradient"), key=lambda name: name != "linear"), FEEDFORWARD)
"""Ways to train: each gradient estimate on an equilibrium network, and backpropagation on a feed-forward network."""

BATCH, EPOCHS = 10, 2
_SAMPLES, _SIZES, _LR, _MOMENTUM = 20, [64, 8, 10], 0.1, 0.9

_LIBRARIES = ("builtins", "abc", "typing", "avalanche.", "clep.")

Weights = dict[str, Tensor]
"""The state of a network."""

Make = Callable[[], Sequence[BasePlugin]]
"""Makes the strategies of a run."""


@dataclass
class Run:
    """What a short run leaves.

    Attributes:
        strategies: as they are at the end.
        start: the state of the network before the first experience.
        weights: the same after each one.
        declared: what the strategies say that they keep, after each experience.
        found: what a search through their attributes finds; the first is from before the run.
        snapshots: where a run can go on, if asked for: ("after" or "within", whole experiences before it) -> the state.
        unsavable: "after" or "within" -> why no state could be taken there.
        warned: the warnings meanwhile.
        result: accuracies and reports.
    """

    strategies: Sequence[BasePlugin] = ()
    start: Weights = field(default_factory=dict)
    weights: list[Weights] = field(default_factory=list)
    declared: list[Memory] = field(default_factory=list)
    found: list[Memory] = field(default_factory=list)
    snapshots: dict[tuple[str, int], Snapshot] = field(default_factory=dict)
    unsavable: dict[str, str] = field(default_factory=dict)
    warned: list[warnings.WarningMessage] = field(default_factory=list)
    result: TrainingResult = field(init=False)

    def look(self) -> None:
        """Measure what the strategies hold, and what their classes do, which outlive them."""
        found = Memory()
        for strategy in self.strategies:
            own = [cls for cls in type(strategy).__mro__ if not cls.__module__.startswith(_LIBRARIES)]
            for holder in (strategy, *own):
                found += memory_in(vars(holder), numbers=isinstance(strategy, Strategy))
        self.found.append(found)


class _Recorder(Checkpoints):
    """Keeps a state after every experience and at the start of every epoch but the first, read back from a file."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def due(self) -> bool:
        return True

    def after_experience(self, number: int, take: Callable[[], Snapshot]) -> None:
        self._keep("after", number, take)

    def within_experience(self, done: int, take: Callable[[], Snapshot]) -> None:
        self._keep("within", done, take)

    def _keep(self, where: str, done: int, take: Callable[[], Snapshot]) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "state.ckpt")
                files.write(path, *take())
                self._run.snapshots[where, done] = Snapshot(*files.read(path))
        except UnsavableError as error:
            self._run.unsavable[where] = str(error)


@cache
def digits(experiences: int = 3) -> Stream:
    """A stream with a few digits in each experience.

    Args:
        experiences: how many.
    """
    return stream("digits", experiences=experiences, samples_per_experience=_SAMPLES, evaluation_samples=_SAMPLES)


def learner(rule: str, seed: int = 0) -> Learner:
    """A tiny learner.

    Args:
        rule: one of `RULES`.
        seed: seeds its weights.
    """
    if rule == FEEDFORWARD:
        return Learner(Feedforward(_SIZES, seed=seed), lr=_LR, momentum=_MOMENTUM)
    gradient = gradient_from({"name": rule})
    momentum = 0.0 if gradient.needs.own_updates else _MOMENTUM
    return Learner(Network(_SIZES, seed=seed), gradient=gradient, lr=_LR, momentum=momentum)


def training(strategies: Sequence[BasePlugin], rule: str, *, seed: int = 0, device: str = "cpu") -> Training:
    """A tiny learner and strategies, ready to learn `digits`.

    Args:
        strategies: what is trained with.
        rule: one of `RULES`.
        seed: of the whole run.
        device: where.

    Raises:
        ConfigError: if they do not go together.
    """
    return Training(learner(rule, seed), strategies, epochs=EPOCHS, batch_size=BATCH, seed=seed, device=device)


def train(
    make: Make,
    rule: str,
    data: Stream,
    *,
    seed: int = 0,
    record: bool = False,
    saved: Saved | None = None,
    device: str = "cpu",
) -> Run:
    """Learn a stream, as a run of the command line does: one thread, all generators seeded, those of the caller kept.

    Args:
        make: makes the strategies.
        rule: one of `RULES`.
        data: what to learn.
        seed: of the whole run.
        record: whether to keep the states that a run can go on from.
        saved: where to go on; None for the beginning.
        device: where to train.

    Raises:
        ClepError: if the strategies refuse or fail.
    """
    run = Run()
    with warnings.catch_warnings(record=True) as warned, reproducible(seed, threads=1):
        warnings.simplefilter("always")
        run.strategies = make()
        run.look()
        whole = training(run.strategies, rule, seed=seed, device=device)
        run.start = state_of(whole.template.model)

        def on_experience(report: ExperienceReport, result: TrainingResult) -> None:
            run.weights.append(state_of(whole.template.model))
            run.declared.append(sum(map(memory_of, run.strategies), Memory()))
            run.look()

        checkpoints = _Recorder(run) if record else None
        run.result = whole.resume(saved or Saved(), data, on_experience, checkpoints=checkpoints)
    run.warned = warned or []
    return run


def state_of(network: nn.Module) -> Weights:
    """A copy of the state of a network, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def refusal(make: Make, rule: str) -> str | None:
    """Why strategies cannot train in a way, as clep says it before anything is trained; None if they can.

    Args:
        make: makes the strategies.
        rule: one of `RULES`.

    Example:
        >>> from clep.strategies.gem import GEM
        >>> refusal(lambda: [GEM()], "cost").partition(":")[0]
        'learner.gradient'
    """
    with quiet():
        try:
            training(make(), rule)
        except ConfigError as error:
            return str(error)
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings, of which a run of `train` collects those that count."""
    with warnings.catch_warnings(record=True):  # a filter would not do: Avalanche sets its own
        yield
