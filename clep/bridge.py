"""The bridge: an Avalanche training template whose inside is Lightning's `Trainer.fit`.

Avalanche's plugins see their usual events and attributes in their usual order; Lightning does the optimisation. The
events within a step are the moments of `Learner.step`. Those around it are in one table, `_Fit`: Lightning hook ->
event.
"""

import inspect
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clep import graphs, interrupts, progress
from clep.capabilities import capabilities, misfits, replicates
from clep.checks import one_of
from clep.equilibrium import LinearNudging, Network
from clep.errors import ClepError, ConfigError, StrategyError
from clep.graphs import Choice, Graphs
from clep.learner import Learner, precision_problem, quiet_lightning
from clep.ranks import ALONE, Ranks
from clep.rows import Appended
from clep.strategy import Strategy, refusals
from clep.streams import Samples
from clep.streams.samples import chunked
from clep.update import Moment
from clep.watching import Watch

EVALUATION_BATCH = 1000


class LightningTemplate(SupervisedTemplate):
    """Avalanche strategy that trains a `Learner` by `Trainer.fit`, one fit per experience.

    `train(experience)` and `eval(stream)` are Avalanche's. If `generator` is None, batches are those of plain
    Avalanche, and the final weights equal Avalanche's to the bit.

    Args:
        learner: the learner to train; `model` is its network.
        plugins: strategies, called in this order, followed by the evaluator and Avalanche's clock.
        epochs: passes over each experience's data.
        batch_size: samples per training batch.
        device: `cpu` or `cuda`.
        evaluator: Avalanche evaluation plugin, or None.
        generator: draws the batches; None uses torch's global generator.
        trainer: further arguments of Lightning's `Trainer` (`gradient_clip_val`, `logger`, ...).
        ranks: the place of this process among those that train the learner together; see `clep.ranks`.
        cuda_graph: whether updates are recorded and replayed; see `clep.graphs`.

    Attributes:
        share: that of this process's samples in the present batch.
        graphs: computes updates by recordings; None to compute all of them as usual.
        first_epoch: where the next experience begins; it is 0 again afterwards.
        on_epoch: called at the start of each epoch with its number and the schedule of the learning rate, if any.
        fit: trains on the batches of an experience in Lightning's place, as in a population; None for Lightning.

    Raises:
        ConfigError: if a plugin does what the learner's gradient estimate does not support, or for an argument of the
            trainer that is unknown, has no effect or has a parameter of its own.
    """

    model: nn.Module
    plugins: list[BasePlugin]

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
        ranks: Ranks = ALONE,
        cuda_graph: Choice = "off",
    ) -> None:
        for message in misfits(plugins, learner.gradient):
            raise ConfigError(message)
        if learner.gradient.needs.own_updates and (trainer or {}).get("gradient_clip_val"):
            raise ConfigError(
                "learner.gradient_clip: C-EP (learner.gradient=cep) makes many small updates per batch, so there "
                "is no single gradient to clip; leave it null"
            )
        for message in refusals(plugins, learner, batch_size):
            raise ConfigError(message)
        check_trainer(learner.network, trainer or {})
        if ranks.count > 1:
            _refuse_unshared(plugins)
            device = f"cuda:{ranks.rank}" if device == "cuda" else device
            if isinstance(learner.network, Network) and isinstance(learner.gradient, LinearNudging):
                shared = replace(learner.gradient, over_parts=ranks.largest)
                learner.network = learner.network.with_gradient(shared)
        learner.to(device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No loggers specified")
            super().__init__(
                model=learner.network,
                optimizer=learner.make_optimizer(),
                criterion=learner.criterion,
                train_mb_size=batch_size,
                train_epochs=epochs,
                eval_mb_size=EVALUATION_BATCH,
                device=device,
                plugins=list(plugins),
                evaluator=evaluator,
            )
        self.learner = learner
        self.ranks, self.share = ranks, 1.0
        self._watch = Watch(self)
        self._kept: pl.Trainer | None = None  # to make one takes longer than an epoch of a small experience
        self.samples: Samples | None = None
        self.made_loader: Any = None
        self._in_slices = False
        self._appended = Appended()
        self.graphs = self._recorded(cuda_graph)
        self.generator = generator
        self.trainer_arguments = trainer or {}
        self.first_epoch = 0
        self.on_epoch: Callable[[int, Any], None] = _nothing
        self.fit: Callable[[LightningTemplate], None] | None = None

    def _recorded(self, choice: Choice) -> Graphs | None:
        """What records updates: nothing, where a strategy follows the output, or where there is no card."""
        if choice == "off":
            return None
        follows = (type(p).__name__ for p in self.plugins if "differentiates_outputs" in capabilities(p))
        reason: str | None
        if self.device.type != "cuda":
            reason = f"it needs device=cuda, and this is {self.device.type}"
        elif (name := next(follows, None)) is not None:
            reason = f"{name} differentiates outputs of the network, which a recorded update does not follow"
        else:
            reason = next(graphs.reasons(self.learner), None)
        if reason is not None and choice == "on":
            raise ConfigError(f"learner.cuda_graph: {reason}; leave it off")
        return Graphs(required=choice == "on") if reason is None else None

    def _check_plugin_compatibility(self) -> None:
        """Avalanche's, which takes an attribute such as `before` for a hook; clep knows the hooks of its strategies."""
        every: list[BasePlugin] = self.plugins
        self.plugins = [plugin for plugin in every if not isinstance(plugin, Strategy)]
        super()._check_plugin_compatibility()
        self.plugins = every

    def _check_distributed_training_compatibility(self) -> bool:
        """Avalanche's prints classes; `_refuse_unshared` has refused what cannot be shared."""
        return True

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        """Avalanche's, but an exception of a plug-in says whose it is, and the learner keeps its own network.

        Raises:
            StrategyError: if a plug-in fails; the cause is its exception.
        """
        own, index = self.learner.network, getattr(experiences, "current_experience", None)
        try:
            return super().train(experiences, eval_streams, **kwargs)
        except (Exception, SystemExit) as error:
            if isinstance(error, ClepError) or interrupts.pending() is not None:
                raise
            where = "" if index is None else f" in experience {index}"
            if (damage := self._watch.damage()) is not None:
                raise StrategyError(f"strategies: {damage}{where}; then {type(error).__name__}: {error}") from error
            if (culprit := culprit_of(error)) is None:
                raise
            raise StrategyError(f"strategies: {culprit}{where}: {type(error).__name__}: {error}") from error
        finally:
            # A view that a strategy had put in its place has the same parameters; a network made anew has others.
            self.learner.network = self._own_or_new(own, getattr(self, "model", None))
            self.model = self.learner.network

    @staticmethod
    def _own_or_new(own: nn.Module, model: nn.Module | None) -> nn.Module:
        if not isinstance(model, nn.Module):  # a strategy has damaged the template
            return own
        shared = list(map(id, own.parameters())) == list(map(id, model.parameters()))
        return own if shared else model

    def make_train_dataloader(self, shuffle: bool = True, **kwargs: Any) -> None:
        """Batches as tensor slices if the data are rows of `samples`, otherwise Avalanche's own loader."""
        samples = None if self.samples is None else self._appended.tensors(self.adapted_dataset, self.samples)
        self._in_slices = samples is not None
        if samples is None:
            super().make_train_dataloader(shuffle=shuffle, **kwargs)
        else:
            self.dataloader = samples.loader(self.train_mb_size, shuffle=shuffle, generator=self.generator)
        self.made_loader = self.dataloader

    def batches(self) -> Iterator[Any]:
        """The batches of an epoch; those that are slices of tensors are drawn at once, in the same order."""
        loader = self.dataloader
        return chunked(loader, self.train_mb_size) if loader is self.made_loader else iter(loader)

    def _before_train_dataset_adaptation(self, **kwargs: Any) -> None:
        self._appended.begin()
        super()._before_train_dataset_adaptation(**kwargs)

    def rows_for(self, samples: Samples) -> range | None:
        """Rows for samples from outside the stream, so that their batches are slices too; None without a stream.

        Args:
            samples: what is appended to the training of this experience.
        """
        return None if self.samples is None else self._appended.add(samples, self.samples)

    def at(self, moment: Moment) -> None:
        """Fire Avalanche's event of this name; this makes the template an `Update` for the learner."""
        self._watch.fire(moment)

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        self.learner.network = self.model  # a plugin may have replaced it (GDumb starts from scratch)
        if not all(getattr(plugin, "trains", True) for plugin in self.plugins):
            return
        self._watch.begin()
        if self.fit is not None:
            self.fit(self)
        else:
            self._fit()
        if self.graphs is not None:  # the parameters are moved now, and a recording has memory of its own
            self.graphs.forget()
        self._stop_training, self.first_epoch = False, 0
        self._back_to_device()

    def _fit(self) -> None:
        """Train on the experience by Lightning."""
        fit: _Fit = _OwnLoop(self) if self._needs_no_loop() else _Fit(self)
        if self.ranks.count > 1 and not (self._in_slices and self.dataloader is self.made_loader):
            raise ConfigError(
                "trainer.devices: a strategy brings a data loader, or data, of its own, which would be others in each "
                "process; use trainer.devices=1"
            )
        with quiet_lightning():
            trainer = self._kept if self._kept is not None and isinstance(fit, _OwnLoop) else self._trainer(fit)
            self._kept = trainer if isinstance(fit, _OwnLoop) else None
            done: Any = trainer.fit_loop.epoch_progress.current
            done.ready = done.started = done.processed = done.completed = fit.epochs.start
            interrupt = signal.getsignal(signal.SIGINT)
            try:
                trainer.fit(fit, fit.loader)
            except SystemExit as leaving:
                if not isinstance(leaving.__context__, KeyboardInterrupt):
                    raise
                raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into exit(1) and leaves the signal ignored
            finally:
                if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                    signal.signal(signal.SIGINT, interrupt)

    def _needs_no_loop(self) -> bool:
        """Whether no argument of the trainer asks for Lightning's own loop over the batches."""
        return all(name in _WITHOUT_LOOP or value in (None, False) for name, value in self.trainer_arguments.items())

    def _after_training_iteration(self, **kwargs: Any) -> None:
        self._watch.fire("after_training_iteration")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}

    def _trainer(self, fit: "_Fit") -> pl.Trainer:
        """A trainer for one experience, or for all of them if no argument has a state of its own."""
        arguments: dict[str, Any] = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        arguments |= fit.trainer_arguments
        plugins = arguments.pop("plugins", None) or []
        plugins = list(plugins) if isinstance(plugins, list | tuple) else [plugins]
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
            # Otherwise Lightning takes the variables of a scheduler, such as SLURM_NTASKS, for a distributed run.
            plugins.append(LightningEnvironment())
        return pl.Trainer(
            max_epochs=fit.epochs.stop,
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=1 if self.device.index is None else [self.device.index],
            use_distributed_sampler=False,
            plugins=plugins,
            **arguments,
        )

    def _back_to_device(self) -> None:
        """Undo Lightning's move of model and optimiser to the CPU, before consolidation and evaluation."""
        self.model.to(self.device)
        for state in self.optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and key != "step":  # torch keeps Adam's counter on the CPU
                    state[key] = value.to(self.device)

    def _after_training_exp(self, **kwargs: Any) -> None:
        every: list[BasePlugin] = self.plugins
        if self.ranks.rank > 0:  # the first one sleeps for all
            self.plugins = [plugin for plugin in every if not getattr(plugin, "sleeps", False)]
        super()._after_training_exp(**kwargs)
        self.plugins = every
        self.ranks.agree(self.model)
        self.learner.check_finite(None, f"the consolidation of {self.describe_experience()}")

    def describe_experience(self) -> str:
        """For messages: `experience 2`."""
        return f"experience {self.experience.current_experience}"


def _refuse_unshared(plugins: Sequence[BasePlugin]) -> None:
    for plugin in plugins:
        if not replicates(plugin):
            raise ConfigError(
                f"trainer.devices: {type(plugin).__name__} acts on batches, of which each process sees a part, and "
                "does not say that it does the same in all of them (`replicates`); use trainer.devices=1"
            )


_CALLERS = ("trigger_plugins", "fire")  # who calls a hook: Avalanche, or clep within an iteration


def culprit_of(error: BaseException) -> str | None:
    """The plug-in and the hook in which an exception was raised, with the innermost line of its own code, or None."""
    found: tuple[BasePlugin, str] | None = None
    file = place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code, values = frame.f_code, frame.f_locals
        if code.co_name in _CALLERS and isinstance(values.get("p"), BasePlugin):  # Avalanche calls a hook
            found, file, place = (values["p"], values["event"]), "", ""
        elif found is not None and code.co_name != "rehearsing" and file in ("", code.co_filename):
            file, place = code.co_filename, f" ({code.co_filename}, line {line})"
    return None if found is None else f"{type(found[0]).__name__}.{found[1]} failed{place}"


_WITHOUT_LOOP = ("gradient_clip_val", "gradient_clip_algorithm", "deterministic", "benchmark")
"""Arguments of Lightning's trainer that act without its loop over the batches."""

_INSTEAD = {
    "max_epochs": "set `epochs`",
    "accelerator": "set `device`",
    "devices": "one process trains on one device; for several, set the key trainer.devices of a configuration",
    "num_nodes": "one process trains on one device; leave it out",
    "strategy": "one process trains on one device; for several, set the key trainer.devices of a configuration",
    "use_distributed_sampler": "one process trains on one device; leave it out",
    "reload_dataloaders_every_n_epochs": "each experience has a loader of its own; leave it out",
    "limit_val_batches": "`Trainer.fit` measures nothing here; see `Stream.evaluation`",
    "limit_test_batches": "`Trainer.fit` measures nothing here; see `Stream.evaluation`",
    "limit_predict_batches": "`Trainer.fit` predicts nothing here; leave it out",
    "val_check_interval": "`Trainer.fit` measures nothing here; set `evaluate_epochs`",
    "check_val_every_n_epoch": "`Trainer.fit` measures nothing here; set `evaluate_epochs`",
    "num_sanity_val_steps": "`Trainer.fit` measures nothing here; leave it out",
}
"""Arguments of Lightning's trainer that clep sets itself, or that would change nothing: what to do instead."""


def check_trainer(network: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of Lightning's trainer that do not exist, or that would change nothing.

    Args:
        network: what is trained.
        arguments: name -> value.

    Raises:
        ConfigError: naming the argument.

    Example:
        >>> from torch import nn
        >>> check_trainer(nn.Linear(2, 2), {"max_epochs": 3})
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: trainer.max_epochs: set `epochs`
    """
    known = list(inspect.signature(pl.Trainer.__init__).parameters)[1:]
    for name, value in arguments.items():
        one_of(f"trainer.{name}", name, known, "argument")
        if name in _INSTEAD:
            raise ConfigError(f"trainer.{name}: {_INSTEAD[name]}")
        if name == "precision" and (reason := precision_problem(network, value)) is not None:
            raise ConfigError(f"trainer.precision: {reason}")


def _nothing(epoch: int, schedule: Any) -> None:
    """What an epoch begins with, unless somebody sets more; a function of the module, so that it can be pickled."""


class _Fit(pl.LightningModule):
    """Lightning hook -> Avalanche event. Gradients are zeroed before `before_forward`, as in Avalanche."""

    def __init__(self, template: LightningTemplate) -> None:
        super().__init__()
        self.learner = template.learner
        self.automatic_optimization = self.learner.automatic_optimization
        self._template, self._where = template, ""
        self.loader: Any = template.dataloader
        self.epochs = range(template.first_epoch, template.train_epochs)
        self.trainer_arguments = template.trainer_arguments
        self._bar = progress.bar(
            total=template.train_epochs * len(template.dataloader),
            initial=template.first_epoch * len(template.dataloader),
            desc="training",
            unit="update",
            delay=2,
        )

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = self._template.optimizer
        schedule = self.learner.make_schedule(optimizer, self._template.train_epochs)
        return [optimizer], [] if schedule is None else [schedule]

    def teardown(self, stage: str) -> None:
        self._bar.close()

    def on_train_epoch_start(self) -> None:
        self._begin_epoch(self.current_epoch, self.lr_schedulers())

    def _begin_epoch(self, epoch: int, schedule: Any) -> None:
        self._where = f"{self._template.describe_experience()}, epoch {epoch}"
        self._template.on_epoch(epoch, schedule)
        self._template._before_training_epoch()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        if not self._template._stop_training:
            return None
        self.trainer.should_stop = True
        return -1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        return self.step(batch, batch_idx, zero=batch_idx % self.trainer.accumulate_grad_batches == 0)

    def step(self, batch: Any, batch_idx: int, *, zero: bool = True) -> Tensor:
        """The loss of a batch, before it is differentiated; with `zero`, gradients start from there."""
        template = self._template
        if template.ranks.count > 1:
            batch, template.share = template.ranks.part(batch)
            self.learner.over_processes = self._over_processes
        template.mbatch = batch
        template._unpack_minibatch()
        template._watch.fire("before_training_iteration")
        if zero:
            template.optimizer.zero_grad()
        template.loss = template._make_empty_loss()
        return self.learner.step(template, f"{self._where}, batch {batch_idx}", template.graphs)

    def backward(self, loss: Tensor) -> None:
        loss.backward(retain_graph=self._template.retain_graph)
        self._template.ranks.add_gradients(self._template.model.parameters(), self._template.share)

    def _over_processes(self, gradient: Tensor) -> Tensor:
        """The gradient of the whole batch, for one that does not come by autograd."""
        return self._template.ranks.sum(gradient * self._template.share)

    def on_after_backward(self) -> None:
        self._template.at("after_backward")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._template.at("before_update")

    def optimizer_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: see `training_step`."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._template.at("after_update")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._bar.update()
        self._template._after_training_iteration()

    def on_train_epoch_end(self) -> None:
        self._end_epoch(self.current_epoch, self.lr_schedulers())

    def _end_epoch(self, epoch: int, schedule: Any) -> None:
        self.learner.end_epoch(schedule, f"{self._template.describe_experience()}, end of epoch {epoch}")
        self._template._after_training_epoch()


class _OwnLoop(_Fit):
    """The same updates in a loop of its own: to Lightning, an experience is one batch, optimised by hand.

    Lightning's loops take longer than the updates of a small network. They are for what looks at batches or epochs:
    callbacks, loggers, other precisions, accumulated gradients.
    """

    def __init__(self, template: LightningTemplate) -> None:
        super().__init__(template)
        self.automatic_optimization = False
        self.loader, self.epochs = range(min(1, len(template.dataloader))), range(1)
        self.trainer_arguments = dict(template.trainer_arguments)
        self._clip = {
            name: self.trainer_arguments.pop(name, None) for name in ("gradient_clip_val", "gradient_clip_algorithm")
        }

    def training_step(self, batch: int, batch_idx: int) -> None:
        """All epochs."""
        template, learner, schedule = self._template, self.learner, self.lr_schedulers()
        for epoch in range(template.first_epoch, template.train_epochs):
            if self.trainer.received_sigterm:
                raise SIGTERMException
            self._begin_epoch(epoch, schedule)
            self._train_epoch()
            if learner.automatic_optimization and isinstance(schedule, LRScheduler):
                schedule.step()  # as Lightning does after the last batch of an epoch where it optimises
            self._end_epoch(epoch, schedule)
            if template._stop_training:
                break

    def _train_epoch(self) -> None:
        template, by_autograd = self._template, self.learner.automatic_optimization
        clips = self._clip["gradient_clip_val"] is not None
        for index, values in enumerate(template.batches()):
            if template._stop_training:
                break
            loss = self.step(values, index)
            if by_autograd:
                self.backward(loss)
                template.at("after_backward")
                template.at("before_update")
                if clips:
                    self.clip_gradients(template.optimizer, **self._clip)
                template.optimizer.step()
                template.at("after_update")
            self._bar.update()
            template._after_training_iteration()

    def on_train_epoch_start(self) -> None:
        """Nothing: what is one epoch to Lightning is all of them."""

    def on_train_epoch_end(self) -> None:
        """Nothing, likewise."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Nothing, likewise."""
