"""Losses, optimisers and schedules, one row each, and the options of a learner's optimiser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clep.checks import one_of
from clep.imports import check_name
from clep.specs.options import Spec, option


@dataclass(frozen=True)
class Loss:
    """A loss by its import paths.

    Attributes:
        criterion: (output (B, K), class indices (B,)) -> ().
        cost: the `clep.equilibrium.Cost` that nudges by it.
    """

    criterion: str
    cost: str


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


LOSSES = {
    "mse": Loss("clep.equilibrium.costs:SquaredError", "clep.equilibrium.costs:SquaredError"),
    "cross_entropy": Loss("torch.nn:CrossEntropyLoss", "clep.equilibrium.costs:CrossEntropy"),
}
"""Name of a loss -> where to find it."""

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
        "`mse` (half the summed squared error, mean over the batch), `cross_entropy`, or the import path of a "
        "`clep.equilibrium.Cost`",
    )
    optimizer: str = option("sgd", f"one of {', '.join(OPTIMIZERS)}")
    lr: float = option(0.01, "learning rate", "(0, inf)")
    lr_scale: list[float] = option([], "one factor on `lr` per layer, lowest first; [] for 1 everywhere", "[0, inf)")
    momentum: float = option(0.9, "momentum of SGD", "[0, 1)")
    weight_decay: float = option(0.0, "L2 penalty of the optimiser", "[0, inf)")
    schedule: str = option(
        "constant",
        f"learning rate over the epochs of an experience, one of {', '.join(SCHEDULES)}; `cosine` falls from `lr` to 0",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("loss", self.loss, LOSSES, "loss")
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule", self.schedule, SCHEDULES)
