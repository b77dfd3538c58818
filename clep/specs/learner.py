"""The options of a learner: its gradient estimate, its optimiser, and how long it trains."""

from dataclasses import dataclass
from typing import Any, Literal

from clep import parts
from clep.specs.gradients import BackpropagationOptions, ClampingOptions, CostOptions
from clep.specs.optimization import Optimization
from clep.specs.options import Spec, option


@dataclass(frozen=True)
class TrainingSpec(Spec):
    """How long and how a learner trains on each experience: keywords of `clep.Training`.

    Example:
        >>> TrainingSpec(epochs=2).plain()["batch_size"]
        32
    """

    batch_size: int = option(32, "samples per batch", "[1, inf)")
    epochs: int = option(5, "passes over the data of each experience", "[1, inf)")
    evaluate_epochs: bool = option(False, "whether to measure accuracy after every epoch too; training is unaffected")
    cuda_graph: Literal["off", "auto", "on"] = option(
        "off",
        "whether free phase, nudged phases and gradients are recorded as a CUDA graph and replayed in each update: "
        "`auto`, where they can be; `on`, or else the run is refused. No card has run it yet",
    )
    reset_optimizer: bool = option(
        True, "whether each experience starts with a fresh optimiser (no momentum); plain Avalanche keeps the old one"
    )


@dataclass(frozen=True)
class LearnerSpec(Optimization, TrainingSpec, CostOptions, ClampingOptions, BackpropagationOptions):
    """The section `learner` of a configuration.

    Example:
        >>> LearnerSpec(gradient="bptt").lr
        0.01
    """

    gradient: str = option(
        "linear",
        "estimate of the gradient: `linear`, nudged by any loss; `cost`, nudged by its own cost; `cep`, C-EP, which "
        "moves the weights at every nudged step; `clamped`, contrastive Hebbian learning; `bptt`, backpropagation "
        "through the same steps; or a `clep.equilibrium.Gradient` of another package, by its name or import path",
    )
    gradient_options: dict[str, Any] = option({}, "parameters of a gradient of another package that are no keys here")
    hidden_states: bool = option(
        False, "whether to record how large and how distributed the hidden states are in a free phase after training"
    )
    gradient_clip: float | None = option(None, "largest norm of a gradient; null for no clipping", "(0, inf)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient != type(self).gradient:  # to look registered names up takes time, and defaults are made early
            parts.check_name("gradient", self.gradient, "gradient")
