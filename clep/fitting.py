"""The updates of an experience: in a loop of clep's own, or in Lightning's if an argument of its trainer asks for it.

Both make the same updates and fire the same events. Lightning's loop takes longer than the updates of a small network,
and its trainer longer than an experience of one. It is for what looks at batches or epochs: callbacks, loggers, other
precisions, accumulated gradients.
"""

import os
import signal
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clep import optimizers, progress
from clep.learner import quiet_lightning

_CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
_FLAGS = ("deterministic", "benchmark")
"""Arguments that set flags of torch for the whole process, as soon as a trainer is made."""
_CALLBACKS = "pytorch_lightning.callbacks_factory"
"""The entry points by which installed packages give callbacks to every trainer of Lightning."""
_VARIABLES = "PL_TRAINER_"
"""Variables of the environment that begin so are arguments of every trainer of Lightning."""


def needs_lightning(arguments: Mapping[str, Any]) -> bool:
    """Whether an argument of the trainer, the environment or an installed package asks for Lightning's own loop.

    Args:
        arguments: name -> value.

    Example:
        >>> needs_lightning({"gradient_clip_val": 1.0}), needs_lightning({"accumulate_grad_batches": 2})
        (False, True)
    """
    given = any(name not in (*_CLIPPING, *_FLAGS) and value not in (None, False) for name, value in arguments.items())
    return given or any(name.startswith(_VARIABLES) for name in os.environ) or _has_installed_callbacks()


@cache
def _has_installed_callbacks() -> bool:
    return bool(entry_points(group=_CALLBACKS))  # it reads what is installed, so once


def fit(template: Any) -> None:
    """Train a template's learner on the batches of its experience.

    Args:
        template: a `clep.bridge.LightningTemplate`.
    """
    if needs_lightning(template.trainer_arguments):
        _by_lightning(template)
    else:
        OwnLoop(template).run()


def set_flags(template: Any) -> None:
    """Set the flags of torch that arguments of the trainer ask for.

    Args:
        template: a `clep.bridge.LightningTemplate`.
    """
    if any(template.trainer_arguments.get(name) is not None for name in _FLAGS):
        with quiet_lightning():
            _trainer(template)


class Updates:
    """The updates of one experience, and Avalanche's events around them.

    Gradients are zeroed before `before_forward`, as in Avalanche.

    Args:
        template: a `clep.bridge.LightningTemplate`.
    """

    def __init__(self, template: Any) -> None:
        self._template, self._where = template, ""
        self.learner = template.learner
        self.epochs = range(template.first_epoch, template.train_epochs)
        batches = len(template.dataloader)
        self.bar = progress.bar(
            total=template.train_epochs * batches,
            initial=template.first_epoch * batches,
            desc="training",
            unit="update",
            delay=2,
        )

    def schedule(self) -> LRScheduler | None:
        """The schedule of the learning rate, from its start."""
        template = self._template
        schedule: LRScheduler | None = self.learner.make_schedule(template.optimizer, template.train_epochs)
        return schedule

    def begin_epoch(self, epoch: int, schedule: Any) -> None:
        """What happens before the batches of an epoch."""
        self._where = f"{self._template.describe_experience()}, epoch {epoch}"
        self._template.on_epoch(epoch, schedule)
        self._template._before_training_epoch()

    def step(self, batch: Any, index: int, *, zero: bool = True) -> Tensor:
        """The loss of a batch, before it is differentiated; with `zero`, gradients start from there."""
        template = self._template
        if template.ranks.count > 1:
            self.learner.over_processes = self._over_processes
            if not template.deals_rows:
                template.sharing.refuse_others(batch)
        template.mbatch = batch
        template._unpack_minibatch()
        template.at("before_training_iteration")
        if zero:
            optimizers.forget_gradients(template.optimizer)
        template.loss = template._make_empty_loss()
        loss: Tensor = self.learner.step(template, f"{self._where}, batch {index}", template.graphs)
        return loss

    def _over_processes(self, gradient: Tensor) -> Tensor:
        """The gradient of the whole batch, for one that does not come by autograd."""
        whole: Tensor = self._template.ranks.sum(gradient * self._template.sharing.share)
        return whole

    def backward(self, loss: Tensor) -> None:
        """Differentiate the loss; several processes add up their gradients."""
        template = self._template
        with template.sharing.differentiating():
            loss.backward(retain_graph=template.retain_graph)
        template.ranks.add_gradients(template.model.parameters(), template.sharing.share)

    def end_batch(self) -> None:
        """What happens after an update."""
        self.bar.update()
        self._template._after_training_iteration()

    def end_epoch(self, epoch: int, schedule: Any) -> None:
        """What happens after the batches of an epoch."""
        self.learner.end_epoch(schedule, f"{self._template.describe_experience()}, end of epoch {epoch}")
        self._template._after_training_epoch()


class OwnLoop(Updates):
    """The updates in a loop that does nothing else."""

    def __init__(self, template: Any) -> None:
        super().__init__(template)
        given = template.trainer_arguments
        self._clip = given.get("gradient_clip_val")
        self._by = GradClipAlgorithmType(given.get("gradient_clip_algorithm") or "norm")

    def run(self) -> None:
        """Make all of them."""
        template, by_autograd = self._template, self.learner.automatic_optimization
        schedule = self.schedule()
        try:
            for epoch in self.epochs:
                self.begin_epoch(epoch, schedule)
                self._epoch(by_autograd=by_autograd)
                if by_autograd and schedule is not None:
                    schedule.step()  # as Lightning does after the last batch of an epoch where it optimises
                self.end_epoch(epoch, schedule)
                if template._stop_training:
                    break
        finally:
            self.bar.close()

    def _epoch(self, *, by_autograd: bool) -> None:
        template = self._template
        for index, values in enumerate(template.batches()):
            if template._stop_training:
                break
            loss = self.step(values, index)
            if by_autograd:
                self.backward(loss)
                template.at("after_backward")
                template.at("before_update")
                if self._clip is not None:
                    Precision().clip_gradients(template.optimizer, self._clip, self._by)
                optimizers.step(template.optimizer)
                template.at("after_update")
            self.end_batch()


class _Hooks(pl.LightningModule):
    """Lightning hook -> the part of an update that belongs there."""

    def __init__(self, updates: Updates, template: Any) -> None:
        super().__init__()
        self.learner = updates.learner
        self.automatic_optimization = self.learner.automatic_optimization
        self._updates, self._template = updates, template

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        schedule = self._updates.schedule()
        return [self._template.optimizer], [] if schedule is None else [schedule]

    def on_train_epoch_start(self) -> None:
        self._updates.begin_epoch(self.current_epoch, self.lr_schedulers())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        if not self._template._stop_training:
            return None
        self.trainer.should_stop = True
        return -1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        return self._updates.step(batch, batch_idx, zero=batch_idx % self.trainer.accumulate_grad_batches == 0)

    def backward(self, loss: Tensor) -> None:
        self._updates.backward(loss)

    def on_after_backward(self) -> None:
        self._template.at("after_backward")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._template.at("before_update")

    def optimizer_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: see `Updates.step`."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._template.at("after_update")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._updates.end_batch()

    def on_train_epoch_end(self) -> None:
        self._updates.end_epoch(self.current_epoch, self.lr_schedulers())


def _by_lightning(template: Any) -> None:
    updates = Updates(template)
    with quiet_lightning():
        trainer = _trainer(template)
        done: Any = trainer.fit_loop.epoch_progress.current
        done.ready = done.started = done.processed = done.completed = updates.epochs.start
        interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(_Hooks(updates, template), template.dataloader)
        except SystemExit as leaving:
            if not isinstance(leaving.__context__, KeyboardInterrupt):
                raise
            raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into exit(1) and leaves the signal ignored
        finally:
            updates.bar.close()
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                signal.signal(signal.SIGINT, interrupt)
            _back_to_device(template)


def _trainer(template: Any) -> pl.Trainer:
    """A trainer for one experience."""
    device = template.device
    arguments: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    arguments |= template.trainer_arguments
    plugins = arguments.pop("plugins", None) or []
    plugins = list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        # Otherwise Lightning takes the variables of a scheduler, such as SLURM_NTASKS, for a distributed run.
        plugins.append(LightningEnvironment())
    return pl.Trainer(
        max_epochs=template.train_epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1 if device.index is None else [device.index],
        use_distributed_sampler=False,
        plugins=plugins,
        **arguments,
    )


def _back_to_device(template: Any) -> None:
    """Undo Lightning's move of model and optimiser to the CPU, before consolidation and evaluation."""
    template.model.to(template.device)
    for state in template.optimizer.state.values():
        for key, value in state.items():
            if isinstance(value, Tensor) and key != "step":  # torch keeps Adam's counter on the CPU
                state[key] = value.to(template.device)
