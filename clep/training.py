"""A learner on a stream: train on every experience in turn, measure all of them after each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from avalanche.core import BasePlugin
from torch import nn

from clep import progress
from clep.bridge import EVALUATION_BATCH, LightningTemplate
from clep.equilibrium import Network
from clep.learner import Learner
from clep.randomness import generator_for
from clep.strategy import Memory, Strategy, memory_of
from clep.streams import Experience, Samples, Stream


@dataclass(frozen=True)
class ExperienceReport:
    """What happened in one experience.

    Attributes:
        index: the experience just trained.
        before: accuracy on every experience before consolidation, (n,).
        after: the same after consolidation: row R[index] of the accuracy matrix.
        curve: (updates so far, training loss, training accuracy), a few points.
        epochs: accuracy on every experience after each epoch, (epochs, n); no rows unless they were asked for.
        seconds: `train`, `consolidation`, `eval`.
        logged: what the strategies logged.
        memory: what the strategies keep of the past.
        residual: relaxation residual of the network on its latest batch, where it has one.
        free_steps: steps that its free phase took there.
        unsettled: share of the experience's batches whose free phase oscillated or diverged.
        energy: spikes and synaptic operations of its free phases, by the name of the metric; {} without spikes.
        feedback_angles: degrees between forward and feedback weights, lowest connection first; [] where they are tied.
        consolidated: whether a strategy consolidates, so that `before` was measured on its own.
    """

    index: int
    before: np.ndarray
    after: np.ndarray
    curve: list[tuple[int, float, float]]
    epochs: np.ndarray
    seconds: dict[str, float]
    logged: dict[str, float]
    memory: Memory
    residual: float | None
    free_steps: int | None
    unsettled: float | None
    energy: dict[str, float]
    feedback_angles: list[float]
    consolidated: bool


@dataclass
class TrainingResult:
    """Accuracies of a whole stream.

    Attributes:
        matrix: R[i, j], accuracy on experience j after experience i and its consolidation, (n, n); NaN: not measured.
        learned: accuracy on experience i right after training it, before consolidation, (n,).
        untrained: accuracy before any training, (n,).
        reports: one per trained experience.
    """

    matrix: np.ndarray
    learned: np.ndarray
    untrained: np.ndarray
    reports: list[ExperienceReport] = field(default_factory=list)


class Training:
    """Trains a learner on a stream with a composed set of strategies.

    Args:
        learner: what is trained, in place.
        strategies: Avalanche plugins and clep strategies, in the order in which their hooks are called.
        epochs: passes over each experience's data.
        batch_size: samples per batch.
        seed: seeds the batches.
        device: `cpu` or `cuda`.
        reset_optimizer: whether the optimiser forgets its state (momentum) at each experience.
        evaluate_epochs: whether to measure the accuracies after each epoch too; the training itself is the same.
        trainer: further arguments of Lightning's `Trainer`.

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
        epochs: int = 1,
        batch_size: int = 32,
        seed: int = 0,
        device: str = "cpu",
        reset_optimizer: bool = True,
        evaluate_epochs: bool = False,
        trainer: dict[str, Any] | None = None,
    ) -> None:
        self.strategies = list(strategies)
        self.evaluate_epochs = evaluate_epochs
        self.reset_optimizer = reset_optimizer
        self.template = LightningTemplate(
            learner=learner,
            plugins=self.strategies,
            epochs=epochs,
            batch_size=batch_size,
            device=device,
            generator=generator_for(seed, "batches"),
            trainer=trainer,
        )

    @property
    def trains_jointly(self) -> bool:
        """Whether all experiences are learned at once."""
        return any(getattr(strategy, "trains_jointly", False) for strategy in self.strategies)

    def run(
        self, stream: Stream, on_experience: Callable[[ExperienceReport, TrainingResult], None] | None = None
    ) -> TrainingResult:
        """Train on every experience in turn and measure all of them after each.

        Args:
            stream: what to learn; `stream.evaluation` is measured and never given to a strategy.
            on_experience: called after each experience with its report and the result so far.

        Raises:
            DivergenceError: if training produces values that are not finite.
        """
        n = len(stream.evaluation)
        result = TrainingResult(np.full((n, n), np.nan), np.full(n, np.nan), self.evaluate(stream.evaluation))
        source = stream.joint() if self.trains_jointly else stream
        self.template.samples = source.samples
        for experience in progress.bar(source.train, desc="experiences", unit="exp"):
            report = self._learn(source, experience)
            row = n - 1 if self.trains_jointly else experience.index
            report = replace(report, index=row)
            result.matrix[row] = report.after
            if not self.trains_jointly:
                result.learned[row] = report.before[row]
            result.reports.append(report)
            if on_experience is not None:
                on_experience(report, result)
        return result

    def _learn(self, stream: Stream, experience: Experience) -> ExperienceReport:
        template = self.template
        consolidates = any(getattr(strategy, "consolidates", False) for strategy in self.strategies)
        times = {"start": time.perf_counter()}
        before: list[np.ndarray] = []
        epochs: list[np.ndarray] = []
        spent = 0.0
        settled: dict[str, Any] = {}

        def measure_epoch() -> None:
            nonlocal spent
            start = time.perf_counter()
            epochs.append(self.evaluate(stream.evaluation))
            spent += time.perf_counter() - start

        def measure_before() -> None:
            times["trained"] = time.perf_counter()
            settled.update(_settled(template.learner))  # before consolidation runs other free phases
            if consolidates:
                before.append(self.evaluate(stream.evaluation))
            times["measured"] = time.perf_counter()

        template.on_trained = measure_before
        template.on_epoch = measure_epoch if self.evaluate_epochs else lambda: None
        template.train(
            stream.benchmark.train_stream[experience.index],
            eval_streams=[],
            reset_optimizer_state=self.reset_optimizer,
        )
        times["consolidated"] = time.perf_counter()
        after = self.evaluate(stream.evaluation)
        times["end"] = time.perf_counter()
        network = template.model if isinstance(template.model, Network) else None
        return ExperienceReport(
            index=experience.index,
            before=before[0] if before else after,
            after=after,
            curve=template.curve,
            epochs=np.array(epochs).reshape(len(epochs), len(stream.evaluation)),
            seconds={
                "train": times["trained"] - times["start"] - spent,
                "consolidation": times["consolidated"] - times["measured"],
                "eval": times["end"] - times["consolidated"] + times["measured"] - times["trained"] + spent,
            },
            logged={k: v for s in self.strategies if isinstance(s, Strategy) for k, v in s.take_log().items()},
            memory=sum((memory_of(strategy) for strategy in self.strategies), Memory()),
            **settled,
            feedback_angles=[] if network is None else network.feedback_angles(),
            consolidated=consolidates,
        )

    def evaluate(self, experiences: Sequence[Experience]) -> np.ndarray:
        """Accuracy on each experience, (n,): argmax over all outputs, every sample counted; nothing is learned."""
        return np.array([_accuracy(self.template.model, e.samples, self.template.device) for e in experiences])


def _settled(learner: Learner) -> dict[str, Any]:
    """How the free phases of training ended; None where there are none."""
    latest = learner.unsettled.latest
    if latest is None:
        return {"residual": None, "free_steps": None, "unsettled": None, "energy": {}}
    return {
        "residual": float(latest.residual),
        "free_steps": latest.steps,
        "unsettled": learner.unsettled.take(),
        "energy": learner.spike_meter.take(),
    }


@torch.no_grad()
def _accuracy(model: nn.Module, samples: Samples, device: torch.device) -> float:
    if len(samples) == 0:
        return float("nan")
    was_training = model.training
    model.eval()
    hits = 0
    for x, y, _ in samples.loader(EVALUATION_BATCH, shuffle=False, generator=torch.Generator()):
        hits += int((model(x.to(device)).argmax(1) == y.to(device)).sum())
    model.train(was_training)
    return hits / len(samples)
