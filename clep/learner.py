"""A LightningModule around a network: gradient, optimiser, schedule, and a step of training, validation, prediction."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from clep.diagnostics.energy import SpikeMeter
from clep.diagnostics.settling import Unsettled
from clep.equilibrium import (
    Backpropagation,
    Clamping,
    ContinualNudging,
    CostNudging,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.equilibrium.phases import FreePhase
from clep.errors import ConfigError, DivergenceError
from clep.estimates import GRADIENTS, Gradient, check, gradient_from, plain_gradient
from clep.feedforward import Feedforward

LOSSES: dict[str, type[nn.Module]] = {"mse": SquaredError, "cross_entropy": nn.CrossEntropyLoss}
"""Loss name -> criterion of (output (B, K), class indices (B,))."""

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Prediction:
    """Output of a network on one batch, with the free phase it came from when the loss needs it."""

    output: Tensor
    free: FreePhase | None = None


class Learner(pl.LightningModule):
    """Trains a network on labelled batches `(x, y, ...)`; works with a plain `Trainer.fit` on any data loader.

    Args:
        network: an equilibrium `Network`, or any module that maps (B, ...) to (B, K): ordinary modules are trained by
            backpropagation. A mapping is read as the arguments of a `Network` (this is how checkpoints are loaded).
        gradient: None for an ordinary module and for the network's own; `LinearNudging` or `Backpropagation`, which
            take any loss; `CostNudging`, `ContinualNudging` (C-EP) or `Clamping` (CHL), which follow their own cost.
        lr: learning rate, > 0.
        loss: `mse` (half the summed squared error, batch mean) or `cross_entropy`.
        optimizer: `sgd`, `adam` or `adamw`.
        momentum: momentum of SGD, in [0, 1).
        weight_decay: L2 penalty of the optimiser, >= 0.

    Other arguments:
        lr_scale: one factor on `lr` per layer of the network, lowest first; empty for 1 everywhere.
        schedule: `constant`, or `cosine` from `lr` to 0 over the epochs of one `fit` (in a stream, of one experience).

    Raises:
        ConfigError: for an unknown name, or a gradient that the network or the loss cannot use.

    Example:
        >>> import clep, torch
        >>> learner = clep.Learner(clep.Network([64, 32, 10]), gradient=clep.CostNudging(beta=0.5), lr=0.1)
        >>> learner(torch.rand(3, 64)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        network: nn.Module | Mapping[str, Any],
        *,
        gradient: Gradient | Mapping[str, Any] | None = None,
        lr: float = 0.01,
        loss: str = "mse",
        optimizer: str = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        lr_scale: Sequence[float] = (),
        schedule: str = "constant",
    ) -> None:
        super().__init__()
        self.network = _network_from(network) if isinstance(network, Mapping) else network
        gradient = gradient_from(gradient, loss) if isinstance(gradient, Mapping) else gradient
        if not isinstance(self.network, nn.Module):
            raise ConfigError(
                f"network: expected a module or the arguments of a `Network`, got `{type(network).__name__}`; a "
                "checkpoint holds no ordinary module: give it to `Learner.load_from_checkpoint` as `network=`."
            )
        if not isinstance(gradient, Gradient | None):
            names = ", ".join(f"`{kind.__name__}`" for kind in GRADIENTS.values())
            raise ConfigError(f"gradient: expected one of {names} or None, got `{type(gradient).__name__}`.")
        for key, name, valid in (
            ("loss", loss, LOSSES),
            ("optimizer", optimizer, OPTIMIZERS),
            ("schedule", schedule, SCHEDULES),
        ):
            if name not in valid:
                raise ConfigError(f"learner.{key}: unknown {key} `{name}`. Valid names: {', '.join(valid)}.")
        if isinstance(self.network, Network):
            check(self.network, gradient, loss, optimizer, momentum, weight_decay)
            if isinstance(gradient, LinearNudging | Backpropagation):
                self.network.nudging = gradient
            layers = len(self.network.layer_parameters())
            if lr_scale and len(lr_scale) != layers:
                raise ConfigError(
                    f"learner.lr_scale: expected one factor for each of the {layers} layers of the network, got "
                    f"{len(lr_scale)}."
                )
        elif gradient is not None or lr_scale:
            raise ConfigError(
                "learner.gradient and learner.lr_scale need an equilibrium `Network`, "
                f"got `{type(self.network).__name__}`."
            )
        self.own_cost = gradient if isinstance(gradient, CostNudging | Clamping) else None
        self.continual = gradient if isinstance(gradient, ContinualNudging) else None
        self.automatic_optimization = self.continual is None
        self.unsettled = Unsettled()
        self.spike_meter = SpikeMeter()
        self.criterion = LOSSES[loss]()
        self.save_hyperparameters(
            {
                "network": self.network.arguments() if isinstance(self.network, Network | Feedforward) else None,
                "gradient": plain_gradient(gradient or getattr(self.network, "nudging", None)),
                "lr": lr,
                "loss": loss,
                "optimizer": optimizer,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "lr_scale": list(lr_scale),
                "schedule": schedule,
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Output (B, K) for `x` (B, ...)."""
        return self.network(x)

    def predict(self, x: Tensor) -> Prediction:
        """The prediction that `loss` differentiates; the free phase of one training step."""
        if self.own_cost is None:
            prediction = Prediction(self.network(x))
        else:
            free = self._equilibrium.free_phase(x)
            prediction = Prediction(self._equilibrium.read_out(free.output), free)
        if self.relaxes:
            self.unsettled.look(self._equilibrium)
            self.spike_meter.look(self._equilibrium, len(x))
        return prediction

    @property
    def relaxes(self) -> bool:
        """Whether training runs free phases whose end is known: not in ordinary modules, nor under BPTT."""
        return isinstance(self.network, Network) and not isinstance(self.network.nudging, Backpropagation)

    @property
    def _equilibrium(self) -> Network:
        """The network where only an equilibrium network can be: with a cost of its own, factors per layer, phases."""
        assert isinstance(self.network, Network)
        return self.network

    def loss(self, prediction: Prediction, y: Tensor) -> Tensor:
        """Mean loss of a prediction for class indices `y` (B,), a () tensor; `backward()` runs the nudged phases."""
        if self.own_cost is not None and prediction.free is not None:
            return self.own_cost.loss(self._equilibrium, prediction.free, y)
        return self.criterion(prediction.output, y)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch `(x, y, ...)`; logs `train/loss` and `train/accuracy`."""
        x, y = batch[0], batch[1]
        prediction = self.predict(x)
        loss = self.loss(prediction, y)
        self.check_finite(loss, f"epoch {self.current_epoch}, batch {batch_idx}")
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(y))
        self.log("train/accuracy", accuracy(prediction.output, y), on_step=False, on_epoch=True, batch_size=len(y))
        if self.continual is not None:
            self.update_continually(prediction, y, self.optimizers())
        return loss

    def update_continually(self, prediction: Prediction, y: Tensor, optimizer: Any) -> None:
        """C-EP: let the nudged phase run and move the weights after each of its steps."""
        assert self.continual is not None
        assert prediction.free is not None
        parameters = list(self.network.parameters())
        for gradients in self.continual.updates(self._equilibrium, prediction.free, y):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        optimizer.zero_grad()

    def on_train_epoch_end(self) -> None:
        """Log the share of batches whose free phase did not settle, what spikes cost, and angles of untied feedback."""
        if self.relaxes:
            self.log("train/unsettled", self.unsettled.take())
            self.log_dict(self.spike_meter.take(self._equilibrium))
        if isinstance(self.network, Network):
            for layer, angle in enumerate(self.network.feedback_angles(), start=2):
                self.log(f"train/feedback_angle_layer_{layer}", angle)
        schedule = self.lr_schedulers()
        if self.continual is not None and isinstance(schedule, LRScheduler):
            schedule.step()

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch without learning; logs `validation/loss` and `validation/accuracy`."""
        x, y = batch[0], batch[1]
        output = self(x)
        loss = self.criterion(output, y)
        self.log("validation/loss", loss, batch_size=len(y))
        self.log("validation/accuracy", accuracy(output, y), batch_size=len(y))
        return loss

    def predict_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> Tensor:
        """Predicted classes (B,) of a batch `x` or `(x, ...)`: argmax over all outputs."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self(x).argmax(1)

    def make_optimizer(self) -> Optimizer:
        """A fresh optimiser over the network's parameters, one group per layer if `lr_scale` is given."""
        hp = self.hparams
        groups: list[dict[str, Any]] = [{"params": list(self.network.parameters()), "lr": hp["lr"]}]
        if hp["lr_scale"]:
            layers = zip(self._equilibrium.layer_parameters(), hp["lr_scale"], strict=True)
            groups = [{"params": parameters, "lr": hp["lr"] * scale} for parameters, scale in layers]
        for group in groups:
            group["base_lr"] = group["lr"]
        momentum = {"momentum": hp["momentum"]} if hp["optimizer"] == "sgd" else {}
        return OPTIMIZERS[hp["optimizer"]](groups, lr=hp["lr"], weight_decay=hp["weight_decay"], **momentum)

    def make_schedule(self, optimizer: Optimizer, epochs: int) -> LRScheduler | None:
        """The schedule of one `fit`, from the optimiser's first learning rates; None for `constant`."""
        if self.hparams["schedule"] == "constant":
            return None
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = group["base_lr"]
        return CosineAnnealingLR(optimizer, T_max=epochs)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Optimiser and schedule for Lightning."""
        optimizer = self.make_optimizer()
        epochs = self.trainer.max_epochs or 1
        if self.hparams["schedule"] == "cosine" and epochs < 1:
            raise ConfigError("learner.schedule: `cosine` needs the number of epochs; give the Trainer `max_epochs`.")
        schedule = self.make_schedule(optimizer, epochs)
        return [optimizer], [] if schedule is None else [schedule]

    def save(self, path: str | Path) -> None:
        """Write a Lightning checkpoint (weights, time steps, arguments) that `Learner.load_from_checkpoint` reads."""
        with quiet_lightning():
            trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
            trainer.strategy.connect(self)
            trainer.save_checkpoint(path, weights_only=True)

    def check_finite(self, loss: Tensor | None, where: str) -> None:
        """Refuse to go on with values that are not finite.

        Args:
            loss: the loss of this step, or None to look at the parameters alone.
            where: experience, epoch and batch, for the message.

        Raises:
            DivergenceError: if `loss` or, where no loss is given, a parameter is NaN or infinite; it names the layer.
        """
        if loss is not None and bool(torch.isfinite(loss).all()):
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
    """Without Lightning's start-up banners, tips and advice about loader workers (batches are slices of tensors)."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning on newer torch
            yield
    finally:
        logger.setLevel(level)


def accuracy(output: Tensor, y: Tensor) -> Tensor:
    """Share of a batch whose largest output is its class, a () tensor."""
    return (output.argmax(1) == y).float().mean()


def _network_from(arguments: Mapping[str, Any]) -> Network | Feedforward:
    if "activation" in arguments:
        return Feedforward(**arguments)
    return Network(**{**arguments, "time_step": TimeStep(**arguments.get("time_step", {}))})
