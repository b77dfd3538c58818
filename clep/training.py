"""The bridge: an Avalanche training template whose inside is Lightning's `Trainer.fit`.

Avalanche's plugins see the events, attributes and order they know; Lightning does the optimisation. One class holds
the correspondence, `_Fit`: Lightning hook -> Avalanche event.
"""

import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clep import progress
from clep.equilibrium import Network
from clep.errors import ConfigError
from clep.learner import Learner, accuracy, quiet_lightning
from clep.randomness import generator_for
from clep.strategy import Memory, Strategy, memory_of, touches_loss
from clep.streams import ROW, Experience, Samples, Stream

_CURVE_POINTS = 10  # per experience: enough to see a curve, few enough for a tracking store
_EVALUATION_BATCH = 1000


class LightningTemplate(SupervisedTemplate):
    """Avalanche strategy that trains a `Learner` by `Trainer.fit`, one fit per experience.

    `train(experience)` and `eval(stream)` are Avalanche's. With `generator` None, batches are those of plain Avalanche
    and the final weights equal its weights to the bit.

    Args:
        learner: what is trained; `model` is its network.
        plugins: strategies, called in this order; then the evaluator and Avalanche's clock.
        epochs: passes over each experience's data.
        batch_size: samples per training batch.
        device: `cpu` or `cuda`.
        evaluator: Avalanche evaluation plugin, or None.
        generator: draws the batches; None for torch's global generator.
        trainer: further arguments of Lightning's `Trainer` (`gradient_clip_val`, `precision`, ...).

    Raises:
        ConfigError: if a plugin needs the loss or the gradients and the learner follows its own cost.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        plugins: Sequence[BasePlugin] = (),
        epochs: int = 1,
        batch_size: int = 32,
        device: str = "cpu",
        evaluator: EvaluationPlugin | None = None,
        generator: torch.Generator | None = None,
        trainer: dict[str, Any] | None = None,
    ) -> None:
        if learner.own_cost is not None:
            for plugin in plugins:
                if touches_loss(plugin):
                    raise ConfigError(
                        f"learner.nudging: {type(learner.own_cost).__name__} cannot be used with "
                        f"{type(plugin).__name__}, which differentiates the model's output, adds to the loss or "
                        "changes gradients; it only follows its own cost. Use learner.nudging=linear."
                    )
        if learner.continual is not None and (trainer or {}).get("gradient_clip_val"):
            raise ConfigError(
                "learner.gradient_clip: C-EP (learner.nudging=continual) has no one gradient to clip; leave it null."
            )
        learner.to(device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No loggers specified")
            super().__init__(
                model=learner.network,
                optimizer=learner.make_optimizer(),
                criterion=learner.criterion,
                train_mb_size=batch_size,
                train_epochs=epochs,
                eval_mb_size=_EVALUATION_BATCH,
                device=device,
                plugins=list(plugins),
                evaluator=evaluator,
            )
        self.learner = learner
        self.samples: Samples | None = None
        self.generator = generator
        self.trainer_arguments = trainer or {}
        self.curve: list[tuple[int, float, float]] = []
        """(updates so far, mean loss, mean accuracy) of the experience being trained, a few points."""
        self.updates = 0
        self.on_trained: Callable[[], None] = lambda: None
        """Called when an experience is trained, before its consolidation (`after_training_exp`)."""
        self.on_epoch: Callable[[], None] = lambda: None
        """Called after each epoch and its events."""

    def make_train_dataloader(self, shuffle: bool = True, **kwargs: Any) -> None:
        """Batches as tensor slices where the data are rows of `samples`; Avalanche's own loader elsewhere."""
        samples = self._tensors(self.adapted_dataset)
        if samples is None:
            super().make_train_dataloader(shuffle=shuffle, **kwargs)
        else:
            self.dataloader = samples.loader(self.train_mb_size, shuffle=shuffle, generator=self.generator)

    def _tensors(self, dataset: Any) -> Samples | None:
        """The data set as tensors, or None if it is not made of rows of `samples` alone (or transforms them)."""
        rows = getattr(dataset, ROW, None)
        if self.samples is None or rows is None or len(dataset) == 0:
            return None
        samples = self.samples.rows(list(rows))
        ends = (0, len(dataset) - 1)
        return samples if all(torch.equal(dataset[i][0], samples.x[i]) for i in ends) else None

    def forward(self) -> Tensor:
        """Output of the current batch; in training with the free phase that the loss needs."""
        if not self.is_training:
            return super().forward()
        self._prediction = self.learner.predict(self.mb_x)
        return self._prediction.output

    def criterion(self) -> Tensor:
        """Loss of the current batch."""
        if not self.is_training:
            return super().criterion()
        return self.learner.loss(replace(self._prediction, output=self.mb_output), self.mb_y)

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        self.learner.network = self.model  # a plugin may have replaced it (GDumb starts afresh)
        self.curve = []
        with quiet_lightning():
            trainer = pl.Trainer(
                max_epochs=self.train_epochs,
                accelerator="gpu" if self.device.type == "cuda" else "cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                **self.trainer_arguments,
            )
            interrupt = signal.getsignal(signal.SIGINT)
            try:
                trainer.fit(_Fit(self), self.dataloader)
            except SystemExit:
                if not trainer.interrupted:
                    raise
                # Lightning turns Ctrl-C into exit(1) and leaves the signal ignored; give both back to the caller.
                signal.signal(signal.SIGINT, interrupt)
                raise KeyboardInterrupt from None
        self._stop_training = False
        self._back_to_device()

    def _back_to_device(self) -> None:
        """Undo Lightning's move of model and optimiser to the CPU, before consolidation and evaluation."""
        self.model.to(self.device)
        for state in self.optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and key != "step":  # torch keeps Adam's counter on the CPU
                    state[key] = value.to(self.device)

    def _after_training_exp(self, **kwargs: Any) -> None:
        self.on_trained()
        super()._after_training_exp(**kwargs)
        self.learner.check_finite(None, f"the consolidation of {self.describe_experience()}")

    def describe_experience(self) -> str:
        """For messages: `experience 2`."""
        return f"experience {self.experience.current_experience}"


class _Fit(pl.LightningModule):
    """Lightning hook -> Avalanche event. Gradients are zeroed before `before_forward`, as in Avalanche."""

    def __init__(self, template: LightningTemplate) -> None:
        super().__init__()
        self.learner = template.learner
        self.automatic_optimization = self.learner.automatic_optimization
        self._template = template
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._bar = progress.bar(
            total=template.train_epochs * len(template.dataloader), desc="training", unit="update", delay=2
        )

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = self._template.optimizer
        schedule = self.learner.make_schedule(optimizer, self._template.train_epochs)
        return [optimizer], [] if schedule is None else [schedule]

    def teardown(self, stage: str) -> None:
        self._bar.close()

    def on_train_epoch_start(self) -> None:
        self._template._before_training_epoch()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        if not self._template._stop_training:
            return None
        self.trainer.should_stop = True
        return -1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        template = self._template
        template.mbatch = batch
        template._unpack_minibatch()
        template._before_training_iteration()
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            template.optimizer.zero_grad()
        template.loss = template._make_empty_loss()
        template._before_forward()
        template.mb_output = template.forward()
        template._after_forward()
        template.loss += template.criterion()
        template._before_backward()
        where = f"{template.describe_experience()}, epoch {self.current_epoch}, batch {batch_idx}"
        self.learner.check_finite(template.loss, where)
        self._losses.append(template.loss.detach().mean())
        self._hits.append(accuracy(template.mb_output.detach(), template.mb_y))
        if self.learner.continual is not None:
            self._update_continually()
        return template.loss

    def _update_continually(self) -> None:
        """The events of one batch around the many updates of C-EP; no gradient is left for a plugin to see."""
        self.on_after_backward()
        self._template._before_update()
        self.learner.update_continually(self._template._prediction, self._template.mb_y, self._template.optimizer)
        self._template._after_update()

    def backward(self, loss: Tensor) -> None:
        loss.backward(retain_graph=self._template.retain_graph)

    def on_after_backward(self) -> None:
        self._template._after_backward()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._template._before_update()

    def optimizer_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: see `training_step`."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._template._after_update()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._bar.update()
        self._template.updates += 1
        self._template._after_training_iteration()

    def on_train_epoch_end(self) -> None:
        template = self._template
        self.learner.check_finite(None, f"{template.describe_experience()}, end of epoch {self.current_epoch}")
        pieces = max(1, _CURVE_POINTS // template.train_epochs)
        if self._losses:
            losses, hits = torch.stack(self._losses).cpu(), torch.stack(self._hits).cpu()
            first = template.updates - len(losses)
            for part in np.array_split(np.arange(len(losses)), min(pieces, len(losses))):
                point = (first + int(part[-1]) + 1, float(losses[part].mean()), float(hits[part].mean()))
                template.curve.append(point)
        self._losses, self._hits = [], []
        schedule = self.lr_schedulers()
        if not self.automatic_optimization and isinstance(schedule, LRScheduler):
            schedule.step()
        template._after_training_epoch()
        template.on_epoch()


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
        with _settling_kept(self.template.model):
            return np.array([_accuracy(self.template.model, e.samples, self.template.device) for e in experiences])


@contextmanager
def _settling_kept(model: nn.Module) -> Iterator[None]:
    """Leave what a network knows of its latest training batch as it is."""
    if not isinstance(model, Network):
        yield
        return
    kept = model.settled_at, model.steps
    yield
    model.settled_at, model.steps = kept


def _settled(learner: Learner) -> dict[str, Any]:
    """How the free phases of training ended; None where there are none."""
    network = learner.network
    if not (learner.relaxes and isinstance(network, Network)):
        return {"residual": None, "free_steps": None, "unsettled": None, "energy": {}}
    return {
        "residual": float(network.residual),
        "free_steps": network.steps,
        "unsettled": learner.unsettled.take(),
        "energy": learner.spike_meter.take(network),
    }


@torch.no_grad()
def _accuracy(model: nn.Module, samples: Samples, device: torch.device) -> float:
    if len(samples) == 0:
        return float("nan")
    was_training = model.training
    model.eval()
    hits = 0
    for x, y, _ in samples.loader(_EVALUATION_BATCH, shuffle=False, generator=torch.Generator()):
        hits += int((model(x.to(device)).argmax(1) == y.to(device)).sum())
    model.train(was_training)
    return hits / len(samples)
