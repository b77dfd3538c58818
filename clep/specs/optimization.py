"""Optimisers and schedules, one row each, and the options of a learner's loss and optimiser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clep import parts
from clep.checks import one_of
from clep.specs.options import Spec, option


@dataclass(frozen=True)
class Optimizer:
    """One of torch's optimisers: its import path, and the options it takes besides `lr` and `weight_decay`."""

    path: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """One of torch's schedules: its import path, and its keywords for a number of epochs."""

    path: str
    keywords: Callable[[int], Mapping[str, Any]]


OPTIMIZERS = {
    "sgd": Optimizer("torch.optim:SGD", ("momentum",)),
    "adam": Optimizer("torch.optim:Adam"),
    "adamw": Optimizer("torch.optim:AdamW"),
}
"""Name of an optimiser -> where to find it and what it takes."""

SCHEDULES: dict[str, Schedule | None] = {
    "constant": None,
    "cosine": Schedule("torch.optim.lr_scheduler:CosineAnnealingLR", lambda epochs: {"T_max": epochs}),
}
"""Name of a schedule over the epochs of one experience -> where to find it and what it takes."""


@dataclass(frozen=True)
class Optimization(Spec):
    """Loss and optimiser: the keywords of `clep.Learner`.

    Example:
        >>> Optimization(optimizer="adam").lr
        0.01
    """

    loss: str = option(
        "mse",
        "`mse` (half the summed squared error, mean over the batch), `cross_entropy`, or a `clep.equilibrium.Cost` of "
        "another package, by its name or import path",
    )
    loss_options: dict[str, Any] = option({}, "parameters of a loss of another package")
    optimizer: str = option("sgd", f"one of {', '.join(OPTIMIZERS)}")
    lr: float = option(0.01, "learning rate", "(0, inf)")
    lr_scale: list[float] = option([], "one factor on `lr` per layer, lowest first; [] for 1 everywhere", "[0, inf)")
    conv_lr_scale: float = option(
        1.0,
        "factor on `lr` of all convolutional layers, on top of `lr_scale`: a kernel adds up the gradients of all "
        "places of an image, so it moves further than a dense layer at the same rate. 0 freezes the convolutions as "
        "they were drawn, and the dense layers above learn from random features",
        "[0, inf)",
    )
    momentum: float = option(0.9, "momentum of SGD", "[0, 1)")
    weight_decay: float = option(0.0, "L2 penalty of the optimiser", "[0, inf)")
    schedule: str = option(
        "constant",
        f"learning rate over the epochs of an experience, one of {', '.join(SCHEDULES)}; `cosine` falls from `lr` to 0",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != type(self).loss:  # to look registered names up takes time, and defaults are made early
            parts.check_name("cost", self.loss, "loss")
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule", self.schedule, SCHEDULES)
