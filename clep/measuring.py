"""What an experience reports: a plug-in that measures while a stream is learned."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import torch
from avalanche.core import BasePlugin
from torch import Tensor

from clep import clock, metric_names
from clep.errors import ConfigError
from clep.evaluation import evaluated
from clep.learner import Learner
from clep.ranks import Ranks
from clep.separability import accuracy_of_hidden_means
from clep.sharing import sharing_of
from clep.strategy import Memory, Strategy, memory_of
from clep.streams import Experience

_CURVE_POINTS = 10  # per experience: enough to see a curve, few enough for a tracking store


@dataclass(frozen=True)
class ExperienceReport:
    """What happened in one experience.

    Attributes:
        index: the experience just trained.
        before: accuracy on every evaluation experience before consolidation, (m,); the same as `after` if nothing
            consolidates; NaN: not measured.
        after: the same after consolidation, (m,): row R[index] of the accuracy matrix.
        curve: (updates so far, training loss, training accuracy), a few points.
        epochs: accuracy on every experience after each epoch, (epochs, m); no rows unless asked for.
        seconds: `train`, `consolidation`, `eval`.
        memory: what the strategies keep of the past.
        updates: of the weights, since the start.
        consolidated: whether a strategy consolidates.
        slept: whether a strategy consolidates by sleep.
        numbers: what the learner noticed and what the strategies logged, by name of the metric.
    """

    index: int
    before: np.ndarray
    after: np.ndarray
    curve: list[tuple[int, float, float]]
    epochs: np.ndarray
    seconds: dict[str, float]
    memory: Memory
    updates: int
    consolidated: bool
    slept: bool
    numbers: dict[str, float]


@dataclass
class _Notes:
    """What is collected during one experience."""

    start: float = 0.0
    trained: float = 0.0
    measured: float = 0.0
    evaluating: float = 0.0
    before: np.ndarray | None = None
    batches: list[tuple[Tensor, Tensor, float]] = field(default_factory=list)
    means: list[tuple[float, float]] = field(default_factory=list)
    epochs: list[np.ndarray] = field(default_factory=list)
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    def shifted(self, seconds: float) -> "_Notes":
        """The same with later times."""
        times = {name: getattr(self, name) + seconds for name in ("start", "trained", "measured")}
        return replace(self, **times)


class Measuring(Strategy):
    """Measure accuracies, times and the training curve of every experience, and change nothing.

    It goes in front of the strategies it watches, so it sees the weights before consolidation, and it expects one call
    of `train` per experience. It draws no random numbers. No other plug-in gets the evaluation data.

    Args:
        watched: the strategies whose memory and metrics are reported.
        each_epoch: whether to measure the accuracies after each epoch too.

    Attributes:
        experiences: the experiences to measure accuracies on.
        measured: tells the index of the experience just trained -> which of them to measure; None for all.
        learned: those to learn from, in their order; hidden states are looked at if they are known.
        report: the report of the latest experience; set when the first one ends.

    Example:
        >>> import clep
        >>> from clep.bridge import LightningTemplate
        >>> stream = clep.stream("digits", experiences=5, samples_per_experience=32)
        >>> measuring = Measuring()
        >>> measuring.experiences = stream.evaluation
        >>> template = LightningTemplate(learner=clep.Learner(clep.Network([64, 16, 10])), plugins=[measuring])
        >>> _ = template.train(stream.benchmark.train_stream[0], eval_streams=[])
        >>> measuring.report.after.shape
        (5,)
    """

    adds_penalty = False
    replicates = True  # it adds up what each process notes
    report: ExperienceReport

    def __init__(self, watched: Sequence[BasePlugin] = (), *, each_epoch: bool = False) -> None:
        super().__init__()
        self.watched = list(watched)
        self.each_epoch = each_epoch
        self.experiences: Sequence[Experience] = ()
        self.measured: Callable[[int], Sequence[int]] | None = None
        self.learned: Sequence[Experience] = ()
        self._updates = 0
        self._notes = _Notes()

    def state_dict(self) -> dict[str, Any]:
        """The updates so far, and what was noted in this experience, with times as seconds ago."""
        return {"updates": self._updates, "notes": self._notes.shifted(-clock.now())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what was noted."""
        if "updates" in state:
            self._updates = state["updates"]
        if "notes" in state:
            self._notes = state["notes"].shifted(clock.now())

    def before_training(self, strategy: Any, **kwargs: Any) -> None:
        """Start the clock of the experience."""
        self._notes = _Notes(clock.now())

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Note loss and accuracy of the batch, without waiting for the device."""
        self._updates += 1
        hits = strategy.mb_output.detach().argmax(1) == strategy.mb_y
        # One call now and the rest at the end of the epoch: with a small network, each counts.
        self._notes.batches.append((strategy.loss.detach(), hits, sharing_of(strategy).share))

    def note(self, losses: Sequence[float], hits: Sequence[float]) -> None:
        """Note the batches of many iterations at once.

        Args:
            losses: of each batch.
            hits: share of its samples that was classified correctly.
        """
        self._updates += len(losses)
        self._notes.means += zip(losses, hits, strict=True)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Draw the curve of the epoch and, if asked for, measure the accuracies."""
        self._draw_curve(max(1, _CURVE_POINTS // strategy.train_epochs), sharing_of(strategy).ranks)
        if self.each_epoch:
            start = clock.now()
            self._notes.epochs.append(self._evaluate(strategy))
            self._notes.evaluating += clock.now() - start

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Measure the accuracies before the other strategies consolidate, if any does."""
        self._notes.trained = clock.now()
        if self._any("consolidates"):
            self._notes.before = self._evaluate(strategy)
        self._notes.measured = clock.now()

    def after_training(self, strategy: Any, **kwargs: Any) -> None:
        """Measure the accuracies after consolidation and write the report."""
        notes, consolidated = self._notes, clock.now()
        after = self._evaluate(strategy)
        of_means = self._accuracy_of_means(strategy)
        end = clock.now()
        self.report = ExperienceReport(
            index=strategy.experience.current_experience,
            before=after if notes.before is None else notes.before,
            after=after,
            curve=notes.curve,
            epochs=np.array(notes.epochs).reshape(len(notes.epochs), len(self.experiences)),
            seconds={
                "train": notes.trained - notes.start - notes.evaluating,
                "consolidation": consolidated - notes.measured,
                "eval": end - consolidated + notes.measured - notes.trained + notes.evaluating,
            },
            memory=sum((memory_of(watched) for watched in self.watched), Memory()),
            updates=self._updates,
            consolidated=self._any("consolidates"),
            slept=self._any("sleeps"),
            numbers=of_means | self._numbers(getattr(strategy, "learner", None)),  # plain Avalanche has no learner
        )

    def _evaluate(self, strategy: Any) -> np.ndarray:
        """Accuracies, (m,); NaN where they are not measured after this experience."""
        if self.measured is None:
            return evaluated(strategy, self.experiences, self.watched)
        row = np.full(len(self.experiences), np.nan)
        if chosen := list(self.measured(strategy.experience.current_experience)):
            row[chosen] = evaluated(strategy, [self.experiences[j] for j in chosen], self.watched)
        return row

    def _accuracy_of_means(self, strategy: Any) -> dict[str, float]:
        """What hidden states tell apart, of the classes seen so far; nothing without a network that is trained."""
        if not self.learned or not all(getattr(plugin, "trains", True) for plugin in self.watched):
            return {}
        seen = self.learned[: strategy.experience.current_experience + 1]
        classes = {label for experience in seen for label in experience.classes}
        tested = [experience for experience in self.experiences if classes.issuperset(experience.classes)]
        index = strategy.experience.current_experience
        if self.measured is not None and not {e.index for e in tested} <= {*self.measured(index)}:
            return {}  # it would look at all of them
        found = accuracy_of_hidden_means(strategy.model, seen, tested, strategy.device)
        return {} if math.isnan(found) else {metric_names.ACCURACY_SEEN_BY_MEANS: found}

    def _any(self, trait: str) -> bool:
        return any(getattr(watched, trait, False) for watched in self.watched)

    def _draw_curve(self, points: int, ranks: Ranks) -> None:
        """Add an epoch's batches to the curve, as a few points (updates so far, mean loss, mean accuracy)."""
        means = self._notes.means
        if self._notes.batches:
            means += zip(*(ranks.sum(values).tolist() for values in _means_of(self._notes.batches)), strict=True)
        if not means:
            return
        losses, hits = zip(*means, strict=True)
        self._notes.batches, self._notes.means = [], []
        first, points = self._updates - len(losses), min(points, len(losses))
        each, more = divmod(len(losses), points)
        for start, end in pairwise(each * k + min(k, more) for k in range(points + 1)):
            self._notes.curve.append((first + end, fmean(losses[start:end]), fmean(hits[start:end])))

    def _numbers(self, learner: Learner | None) -> dict[str, float]:
        """What the learner noticed and the strategies logged."""
        numbers = {} if learner is None else learner.take_numbers()
        loggers: dict[str, str] = {}
        for watched in self.watched:
            logged, own = watched.take_log() if isinstance(watched, Strategy) else {}, type(watched).__name__
            for name in logged:
                if (other := loggers.setdefault(name, own)) != own or name in numbers:
                    raise ConfigError(
                        f"strategies: {other} and {own} both log `{name}`, and only one value could be kept; log under "
                        "a name of its own in one of them"
                    )
            numbers |= logged
        return numbers


def _means_of(batches: Sequence[tuple[Tensor, Tensor, float]]) -> tuple[Tensor, Tensor]:
    """Mean loss and accuracy of each batch, (n,) each; of one that several processes share, this one's part."""
    losses, hits, shares = zip(*batches, strict=True)
    means = torch.cat([loss if loss.shape == (1,) else loss.mean().view(1) for loss in losses])
    sizes = torch.tensor([hit.shape[0] for hit in hits], device=means.device)
    accuracies = torch.segment_reduce(torch.cat(hits).float(), "mean", lengths=sizes)
    if any(share != 1.0 for share in shares):
        weights = torch.tensor(shares, device=means.device)
        return means * weights, accuracies * weights
    return means, accuracies
