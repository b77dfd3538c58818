"""The bridge: an Avalanche training template that trains a Lightning module.

Avalanche's plugins see their usual events and attributes in their usual order. The events within a step are the moments
of `Learner.step`; `clep.fitting` fires those around it, in Lightning's loop or in clep's own.
"""

import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from clep import fitting, graphs, interrupts
from clep.capabilities import capabilities, misfits, unshared
from clep.checks import one_of
from clep.errors import ClepError, ConfigError, StrategyError
from clep.graphs import Choice, Graphs
from clep.learner import Learner, precision_problem
from clep.plugins import broken
from clep.ranks import ALONE, Ranks
from clep.rows import Appended
from clep.sharing import Sharing, whole_loaders
from clep.strategy import Strategy, refusals
from clep.streams import Samples
from clep.streams.samples import chunked
from clep.update import Moment
from clep.watching import Watch

EVALUATION_BATCH = 1000
BETWEEN: tuple[Moment, ...] = ("before_forward", "after_forward", "before_backward")
"""The moments between the inputs of an update and the gradient of its loss: a plug-in may add to the loss there."""


class LightningTemplate(SupervisedTemplate):
    """Avalanche strategy that trains a `Learner`: by `Trainer.fit`, one fit per experience, where an argument of the
    trainer asks for it, and otherwise by the same updates in a loop that does nothing else.

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
        sharing: this process's part in the present update.
        graphs: computes updates by recordings; None to compute all of them as usual.
        first_epoch: where the next experience begins; it is 0 again afterwards.
        on_epoch: called at the start of each epoch with its number and the schedule of the learning rate, if any.
        fit: trains on the batches of an experience in the place of `clep.fitting`, as in a population; None for that.

    Raises:
        ConfigError: if a plugin does what the learner's gradient estimate does not support, or for an argument of the
            trainer that is unknown, has no effect or has a parameter of its own.
    """

    model: nn.Module
    plugins: list[BasePlugin]
    loss: Any  # a tensor, as in Avalanche
    mbatch: list[Tensor]

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
            for reason in filter(None, map(unshared, plugins)):
                raise ConfigError(f"trainer.devices: {reason}")
            if device == "cuda":
                device = f"cuda:{ranks.rank}"
                torch.cuda.set_device(device)
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
        self.ranks, self.sharing = ranks, Sharing(ranks)
        self._watch = Watch(self)
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
        fitting.set_flags(self)

    def _recorded(self, choice: Choice) -> Graphs | None:
        """What records updates: nothing, where a strategy follows the output, or where there is no card."""
        if choice == "off":
            return None
        follows = (type(p).__name__ for p in self.plugins if "differentiates_outputs" in capabilities(p))
        reason: str | None
        if self.device.type != "cuda":
            reason = f"it needs device=cuda, and this is {self.device.type}"
        elif self.ranks.count > 1:
            reason = "several processes share its batches"
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
        """Avalanche's prints classes; `unshared` has said what cannot be shared."""
        return True

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        """Avalanche's, but an exception of a plug-in says whose it is, and the learner keeps its own network.

        Raises:
            StrategyError: if a plug-in fails; the cause is its exception.
        """
        own, index = self.learner.network, getattr(experiences, "current_experience", None)
        try:
            with whole_loaders() if self.ranks.count > 1 else nullcontext():
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

    @property
    def deals_rows(self) -> bool:
        """Whether batches are rows of the stream, drawn by the generator of batches: the same in each process."""
        return self._in_slices and self.dataloader is self.made_loader

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
        if moment == "before_forward" and self.ranks.count > 1:
            self.mbatch = self.sharing.take(self.mbatch)

    def add(self, loss: Tensor) -> None:
        """Add the learner's loss to `loss`; where no plug-in adds to it, it is the learner's, in the same shape."""
        alone = not any(map(self._watch._with, BETWEEN))
        if alone and loss.dim() == 0 and loss.dtype == self.loss.dtype:
            self.loss = loss.view(1)  # a sum with zero would be the same, but its gradient takes a sum of its own
        else:
            self.loss = self.loss + loss

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        self.learner.network = self.model  # a plugin may have replaced it (GDumb starts from scratch)
        if not all(getattr(plugin, "trains", True) for plugin in self.plugins):
            return
        for reason in filter(None, map(broken, self.plugins)):
            raise StrategyError(reason)
        self._watch.begin()
        if self.fit is not None:
            self.fit(self)
        else:
            self._fit()
        if self.graphs is not None:  # the parameters are moved now, and a recording has memory of its own
            self.graphs.forget()
        self._stop_training, self.first_epoch = False, 0

    def _fit(self) -> None:
        """Train on the experience in this process, perhaps beside others."""
        plain = self.model
        view = self.learner.network = self.model = self.sharing.shared(plain)
        fitting.fit(self)
        if self.ranks.count > 1:
            self.mbatch = self.sharing.whole(self.mbatch)
        if self.model is view:  # what a strategy differentiates after an experience is the same in each process
            self.learner.network = self.model = plain

    def _after_training_iteration(self, **kwargs: Any) -> None:
        self._watch.fire("after_training_iteration")

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
    known = list(inspect.signature(pl.Trainer.__init__).parameters)[1:] if arguments else []
    for name, value in arguments.items():
        one_of(f"trainer.{name}", name, known, "argument")
        if name in _INSTEAD:
            raise ConfigError(f"trainer.{name}: {_INSTEAD[name]}")
        if name == "precision" and (reason := precision_problem(network, value)) is not None:
            raise ConfigError(f"trainer.precision: {reason}")


def _nothing(epoch: int, schedule: Any) -> None:
    """What an epoch begins with, unless somebody sets more; a function of the module, so that it can be pickled."""
