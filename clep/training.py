"""A learner on a stream: train on one experience after another, and measure all of them after each."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from avalanche.core import BasePlugin

from clep import plugins, progress
from clep.bridge import LightningTemplate
from clep.errors import ConfigError, UnusedWarning
from clep.learner import Learner
from clep.measuring import ExperienceReport, Measuring, accuracies
from clep.randomness import generator_for, seed_for, seeded
from clep.registry import name_of
from clep.specs.learner import TrainingSpec
from clep.specs.options import from_keywords, takes
from clep.strategy import Strategy, reason_of
from clep.streams import Experience, Stream


@dataclass
class TrainingResult:
    """Accuracies of a whole stream.

    Attributes:
        matrix: R[i, j], accuracy on experience j after experience i and its consolidation, (n, n); NaN: not measured.
        before: R'[i, j], the same before the consolidation of experience i.
        untrained: accuracy before any training, (n,).
        sizes: number of evaluation samples of each experience, (n,).
        reports: one per trained experience.

    Example:
        >>> import numpy as np
        >>> from clep.metrics import forgetting
        >>> R = np.array([[1.0, 0.0], [0.25, 1.0]])
        >>> forgetting(TrainingResult(R, R, np.zeros(2), np.array([10, 10])).matrix)
        0.75
    """

    matrix: np.ndarray
    before: np.ndarray
    untrained: np.ndarray
    sizes: np.ndarray
    reports: list[ExperienceReport] = field(default_factory=list)

    @property
    def learned(self) -> np.ndarray:
        """R'[i, i], accuracy on experience i right after training it, before consolidation, (n,)."""
        return np.diagonal(self.before)


@takes(TrainingSpec)
class Training:
    """Trains a learner on a stream with a composed set of strategies.

    Args:
        learner: the learner to train, in place.
        strategies: Avalanche plugins and clep strategies, in the order of their hooks.
        seed: seeds the batches, each strategy that was not seeded by `Strategy.seed_with`, and, while a stream is
            learned, the global generators, which Avalanche's own plug-ins draw from.
        device: `cpu` or `cuda`.
        trainer: further arguments of Lightning's `Trainer`.

    Raises:
        ConfigError: for an unknown option, a value out of range, or a strategy that the learner cannot train with.

    Example:
        >>> import clep
        >>> stream = clep.stream("digits", experiences=5, samples_per_experience=32)
        >>> training = clep.Training(clep.Learner(clep.Network([64, 16, 10])), epochs=1)
        >>> training.run(stream).matrix.shape
        (5, 5)
    """

    def __init__(
        self,
        learner: Learner,
        strategies: Sequence[BasePlugin] = (),
        *,
        seed: int = 0,
        device: str = "cpu",
        trainer: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        spec = from_keywords(TrainingSpec, options)
        self.strategies = list(strategies)
        self._seed, self._has_run = seed, False
        _refuse_used(self.strategies)
        for message in (message for strategy in self.strategies for message in plugins.plugin_refusals(strategy)):
            raise ConfigError(message)
        _seed_strategies(self.strategies, seed)
        self.measuring = Measuring(self.strategies, each_epoch=spec.evaluate_epochs)
        self.reset_optimizer = spec.reset_optimizer
        self.template = LightningTemplate(
            learner=learner,
            plugins=[self.measuring, *self.strategies],
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            device=device,
            generator=generator_for(seed, "batches"),
            trainer=trainer,
        )

    @property
    def trains_jointly(self) -> bool:
        """Whether all experiences are learned at once."""
        return any(getattr(strategy, "trains_jointly", False) for strategy in self.strategies)

    def _begin(self) -> None:
        """Refuse to go on in silence with what a run before has left, and note that this one has begun."""
        if self._has_run:
            raise ConfigError(
                "training: it has run already, and its strategies and generators are no longer fresh; make a new "
                "`Training` with new strategies (the learner may be the same)"
            )
        _refuse_used(self.strategies)
        self._has_run = True
        for strategy in self.strategies:
            strategy._clep_has_run = True

    def run(
        self, stream: Stream, on_experience: Callable[[ExperienceReport, TrainingResult], None] | None = None
    ) -> TrainingResult:
        """Train on one experience after another and measure all of them after each.

        Args:
            stream: what to learn; `stream.evaluation` is measured, and no strategy ever gets it.
            on_experience: called after each experience with its report and the result so far.

        Raises:
            ConfigError: if this training, or one of its strategies, has run before.
            DivergenceError: if training produces values that are not finite.
            StrategyError: if a strategy fails.
        """
        self._begin()
        with seeded(self._seed):
            return self._run(stream, on_experience or (lambda report, so_far: None))

    def _run(self, stream: Stream, on_experience: Callable[[ExperienceReport, TrainingResult], None]) -> TrainingResult:
        n = len(stream.evaluation)
        result = TrainingResult(
            matrix=np.full((n, n), np.nan),
            before=np.full((n, n), np.nan),
            untrained=self.evaluate(stream.evaluation),
            sizes=np.array([len(experience) for experience in stream.evaluation]),
        )
        source = stream.joint() if self.trains_jointly else stream
        self.template.samples = source.samples
        self.measuring.experiences = stream.evaluation
        for experience in progress.bar(source.train, desc="experiences", unit="exp"):
            self.template.train(
                source.benchmark.train_stream[experience.index],
                eval_streams=[],
                reset_optimizer_state=self.reset_optimizer,
            )
            report = self.measuring.report
            if self.trains_jointly:
                report = replace(report, index=n - 1)
            result.before[report.index] = report.before
            result.matrix[report.index] = report.after
            result.reports.append(report)
            on_experience(report, result)
        if len(result.reports) > 1:
            _name_idle(self.strategies)
        return result

    def evaluate(self, experiences: Sequence[Experience]) -> np.ndarray:
        """Accuracy on each experience, (n,): argmax over all outputs, every sample counted; nothing is learned."""
        return accuracies(self.template.model, experiences, self.template.device)


def _seed_strategies(strategies: Sequence[BasePlugin], seed: int) -> None:
    """Give each strategy the seed that it has in a run of the command line; two of one name get different ones."""
    taken: Counter[str] = Counter()
    for strategy in strategies:
        name = name_of(type(strategy))
        number, taken[name] = taken[name], taken[name] + 1
        if isinstance(strategy, Strategy) and not strategy.is_seeded:
            strategy.seed_with(seed_for(seed, f"strategy {name}" + (f" {number}" if number else "")))


def _refuse_used(strategies: Sequence[BasePlugin]) -> None:
    """Refuse strategies that remember another run."""
    for strategy in strategies:
        if getattr(strategy, "_clep_has_run", False):
            raise ConfigError(
                f"strategies: {type(strategy).__name__} has been trained with already and would start with what it "
                "remembers; make a new one"
            )


def _name_idle(strategies: Sequence[BasePlugin]) -> None:
    """Name each strategy that did nothing, and why."""
    for strategy in strategies:
        reason = reason_of(strategy) if isinstance(strategy, Strategy) else plugins.idle(strategy)
        if reason is not None:
            text = f"strategies: {name_of(type(strategy))} had no effect: {reason}"
            warnings.warn(text, UnusedWarning, stacklevel=3)
