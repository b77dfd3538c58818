"""The options of an equilibrium network, and the section of the configuration that holds them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clep import parts
from clep.errors import ConfigError
from clep.specs.layers import ConvLayer, Dendrites, Pooling, TimeStep
from clep.specs.options import Spec, option

Compiled = Literal["auto", "off"]
Dynamics = Literal["prototypical", "energy", "bernoulli"]
Feedback = Literal["tied", "untied", "dendritic"]
Initialization = Literal["fan_in", "glorot"]
Order = Literal["synchronous", "asynchronous"]
Precision = Literal["full", "bfloat16"]
Readout = Literal["state", "linear"]


@dataclass(frozen=True)
class NetworkSpec(Spec):
    """Everything about an equilibrium network except its layers and weights.

    Raises:
        ConfigError: for a value of the wrong type or out of range.

    Example:
        >>> from clep.equilibrium import Network
        >>> network = Network([4, 3, 2], neuron="tanh")
        >>> network.spec.neuron, network.spec.free_steps
        ('tanh', 20)
    """

    neuron: str = option(
        "hard_sigmoid",
        "activation of every layer: a name of `clep list neurons`, or the import path of a `clep.equilibrium.Neuron` "
        "or of what makes one",
    )
    neuron_options: dict[str, Any] = option({}, "parameters of a neuron of another package")
    bias: bool = option(False, "whether layers above the input have biases")
    init: Initialization = option(
        "fan_in",
        "initial weights: `fan_in`, U(-1/sqrt(n_in), 1/sqrt(n_in)) as in `torch.nn`, or `glorot`, "
        "U(+-sqrt(6 / (n_in + n_out)))",
    )
    free_steps: int = option(20, "steps of the free phase, from zero states", "[1, inf)")
    nudged_steps: int = option(6, "steps of each nudged phase, from the free equilibrium", "[1, inf)")
    time_step: TimeStep = option(TimeStep(), "time steps of the neurons")
    relaxation: Order = option("synchronous", "whether all layers move at once or the odd ones first")
    tolerance: float = option(
        0.0,
        "residual of the whole batch at which the free phase stops early; 0 takes all `free_steps`, so no sample "
        "depends on its batch",
        "[0, inf)",
    )
    dynamics: Dynamics = option(
        "prototypical",
        "how a neuron moves: towards its activation (`prototypical`), as a leaky potential (`energy`), or as the "
        "probability of the spikes it sends (`bernoulli`)",
    )
    average_steps: int = option(
        1, "with `bernoulli`, a phase ends at the mean of the states over its last `average_steps` steps", "[1, inf)"
    )
    readout: Readout = option(
        "state", "`state`: the last layer relaxes and is the output; `linear`: a linear map outside the dynamics"
    )
    feedback: Feedback = option(
        "tied",
        "what carries signals down: the transpose of the forward weights (`tied`), separate weights (`untied`), or "
        "apical branches with separate weights, in units whose inputs arrive on branches (`dendritic`)",
    )
    feedback_scale: float = option(
        1.0,
        "factor on all feedback; below 1 the network settles in fewer steps. Gradients are divided by it once per "
        "layer (FRE-RNN; Liu & Chen 2025, arXiv 2508.11659)",
        "(0, inf)",
    )
    dendrites: Dendrites = option(Dendrites(), "branches of every unit with `feedback=dendritic`")
    inhibition: float = option(
        0.0,
        "kappa of the mean inhibition among the n units of each hidden layer, a term -kappa / (2 n) (sum_i s_i)^2 of "
        "Phi",
        "[0, inf)",
    )
    residual_links: int = option(
        0, "n > 0 adds dense links without biases from every n-th hidden layer to the one n above it", "[0, inf)"
    )
    connection: str = option(
        "dense",
        "what joins dense layers: `dense`, or a `clep.equilibrium.Connection` of another package, by its name or "
        "import path (with tied feedback)",
    )
    connection_options: dict[str, Any] = option({}, "parameters of a connection of another package")
    compiled: Compiled = option(
        "auto",
        "whether relaxations take steps that numba compiles where it can: in dense layers whose activation is a ramp, "
        "on a CPU. They are quicker and round otherwise than torch; `off` for steps of torch alone",
    )
    precision: Precision = option("full", "of states and weights while the network relaxes; updates are always `full`")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.connection != type(self).connection:  # looking names up takes time, and defaults are made early
            parts.check_name("connection", self.connection, "connection")


@dataclass(frozen=True)
class NetworkSection(NetworkSpec):
    """The section `network` of a configuration: the options of a network, and the layers between input and output.

    Raises:
        ConfigError: as in `NetworkSpec`, and for options that make no sense together.

    Example:
        >>> NetworkSection(hidden=[32]).layers((1, 8, 8), classes=10)
        [64, 32, 10]
    """

    name: str = option("hts_ep", "a file of configs/network/, the path of one, or the name of a `model`")
    model: str = option(
        "equilibrium",
        "`equilibrium`; `feedforward`, ordinary layers trained by backpropagation; or a network of another package, by "
        "its name or the import path of any `torch.nn.Module` or of a function that makes one, trained likewise",
    )
    options: dict[str, Any] = option({}, "parameters of a network of another package; the other keys do not act in it")
    channels: list[int] = option([], "feature maps of convolutional layers, lowest first", "[1, inf)")
    kernel: list[int] = option([ConvLayer.kernel], "side of their kernels: one value for all, or one each", "[1, inf)")
    stride: list[int] = option([ConvLayer.stride], "stride of their convolutions, one value or one each", "[1, inf)")
    padding: list[int] = option([ConvLayer.padding], "zeros around their images, one value or one each", "[0, inf)")
    pooling: Pooling = option(ConvLayer.pooling, "their pooling")
    pool: list[int] = option([ConvLayer.pool], "side of the squares that are pooled, one value or one each", "[1, inf)")
    hidden: list[int] = option([256], "units of the hidden dense layers, above the convolutional ones", "[1, inf)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model != type(self).model:
            parts.check_name("network", self.model, "model")
        if not (self.hidden or self.channels):
            raise ConfigError("hidden: expected the size of at least one hidden layer, as in [256], got []")
        for key in ("kernel", "stride", "padding", "pool") if self.channels else ():
            if len(values := getattr(self, key)) not in (1, len(self.channels)):
                raise ConfigError(
                    f"{key}: expected 1 value for all layers, or {len(self.channels)}, one for each of `channels`, "
                    f"got {values}"
                )

    @property
    def convolutions(self) -> list[ConvLayer]:
        """The convolutional layers, lowest first."""
        if not self.channels:  # then nobody has looked at how many values the others have
            return []
        n, given = len(self.channels), (self.kernel, self.stride, self.padding, self.pool)
        lists = (values * n if len(values) == 1 else values for values in given)
        return [
            ConvLayer(channels, kernel, stride, padding, self.pooling, pool)
            for channels, kernel, stride, padding, pool in zip(self.channels, *lists, strict=True)
        ]

    def layers(self, image: Sequence[int], classes: int) -> list[Any]:
        """All layers, from an input of shape `image` to one output per class, as `Network` takes them."""
        first = [tuple(image), *self.convolutions] if self.channels else [math.prod(image)]
        return [*first, *self.hidden, classes]
