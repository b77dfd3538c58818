"""The parts of a network: convolutional layers, time steps, dendrites."""

from dataclasses import MISSING, dataclass
from typing import Literal

from clep.errors import ConfigError
from clep.specs.options import Spec, option

Shape = tuple[int, ...]
Pooling = Literal["none", "max", "average"]


@dataclass(frozen=True)
class ConvLayer(Spec):
    """A convolutional layer in the list that describes a network.

    Raises:
        ConfigError: for an unknown pooling or a number out of range.

    Example:
        >>> ConvLayer(8, kernel=5).shape_above((1, 28, 28))
        (8, 12, 12)
    """

    channels: int = option(MISSING, "number of feature maps", "[1, inf)")
    kernel: int = option(3, "side of the square kernel", "[1, inf)")
    stride: int = option(1, "stride of the convolution", "[1, inf)")
    padding: int = option(0, "zeros around the image", "[0, inf)")
    pooling: Pooling = option("max", "pooling over squares that do not overlap")
    pool: int = option(2, "side of these squares", "[1, inf)")

    @property
    def pools(self) -> bool:
        """Whether the layer pools at all."""
        return self.pooling != "none" and self.pool > 1

    @property
    def routes(self) -> bool:
        """Whether feedback follows the winners of the way up, as in max pooling."""
        return self.pooling == "max" and self.pool > 1

    def shape_above(self, below: Shape) -> Shape:
        """(channels, H, W) of this layer on top of one of shape `below`.

        Raises:
            ConfigError: if `below` is not an image, or too small.
        """
        if len(below) != 3:
            raise ConfigError(
                f"channels: a convolutional layer needs images (C, H, W) below it, got a layer of {below}"
            )
        pool = self.pool if self.pools else 1
        sides = [((side + 2 * self.padding - self.kernel) // self.stride + 1) // pool for side in below[1:]]
        if min(sides) < 1:
            raise ConfigError(
                f"kernel: images of {below[1]} x {below[2]} are too small for kernel {self.kernel}, padding "
                f"{self.padding}, stride {self.stride} and pool {pool}; use fewer layers, smaller kernels or padding"
            )
        return self.channels, *sides


@dataclass(frozen=True)
class TimeStep(Spec):
    """How the time steps dt of the neurons are drawn: one step per neuron, drawn once, the same in all phases.

    Reference: Kubo, Modi & Patel 2026 (arXiv 2603.03402). The paper's distributions are not public; the families and
    the matching of means are ours. The draw is of dt, not of the time constant tau = 1 / dt.

    Raises:
        ConfigError: for an unknown name or a value out of range.

    Example:
        >>> from clep.equilibrium import Network
        >>> network = Network([4, 3, 2], time_step=TimeStep("lognormal", mean=0.6, spread=0.5))
        >>> [dt.shape for dt in network.time_steps]
        [torch.Size([3]), torch.Size([2])]
    """

    distribution: Literal["scalar", "lognormal", "gamma", "normal", "uniform"] = option(
        "lognormal", "family of distributions; with `scalar` every step equals `mean`"
    )
    mean: float = option(0.6, "mean step of the network's neurons **after** clipping to [`min`, `max`]", "(0, 1]")
    spread: float = option(
        0.5,
        "width of the family: standard deviation of ln dt (lognormal), coefficient of variation (gamma, normal), half "
        "width over the mean (uniform)",
        "[0, inf)",
    )
    min: float = option(
        0.05, "smallest step; the slowest neuron sets how many relaxation steps a phase needs", "(0, 1]"
    )
    max: float = option(1.0, "largest step; at 1 a neuron jumps to its activation at once", "(0, 1]")
    per: Literal["neuron", "layer"] = option(
        "neuron", "what gets its own step: each `neuron` or, as a control, each `layer` as a whole"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min <= self.mean <= self.max:
            raise ConfigError(f"mean: expected min <= mean <= max, got {self.min} <= {self.mean} <= {self.max}")


@dataclass(frozen=True)
class Dendrites(Spec):
    """The branches of every unit; the defaults are those published for MNIST (Kubo 2026, arXiv 2605.08135).

    Raises:
        ConfigError: for a number out of range.

    Example:
        >>> from clep.equilibrium import Network
        >>> network = Network([4, 3, 2], feedback="dendritic", dendrites=Dendrites(basal=4))
        >>> network.connections[0].weight.shape
        torch.Size([4, 3, 4])
    """

    basal: int = option(8, "branches per unit for what comes from below", "[1, inf)")
    apical: int = option(2, "branches per hidden unit for what comes from above", "[1, inf)")
    density: float = option(0.5, "share of its inputs that a branch keeps, at least one", "(0, 1]")
    gain: float = option(0.2, "factor on what comes from above; at 0 only the last layer learns", "[0, inf)")
    apical_dense: bool = option(False, "whether apical branches keep all of their inputs")
