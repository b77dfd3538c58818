"""A LightningModule around a network: gradient, optimiser, schedule, and a step of training, validation, prediction."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from clep.equilibrium import CostNudging, LinearNudging, Network, SquaredError, TimeStep
from clep.equilibrium.phases import FreePhase
from clep.errors import ConfigError, DivergenceError

LOSSES: dict[str, type[nn.Module]] = {"mse": SquaredError, "cross_entropy": nn.CrossEntropyLoss}
"""Loss name -> criterion of (output (B, K), class indices (B,))."""

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULES = ("constant", "cosine")
_GRADIENTS = {"linear": LinearNudging, "cost": CostNudging}


@dataclass(frozen=True)
class Prediction:
    """Output of a network on one batch, with the free phase it came from when the loss needs it (cost nudging)."""

    output: Tensor
    free: FreePhase | None = None


class Learner(pl.LightningModule):
    """Trains a network on labelled batches `(x, y, ...)`; works with a plain `Trainer.fit` on any data loader.

    Args:
        network: an equilibrium `Network`, or any module that maps (B, ...) to (B, K): ordinary modules are trained by
            backpropagation. A mapping is read as the arguments of a `Network` (this is how checkpoints are loaded).
        gradient: `LinearNudging` (the network's own, if None) or `CostNudging`; None for an ordinary module.
        lr: learning rate, > 0.
        loss: `mse` (half the summed squared error, batch mean) or `cross_entropy`.
        optimizer: `sgd`, `adam` or `adamw`.
        momentum: momentum of SGD, in [0, 1).
        weight_decay: L2 penalty of the optimiser, >= 0.

    Other arguments:
        lr_scale: one factor on `lr` per connection of the network, lowest first; empty for 1 everywhere.
        schedule: `constant`, or `cosine` from `lr` to 0 over the epochs of one `fit` (in a stream, of one experience).

    Raises:
        ConfigError: for an unknown name, or a gradient that the network or the loss cannot use.

    Example:
        >>> learner = Learner(Network([64, 32, 10]), gradient=CostNudging(beta=0.5), lr=0.1)
        >>> learner(torch.rand(3, 64)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        network: nn.Module | Mapping[str, Any],
        *,
        gradient: LinearNudging | CostNudging | Mapping[str, Any] | None = None,
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
        gradient = _gradient_from(gradient) if isinstance(gradient, Mapping) else gradient
        if not isinstance(self.network, nn.Module):
            raise ConfigError(
                f"network: expected a module or the arguments of a `Network`, got `{type(network).__name__}`; a "
                "checkpoint holds no ordinary module: give it to `Learner.load_from_checkpoint` as `network=`."
            )
        if not isinstance(gradient, LinearNudging | CostNudging | None):
            raise ConfigError(
                f"gradient: expected a `LinearNudging`, a `CostNudging` or None, got `{type(gradient).__name__}`."
            )
        for key, name, valid in (
            ("loss", loss, LOSSES),
            ("optimizer", optimizer, OPTIMIZERS),
            ("schedule", schedule, SCHEDULES),
        ):
            if name not in valid:
                raise ConfigError(f"learner.{key}: unknown {key} `{name}`. Valid names: {', '.join(valid)}.")
        if isinstance(self.network, Network):
            if isinstance(gradient, LinearNudging):
                self.network.nudging = gradient
            if isinstance(gradient, CostNudging) and loss != "mse":
                raise ConfigError(
                    f"learner.loss: cost nudging needs the nudge of its cost and has it for `mse` only, got `{loss}`. "
                    "Use learner.nudging=linear, which takes any loss."
                )
            if lr_scale and len(lr_scale) != self.network.depth:
                raise ConfigError(
                    f"learner.lr_scale: expected one factor for each of the {self.network.depth} connections of the "
                    f"network, got {len(lr_scale)}."
                )
        elif gradient is not None or lr_scale:
            raise ConfigError(
                "learner.gradient and learner.lr_scale need an equilibrium `Network`, "
                f"got `{type(self.network).__name__}`."
            )
        self.cost_nudging = gradient if isinstance(gradient, CostNudging) else None
        self.criterion = LOSSES[loss]()
        self.save_hyperparameters(
            {
                "network": self.network.arguments() if isinstance(self.network, Network) else None,
                "gradient": _plain_gradient(gradient or getattr(self.network, "nudging", None)),
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
        if self.cost_nudging is None:
            return Prediction(self.network(x))
        free = self.network.free_phase(x)
        return Prediction(free.output, free)

    def loss(self, prediction: Prediction, y: Tensor) -> Tensor:
        """Mean loss of a prediction for class indices `y` (B,), a () tensor; `backward()` runs the nudged phases."""
        if self.cost_nudging is not None and prediction.free is not None:
            return self.cost_nudging.loss(self.network, prediction.free, y)
        return self.criterion(prediction.output, y)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch `(x, y, ...)`; logs `train/loss` and `train/accuracy`."""
        x, y = batch[0], batch[1]
        prediction = self.predict(x)
        loss = self.loss(prediction, y)
        self.check_finite(loss, f"epoch {self.current_epoch}, batch {batch_idx}")
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(y))
        self.log("train/accuracy", accuracy(prediction.output, y), on_step=False, on_epoch=True, batch_size=len(y))
        return loss

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
        """A fresh optimiser over the network's parameters, one group per connection if `lr_scale` is given."""
        hp = self.hparams
        groups: list[dict[str, Any]] = [{"params": list(self.network.parameters()), "lr": hp.lr}]
        if hp.lr_scale:
            groups = [
                {"params": list(connection.parameters()), "lr": hp.lr * scale}
                for connection, scale in zip(self.network.connections, hp.lr_scale, strict=True)
            ]
        for group in groups:
            group["base_lr"] = group["lr"]
        momentum = {"momentum": hp.momentum} if hp.optimizer == "sgd" else {}
        return OPTIMIZERS[hp.optimizer](groups, lr=hp.lr, weight_decay=hp.weight_decay, **momentum)

    def make_schedule(self, optimizer: Optimizer, epochs: int) -> LRScheduler | None:
        """The schedule of one `fit`, from the optimiser's first learning rates; None for `constant`."""
        if self.hparams.schedule == "constant":
            return None
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = group["base_lr"]
        return CosineAnnealingLR(optimizer, T_max=epochs)

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and schedule for Lightning."""
        optimizer = self.make_optimizer()
        epochs = self.trainer.max_epochs or 1
        if self.hparams.schedule == "cosine" and epochs < 1:
            raise ConfigError("learner.schedule: `cosine` needs the number of epochs; give the Trainer `max_epochs`.")
        schedule = self.make_schedule(optimizer, epochs)
        return {"optimizer": optimizer} | ({} if schedule is None else {"lr_scheduler": schedule})

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
        if loss is None and layer is None:
            return
        if layer is None:
            sizes = {name: float(p.detach().abs().max()) for name, p in self.network.named_parameters() if p.numel()}
            largest = max(sizes, key=sizes.__getitem__)
            what = f"the loss is {loss.item()}, the largest weights are in `{largest}` ({sizes[largest]:.3g})"
        else:
            what = f"`{layer}` has values that are not finite"
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


def _network_from(arguments: Mapping[str, Any]) -> Network:
    return Network(**{**arguments, "time_step": TimeStep(**arguments.get("time_step", {}))})


def _gradient_from(arguments: Mapping[str, Any]) -> LinearNudging | CostNudging:
    values = dict(arguments)
    return _GRADIENTS[values.pop("nudging")](**values)


def _plain_gradient(gradient: LinearNudging | CostNudging | None) -> dict[str, Any] | None:
    if gradient is None:
        return None
    nudging = next(name for name, cls in _GRADIENTS.items() if type(gradient) is cls)
    return {"nudging": nudging} | {key: value for key, value in vars(gradient).items() if key != "cost"}
