"""A LightningModule around a network: gradient, optimiser, schedule, and a step of training, validation, prediction."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clep import interrupts, metric_names, networks, optimizers, parts
from clep.diagnostics.operations import SpikeMeter
from clep.diagnostics.settling import Unsettled
from clep.equilibrium import Cost, Gradient, Network, Prediction
from clep.equilibrium.gradients import Criterion, gradient_from, learner_of, name_of
from clep.errors import ClepError, ConfigError, DataError, DivergenceError, UnusedWarning
from clep.foreign import check_checkpoint
from clep.graphs import Graphs
from clep.imports import import_path
from clep.parameters import made
from clep.renames import of_checkpoint
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSpec
from clep.specs.optimization import OPTIMIZERS, SCHEDULES, Optimization
from clep.specs.options import from_keywords, takes
from clep.specs.refusals import Setup, refuse
from clep.update import Batch, Update

PACKAGES = "packages"
"""The entry of a checkpoint that says which packages its parts come from."""
READ_OUT = "read_out"
"""The entry that names the strategy whose read-out made the accuracies of the run; missing if there was none."""

_IN_A_FILE = "nothing is imported because a file names it; pass `network=`, or `trust=True` if you trust the file"


@takes(Optimization)
class Learner(pl.LightningModule):
    """Trains a network on labelled batches `(x, y, ...)`; works with a plain `Trainer.fit` on any data loader.

    The given network keeps its own gradient: the learner trains `network.with_gradient(gradient)`, a view that shares
    the weights.

    Args:
        network: an equilibrium `Network`, or any module that maps (B, ...) to (B, K): ordinary modules are trained by
            backpropagation. A mapping is read as the arguments of a network, as in checkpoints: `model`, the name of
            one or its class, with the arguments of `Network` or, for an ordinary module, of `clep.networks.make`.
        gradient: the estimate to train an equilibrium network with; None for the network's own, and for an ordinary
            module. A mapping holds its `name` and options.

    Attributes:
        read_out: the strategy whose read-out made the accuracies of the run that this is of; empty for the network's
            own output.

    Raises:
        ConfigError: for an unknown name, a number out of range, or a gradient that the network or the loss cannot use.

    Example:
        >>> import torch
        >>> from clep.equilibrium import CostNudging, Network
        >>> learner = Learner(Network([64, 32, 10]), gradient=CostNudging(beta=0.5), lr=0.1)
        >>> learner(torch.rand(3, 64)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        network: nn.Module | Mapping[str, Any],
        *,
        gradient: Gradient | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.spec = from_keywords(Optimization, options)
        described: dict[str, Any] | None = None
        if isinstance(network, Mapping):
            network, gradient = of_checkpoint(network, gradient)
            described = None if network["model"] in parts.own("network") else networks.description(network)
            network = network_from(network)
        gradient = gradient_from(gradient) if isinstance(gradient, Mapping) else gradient
        if not isinstance(network, nn.Module):
            raise ConfigError(
                f"network: expected a module or the arguments of one, got {type(network).__name__}; a checkpoint does "
                "not hold an ordinary module: pass it to `Learner.load_from_checkpoint` as `network=`"
            )
        if not isinstance(gradient, Gradient | None):
            raise ConfigError(
                f"gradient: expected a `clep.equilibrium.Gradient` or None, got {type(gradient).__name__}"
            )
        if isinstance(network, Network):
            network = network.with_gradient(gradient or network.gradient)
            learned = learner_of(network.gradient, **self.spec.plain())
            refuse(
                "learner", Setup(network.spec, network.convolutions, learned, layers=len(network.layer_parameters()))
            )
        elif gradient is not None or self.spec.lr_scale or self.spec.conv_lr_scale != 1.0:
            own = "lr_scale" if self.spec.lr_scale else "conv_lr_scale"
            key = own if gradient is None else "gradient"
            raise ConfigError(f"{key}: needs an equilibrium `Network`, got {type(network).__name__}; leave it out")
        refuse("optimization", Setup(NetworkSpec(), learner=LearnerSpec(**self.spec.plain())))
        self.network = network
        self.automatic_optimization = not self.gradient.needs.own_updates
        self.over_processes: Callable[[Tensor], Tensor] | None = None
        self.read_out = ""
        self.unsettled = Unsettled()
        self.spike_meter = SpikeMeter()
        self.criterion = criterion_of(self.spec.loss, self.spec.loss_options)
        named = {"name": name_of(self.gradient)} | self.gradient.plain()
        self.save_hyperparameters(
            {
                "network": arguments_of(network) or described,
                "gradient": named if isinstance(network, Network) else None,
                **self.spec.plain(),
            }
        )

    @property
    def gradient(self) -> Gradient:
        """The estimate that the network is trained with; plain autograd for an ordinary module."""
        network = self.network
        return network.gradient if isinstance(network, Network) else _AUTOGRAD

    def forward(self, x: Tensor) -> Tensor:
        """Output (B, K) for `x` (B, ...)."""
        output: Tensor = self.network(x)
        return output

    def predict(self, x: Tensor) -> Prediction:
        """The prediction for `x` (B, ...) that `loss` needs; runs the free phase of one training step."""
        return self._looked_at(self.gradient.predict(self.network, x))

    def _looked_at(self, prediction: Prediction) -> Prediction:
        """The same, after it was noted how its free phase has settled, and what its spikes cost."""
        if prediction.free is not None:
            self.unsettled.look(prediction.free)
            self.spike_meter.look(prediction.free)
        return prediction

    def loss(self, prediction: Prediction, y: Tensor) -> Tensor:
        """Mean loss of `prediction` for class indices `y` (B,), a () tensor; `backward()` runs the nudged phases."""
        return self.gradient.loss(prediction, y, self.criterion)

    def step(self, update: Update, where: str, graphs: Graphs | None = None) -> Tensor:
        """One training step, the same in plain Lightning and in a stream.

        Args:
            update: the values of this update; at each moment it lets others act on them.
            where: experience, epoch and batch, for messages.
            graphs: computes updates that it has recorded; None for none.

        Returns:
            The loss, a () tensor, for Lightning to differentiate; C-EP has moved the weights by then.

        Raises:
            DivergenceError: if the loss is not finite.
        """
        interrupts.check()
        update.at("before_forward")
        replay = None if graphs is None else graphs.replay(self, update.mb_x, update.mb_y)
        prediction = self.predict(update.mb_x) if replay is None else self._looked_at(replay.prediction)
        update.mb_output = prediction.output
        update.at("after_forward")
        if replay is not None:
            loss = replay.loss_for(update.mb_output)
        else:
            replaced = update.mb_output is not prediction.output
            loss = self.loss(replace(prediction, output=update.mb_output) if replaced else prediction, update.mb_y)
        update.add(loss)
        update.at("before_backward")
        self.check_finite(update.loss, where)
        if self.gradient.needs.own_updates:
            update.at("after_backward")
            update.at("before_update")
            self.update_continually(prediction, update.mb_y, update.optimizer)
            update.at("after_update")
        return update.loss

    def end_epoch(self, schedule: Any, where: str) -> None:
        """Check the weights and, since Lightning leaves that to the learner, advance the schedule.

        Args:
            schedule: of the learning rate; None, or whatever else Lightning has, for none.
            where: experience and epoch, for messages.

        Raises:
            DivergenceError: if a parameter is not finite.
        """
        self.check_finite(None, where)
        if not self.automatic_optimization and isinstance(schedule, LRScheduler):
            schedule.step()

    def take_numbers(self) -> dict[str, float]:
        """What training noticed since the last call, by name of the metric.

        How the free phases settled, what their spikes cost (if any), and the present angles of untied feedback.
        """
        numbers: dict[str, float] = {}
        if (latest := self.unsettled.latest) is not None:
            residual, steps = latest
            numbers[metric_names.TRAIN_RESIDUAL] = float(residual)
            numbers[metric_names.TRAIN_FREE_STEPS] = float(steps)
            numbers[metric_names.TRAIN_UNSETTLED] = self.unsettled.take()
            numbers |= self.spike_meter.take()
        if isinstance(self.network, Network):
            for layer, angle in enumerate(self.network.feedback_angles(), start=2):
                numbers[metric_names.TRAIN_FEEDBACK_ANGLE.format(layer=layer)] = angle
        return numbers

    def on_fit_start(self) -> None:
        """Say which of the trainer's settings cannot act on this network."""
        if (reason := precision_problem(self.network, self.trainer.precision)) is not None:
            warnings.warn(f"Trainer(precision): {reason}", UnusedWarning, stacklevel=2)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch `(x, y, ...)`; logs `train/loss` and `train/accuracy`."""
        update = Batch(batch[0], batch[1], None if self.automatic_optimization else self.optimizers())
        loss = self.step(update, f"epoch {self.current_epoch}, batch {batch_idx}")
        measured = {
            metric_names.TRAIN_LOSS: loss.detach(),
            metric_names.TRAIN_ACCURACY: accuracy(update.mb_output, update.mb_y),
        }
        self.log_dict(measured, on_step=False, on_epoch=True, batch_size=len(update.mb_y))
        return loss

    def update_continually(self, prediction: Prediction, y: Tensor, optimizer: Any) -> None:
        """Move the weights step by step, for a gradient with its own updates (C-EP).

        Several processes take the mean of their gradients at every step: autograd, which would do it, has no part here.
        In a stream, `over_processes` does.

        Args:
            prediction: of a batch, from `predict`.
            y: class indices, (B,).
            optimizer: what moves the weights.
        """
        parameters = list(self.network.parameters())
        for gradients in self.gradient.updates(prediction, y, self.criterion):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = self._mean_over_processes(gradient)
            optimizers.step(optimizer)
        optimizers.forget_gradients(optimizer)

    def _mean_over_processes(self, gradient: Tensor) -> Tensor:
        if self.over_processes is not None:
            return self.over_processes(gradient)
        trainer = self._trainer
        if trainer is None or trainer.world_size == 1:
            return gradient
        mean: Tensor = trainer.strategy.reduce(gradient, reduce_op="mean")
        return mean

    def on_train_epoch_end(self) -> None:
        """Log what training noticed in this epoch."""
        self.log_dict(self.take_numbers())
        self.end_epoch(self.lr_schedulers(), f"the end of epoch {self.current_epoch}")

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch without learning; logs `validation/loss` and `validation/accuracy`."""
        return self._measure(batch, metric_names.VALIDATION_LOSS, metric_names.VALIDATION_ACCURACY)

    def test_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch without learning; logs `test/loss` and `test/accuracy`."""
        return self._measure(batch, metric_names.TEST_LOSS, metric_names.TEST_ACCURACY)

    def _measure(self, batch: Sequence[Tensor], loss_name: str, accuracy_name: str) -> Tensor:
        x, y = batch[0], batch[1]
        output = self(x)
        loss: Tensor = self.criterion(output, y)
        self.log(loss_name, loss, batch_size=len(y))
        self.log(accuracy_name, accuracy(output, y), batch_size=len(y))
        return loss

    def predict_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> Tensor:
        """Predicted classes (B,) for a batch `x` or `(x, ...)`: argmax over all outputs."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        classes: Tensor = self(x).argmax(1)
        return classes

    def make_optimizer(self) -> Optimizer:
        """A fresh optimiser over the network's parameters, one group per layer if their learning rates differ."""
        spec = self.spec
        groups: list[dict[str, Any]] = [{"params": list(self.network.parameters()), "lr": spec.lr}]
        if isinstance(self.network, Network) and (spec.lr_scale or spec.conv_lr_scale != 1.0):
            layers, below = self.network.layer_parameters(), len(self.network.convolutions)
            factors = spec.lr_scale or [1.0] * len(layers)
            own = [spec.conv_lr_scale if layer < below else 1.0 for layer in range(len(layers))]
            groups = [
                {"params": parameters, "lr": spec.lr * factor * scale}
                for parameters, factor, scale in zip(layers, factors, own, strict=True)
            ]
        for group in groups:
            group["base_lr"] = group["lr"]
        row = OPTIMIZERS[spec.optimizer]
        options = {name: getattr(spec, name) for name in row.options}
        optimizer: Optimizer = import_path(row.path, "optimizer")(
            groups, lr=spec.lr, weight_decay=spec.weight_decay, **options
        )
        return optimizer

    def make_schedule(self, optimizer: Optimizer, epochs: int) -> LRScheduler | None:
        """The schedule of one `fit`, starting from the optimiser's initial learning rates; None for `constant`.

        Args:
            optimizer: from `make_optimizer`.
            epochs: length of the `fit`.
        """
        row = SCHEDULES[self.spec.schedule]
        if row is None:
            return None
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = group["base_lr"]
        schedule: LRScheduler = import_path(row.path, "schedule")(optimizer, **row.keywords(epochs))
        return schedule

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Optimiser and schedule for Lightning."""
        optimizer = self.make_optimizer()
        epochs = self.trainer.max_epochs or 1
        if SCHEDULES[self.spec.schedule] is not None and epochs < 1:
            raise ConfigError(
                f"schedule: `{self.spec.schedule}` needs the number of epochs; give the Trainer `max_epochs`"
            )
        schedule = self.make_schedule(optimizer, epochs)
        return [optimizer], [] if schedule is None else [schedule]

    def save(self, path: str | Path) -> None:
        """Write a Lightning checkpoint (weights, time steps, arguments) that `Learner.load_from_checkpoint` reads.

        Args:
            path: of the file.
        """
        with quiet_lightning():
            trainer = pl.Trainer(
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                plugins=[LightningEnvironment()],
            )
            trainer.strategy.connect(self)
            trainer.save_checkpoint(path, weights_only=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which packages the learner's parts come from, for those who load it without them."""
        checkpoint[PACKAGES] = {name: str(owner) for name, owner in self.packages().items()}
        if self.read_out:
            checkpoint[READ_OUT] = self.read_out

    def packages(self) -> dict[str, parts.Owner]:
        """The parts that do not come with clep: name or import path -> the package, or the module."""
        values = self.hparams
        network, gradient = values["network"] or {}, values["gradient"] or {}
        named = {"network": network.get("model"), "neuron": network.get("neuron"), "gradient": gradient.get("name")}
        named |= {"connection": network.get("connection"), "cost": values["loss"]}
        owners = {name: parts.owner_of(kind, name) for kind, name in named.items() if name is not None}
        return {name: owner for name, owner in owners.items() if owner}

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, trust: bool = False, **kwargs: Any) -> Self:
        """Lightning's, but nothing in the file is unpickled, and nothing is imported because the file names it.

        Parts of installed packages are found by the names that these register.

        Args:
            checkpoint_path: the path of a checkpoint, or an open file.
            *args: as Lightning's.
            trust: whether parts that the file names by import paths are imported, as those of a configuration are.
            **kwargs: as Lightning's, and arguments of the learner that replace those of the file: `network` is a
                module, or the class or function that makes it from what the file says.

        Raises:
            DataError: if the file is missing, damaged or no checkpoint of a learner, if it asks for code, or holds
                weights that are not finite.
            ConfigError: if its arguments make no learner, or name a part that is not installed or not trusted.

        Example:
            >>> import clep
            >>> clep.Learner(clep.Network([64, 16, 10])).save("learner.ckpt")
            >>> clep.Learner.load_from_checkpoint("learner.ckpt").network.depth
            2
        """
        content = check_checkpoint(checkpoint_path)
        given = kwargs.get("network")
        if given is not None and not isinstance(given, nn.Module | Mapping):
            kwargs["network"] = _remade(content["hyper_parameters"].get("network"), given)
        try:
            with nullcontext() if trust else parts.only_registered(_IN_A_FILE):
                learner = super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
            if name := content.get(READ_OUT):
                learner.read_out = str(name)
                warnings.warn(
                    f"strategies: the accuracies of this run are those of the read-out of `{name}`, which a stored "
                    "learner does not have; it predicts by the output of its network",
                    UnusedWarning,
                    stacklevel=2,
                )
            return learner
        except ConfigError as error:
            raise ConfigError(f"{error}{_made_with(content)}") from error
        except ClepError:
            raise
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{checkpoint_path}: its weights or arguments make no learner: {' '.join(str(error).split())[:300]}"
            ) from error

    def check_finite(self, loss: Tensor | None, where: str) -> None:
        """Stop if a value is not finite.

        Args:
            loss: the loss of this step, a () tensor, or None to check only the parameters.
            where: experience, epoch and batch, for the message.

        Raises:
            DivergenceError: if `loss` or, without a loss, a parameter is NaN or infinite; it names the layer.
        """
        if loss is not None and (math.isfinite(loss.item()) if loss.numel() == 1 else bool(loss.isfinite().all())):
            return
        # A sum is finite only if all its terms are; it takes a tenth of the time of a look at each.
        if loss is None and all(math.isfinite(p.detach().sum().item()) for p in self.network.parameters()):
            return
        layer = next((name for name, p in self.network.named_parameters() if not bool(torch.isfinite(p).all())), None)
        if layer is not None:
            what = f"`{layer}` has values that are not finite"
        elif loss is not None:
            sizes = {name: float(p.detach().abs().max()) for name, p in self.network.named_parameters() if p.numel()}
            largest = max(sizes, key=sizes.__getitem__)
            what = f"the loss is {loss.item()}, the largest weights are in `{largest}` ({sizes[largest]:.3g})"
        else:
            return
        raise DivergenceError(
            f"Training diverged at {where}: {what}. Lower learner.lr or learner.beta, or set learner.gradient_clip."
        )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's start-up banners, tips and advice about loader workers (batches are slices of tensors).

    One of these around many spares each of them two milliseconds: a new level clears what all loggers have cached.
    """
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    if level != logging.WARNING:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning on newer torch
            yield
    finally:
        if level != logging.WARNING:
            logger.setLevel(level)


def precision_problem(network: nn.Module, precision: Any) -> str | None:
    """Why a precision of Lightning's trainer changes nothing in a network; None if it does, or is full anyway.

    Args:
        network: the model.
        precision: as in `pytorch_lightning.Trainer`.

    Example:
        >>> from clep.equilibrium import Network
        >>> precision_problem(Network([4, 3, 2]), "bf16-mixed").partition(";")[0]
        '`bf16-mixed` changes nothing: an equilibrium network relaxes in the precision of its own'
    """
    if not (isinstance(network, Network) and str(precision).endswith("mixed")):
        return None
    return (
        f"`{precision}` changes nothing: an equilibrium network relaxes in the precision of its own; set "
        "network.precision=bfloat16, or leave it out"
    )


def accuracy(output: Tensor, y: Tensor) -> Tensor:
    """Share of a batch that is classified correctly, a () tensor.

    Args:
        output: (B, K).
        y: class indices (B,).

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[0.2, 0.8], [0.6, 0.4]]), torch.tensor([1, 1])).item()
        0.5
    """
    return (output.argmax(1) == y).float().mean()


def arguments_of(network: nn.Module) -> dict[str, Any] | None:
    """The kind and the arguments of a network as plain values; None for an ordinary module.

    Args:
        network: any module.

    Example:
        >>> from clep.equilibrium import Network
        >>> arguments = arguments_of(Network([64, 32, 10]))
        >>> arguments["model"], arguments["sizes"]
        ('equilibrium', [64, 32, 10])
    """
    name = parts.name_of("network", type(network))
    return {"model": name} | network.arguments() if name in parts.own("network") else None  # type: ignore[operator]


def network_from(arguments: Mapping[str, Any]) -> nn.Module:
    """A new network from the result of `arguments_of`, with its own weights.

    Args:
        arguments: as `arguments_of` returns them.

    Raises:
        ConfigError: for arguments that do not make a network.

    Example:
        >>> from clep.equilibrium import Network
        >>> from clep.learner import arguments_of
        >>> network_from(arguments_of(Network([64, 32, 10]))).depth
        2
    """
    values = dict(arguments)
    model = values.pop("model")
    if model in parts.own("network"):
        network: nn.Module = parts.find("network", model)(**values)
        return network
    return networks.make(model, **values)


def criterion_of(loss: str, options: Mapping[str, Any] = MappingProxyType({})) -> Cost:
    """The cost that a registered name or an import path stands for.

    Args:
        loss: name or path.
        options: parameters of a cost of another package.

    Raises:
        ConfigError: for an unknown name or option, or a path to something other than a `Cost`.

    Example:
        >>> criterion_of("mse")
        SquaredError()
    """
    found = parts.find("cost", loss, "loss")
    if not (isinstance(found, type) and issubclass(found, Cost)):
        raise ConfigError(f"loss: `{loss}` is not a class derived from `clep.equilibrium.Cost`")
    criterion: Cost = made(found, options, key="loss", given=("reduction",))  # a learner needs the mean
    return criterion


def _remade(arguments: Any, maker: networks.Maker) -> dict[str, Any]:
    """The arguments of a network in a checkpoint, with what makes it given by the caller."""
    if not (isinstance(arguments, Mapping) and "input_shape" in arguments):
        raise ConfigError("network: the checkpoint does not say how its network was made; pass the module itself")
    return {**arguments, "model": maker}


def _made_with(content: Mapping[str, Any]) -> str:
    """The packages that a checkpoint was made with, for a message."""
    packages = content.get(PACKAGES)
    if not isinstance(packages, Mapping) or not packages:
        return ""
    return f" (in the checkpoint, {', '.join(f'`{name}` is of {owner}' for name, owner in packages.items())})"


@dataclass(frozen=True)
class Autograd(Gradient):
    """What autograd makes of an ordinary module."""

    def predict(self, network: Any, x: Tensor) -> Prediction:
        return Prediction(networks.output_of(network, x))

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        return criterion(prediction.output, y)


_AUTOGRAD = Autograd()
