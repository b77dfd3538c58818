"""A learner on a stream: train on one experience after another, and measure all of them after each."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from avalanche.core import BasePlugin

from clep import interrupts, metrics, plugins, progress
from clep.bridge import LightningTemplate
from clep.checkpoints import Checkpoints, Saved, Snapshot, State, UnsavableError, files
from clep.errors import ConfigError, UnusedWarning
from clep.evaluation import evaluated
from clep.fitting import needs_lightning
from clep.learner import Learner, quiet_lightning
from clep.measuring import ExperienceReport, Measuring
from clep.randomness import generator_for, seeded
from clep.ranks import ALONE, Ranks
from clep.registry import name_of, seeds_for
from clep.seeding import give_seed
from clep.specs.learner import TrainingSpec
from clep.specs.options import from_keywords, takes
from clep.strategy import Strategy, reason_of
from clep.streams import Experience, Stream


@dataclass
class TrainingResult:
    """Accuracies of a whole stream.

    Attributes:
        matrix: R[i, j], accuracy on evaluation experience j after experience i and its consolidation, (n, m); NaN: not
            measured.
        before: R'[i, j], the same before the consolidation of experience i.
        untrained: accuracy before any training, (m,); NaN: not measured.
        sizes: number of samples of each evaluation experience, (m,).
        reports: one per trained experience.
        restored: how many of these are from a checkpoint.
        learned_at: as in `Stream`; empty if evaluation experience j is that of training experience j.

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
    restored: int = 0
    learned_at: tuple[int | None, ...] = ()

    @property
    def learned(self) -> np.ndarray:
        """R'[j, j], accuracy on experience j right after training it, before consolidation, (m,)."""
        return metrics.taught(self.before, self.learned_at)


OnExperience = Callable[[ExperienceReport, TrainingResult], None]
"""Called after an experience with its report and the result so far."""


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
        ranks: the place of this process among those that train the learner together; see `clep.ranks`.

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
        ranks: Ranks = ALONE,
        **options: Any,
    ) -> None:
        spec = from_keywords(TrainingSpec, options)
        self.strategies = list(strategies)
        self._seed, self._has_run = seed, False
        self._state: State | None = None
        self._result: TrainingResult | None = None
        self._within: Snapshot | None = None
        self._checkpoints: Checkpoints | None = None
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
            ranks=ranks,
            cuda_graph=spec.cuda_graph,
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
        self, stream: Stream, on_experience: OnExperience | None = None, *, checkpoints: Checkpoints | None = None
    ) -> TrainingResult:
        """Train on one experience after another and measure all of them after each.

        Args:
            stream: what to learn; `stream.evaluation` is measured, and no strategy ever gets it.
            on_experience: called after each experience with its report and the result so far.
            checkpoints: where to write checkpoints; None for none.

        Raises:
            ConfigError: if this training, or one of its strategies, has run before.
            DivergenceError: if training produces values that are not finite.
            StrategyError: if a strategy fails.
        """
        return self.resume(Saved(), stream, on_experience, checkpoints=checkpoints)

    def resume(
        self,
        saved: str | Path | Saved,
        stream: Stream,
        on_experience: OnExperience | None = None,
        *,
        checkpoints: Checkpoints | None = None,
        optimizer: bool = True,
    ) -> TrainingResult:
        """Go on from a checkpoint to the end of the stream: same weights and accuracies as without the break.

        Set up learner, strategies and this training anew, as for the run that wrote the checkpoint.

        Args:
            saved: the file that `save` wrote, or what `clep.checkpoints` found.
            stream: the same as in that run.
            on_experience: called for each experience, first for those that the checkpoint holds.
            checkpoints: where to write further checkpoints; None for none.
            optimizer: whether the optimiser keeps its momentum, for experiences that do not start with a fresh one.

        Raises:
            ConfigError: if this training has run before, or if its network, strategies or stream are others.
            DataError: if the file is missing or damaged.

        Example:
            >>> import clep, tempfile
            >>> stream = clep.stream("digits", experiences=2, samples_per_experience=32)
            >>> def training():
            ...     return clep.Training(clep.Learner(clep.Network([64, 16, 10])), epochs=1)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     first, path = training(), f"{folder}/first.ckpt"
            ...     whole = first.run(stream, lambda report, so_far: report.index == 0 and first.save(path))
            ...     resumed = training().resume(path, stream)
            >>> bool((resumed.matrix == whole.matrix).all())
            True
        """
        self._begin()
        saved = saved if isinstance(saved, Saved) else Saved(Snapshot(*files.read(Path(saved))))
        # A scheduler's notice waits for a moment from which a checkpoint can go on.
        waiting = nullcontext() if checkpoints is None else interrupts.patient()
        quiet = quiet_lightning() if needs_lightning(self.template.trainer_arguments) else nullcontext()
        with seeded(self._seed), waiting, quiet:
            return self._run(stream, saved, on_experience, checkpoints, optimizer=optimizer)

    def save(self, path: str | Path) -> None:
        """Write the state after the latest experience into a file, for `resume`.

        Call it while the stream is learned, in `on_experience`, or afterwards.

        Args:
            path: the file; whatever happens meanwhile, it holds the whole state or what it held before.

        Raises:
            ConfigError: before the first experience has ended, or if a strategy remembers what has no form in a file.
            OSError: if it cannot be written.
        """
        try:
            files.write(Path(path), *self.snapshot())
        except UnsavableError as error:
            raise ConfigError(
                f"strategies: {error}, which no checkpoint can hold; see `Strategy.state_dict`"
            ) from error

    def snapshot(self) -> Snapshot:
        """The state after the latest experience, as `save` writes it.

        Raises:
            ConfigError: before the first experience has ended.
            UnsavableError: if a strategy remembers what has no form in a file.
        """
        if self._state is None or self._result is None or not self._result.reports:
            raise ConfigError("training: nothing was learned yet, so there is nothing to save; call it after `run`")
        return self._state.take(result=self._result)

    def _run(
        self,
        stream: Stream,
        saved: Saved,
        on_experience: OnExperience | None,
        checkpoints: Checkpoints | None,
        *,
        optimizer: bool,
    ) -> TrainingResult:
        source = stream.joint() if self.trains_jointly else stream
        self.template.samples = source.samples
        self.measuring.experiences, self.measuring.measured = stream.evaluation, source.measured_after
        self.measuring.learned = source.train
        self._state = state = State(self.template, source)
        n, m = len(stream.train), len(stream.evaluation)
        if saved.after is None:
            result = TrainingResult(
                matrix=np.full((n, m), np.nan),
                before=np.full((n, m), np.nan),
                untrained=np.full(m, np.nan) if stream.evaluate == "seen" else self.evaluate(stream.evaluation),
                sizes=np.array([len(experience) for experience in stream.evaluation]),
                learned_at=stream.learned_at,
            )
        else:
            state.restore(saved.after, optimizer=optimizer)
            result = state.read(saved.after, "result")
            if result.sizes.tolist() != [len(experience) for experience in stream.evaluation]:
                raise ConfigError("stream: the checkpoint is of another stream; its experiences have other sizes")
        self._result, done = result, len(result.reports)
        result.restored = done
        if on_experience is not None:
            nothing = np.full((n, m), np.nan)
            so_far = replace(result, matrix=nothing, before=nothing.copy(), reports=[])
            for report in result.reports:
                so_far.matrix[report.index], so_far.before[report.index] = report.after, report.before
                so_far.reports.append(report)
                on_experience(report, so_far)
        self._within, self._checkpoints = saved.within, checkpoints
        self.template.on_epoch = self._epoch_begins
        bar = progress.bar(source.train[done:], initial=done, total=len(source.train), desc="experiences", unit="exp")
        for experience in bar:
            self.template.first_epoch = 0 if self._within is None else self._within.plain["epoch"]
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
            if checkpoints is not None and len(result.reports) < len(source.train):
                checkpoints.after_experience(len(result.reports), self.snapshot)
            if on_experience is not None:
                on_experience(report, result)
        if len(result.reports) > 1:
            _name_idle(self.strategies)
        return result

    def _epoch_begins(self, epoch: int, schedule: Any) -> None:
        """Go on from a checkpoint within this experience, or write one if it is time to."""
        assert self._state is not None
        assert self._result is not None
        if self._within is not None:
            within, self._within = self._within, None
            self._state.restore(within, schedule=schedule)
        elif self._checkpoints is not None:
            if epoch and (self._checkpoints.due or interrupts.asked()):
                done, state = len(self._result.reports), self._state
                self._checkpoints.within_experience(done, lambda: state.take(epoch=epoch, schedule=schedule))
            interrupts.leave_if_asked()

    def evaluate(self, experiences: Sequence[Experience]) -> np.ndarray:
        """Accuracy on each of `experiences`, (n,): argmax over all outputs, every sample counted, nothing learned."""
        return evaluated(self.template, experiences, self.strategies)


def _seed_strategies(strategies: Sequence[BasePlugin], seed: int) -> None:
    """Give each strategy the seed that it has in a run of the command line."""
    for strategy, own_seed in zip(strategies, seeds_for([type(s) for s in strategies], seed), strict=True):
        if isinstance(strategy, Strategy) and not strategy.is_seeded:
            give_seed(strategy, own_seed)


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
