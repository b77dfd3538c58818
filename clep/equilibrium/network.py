"""A layered equilibrium network with heterogeneous time steps (HTS-EP)."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clep.equilibrium.architecture import (
    Layer,
    checked_sizes,
    gains,
    joining,
    linear_readout,
    plain_layer,
    wiring_of,
)
from clep.equilibrium.bernoulli import Bernoulli
from clep.equilibrium.body import Body, FreePhase
from clep.equilibrium.connections import Connection, Dense, Wiring, effective
from clep.equilibrium.convolution import Convolution
from clep.equilibrium.dynamics import Dynamics, Link, Stop, Watch, full_precision
from clep.equilibrium.gradients import Gradient, LinearNudging, refuse_gradient
from clep.equilibrium.kept import KeptSteps
from clep.equilibrium.modules import Modules
from clep.equilibrium.motions import EnergyBased, Motion, Prototypical
from clep.equilibrium.stack import DenseLayer, DenseStack, own_bias, refuse_computed
from clep.equilibrium.time_steps import draw_time_steps
from clep.errors import ConfigError
from clep.renames import of_network
from clep.specs.layers import ConvLayer, Shape
from clep.specs.network import NetworkSpec
from clep.specs.neurons import Neuron, neuron_of
from clep.specs.options import from_keywords, takes
from clep.specs.refusals import Setup, refuse

PRECISIONS: dict[str, torch.dtype | None] = {"full": None, "bfloat16": torch.bfloat16}

_EVALUATION_SEED = 0  # of the spikes outside training; the same for all, so a loaded network gives equal numbers


@takes(NetworkSpec)
class Network(nn.Module):
    """Layers of neurons joined by two-way connections, each neuron with its own time step.

    `network(x)` is the output of the free equilibrium, as a differentiable function. Compute any loss from it;
    `backward()` runs equilibrium propagation as `gradient` says.

    Shapes: input (B, ...) is read as (B, *sizes[0]); output (B, sizes[-1]). The dtype is that of the parameters, even
    under autocast.

    If neurons send spikes, each free phase in training draws a seed and shares it with the other phases of its update.
    In evaluation mode (`eval()`) the seed is fixed: the result depends only on weights and batch, and evaluating does
    not affect training.

    Args:
        sizes: layers from input to output, at least two: the number of units, or a `ConvLayer`; the input of a
            convolutional layer is a shape (C, H, W).
        seed: seeds the initial weights, the time steps, the random signs and the spikes of training, each with its own
            generator.
        gradient: how `backward()` estimates the gradient; `LinearNudging()` if None. See `with_gradient`.

    Raises:
        ConfigError: for a layer without units, an unknown name, a number out of range, or options that make no sense
            together.

    Example:
        >>> import torch
        >>> from clep.equilibrium import ConvLayer
        >>> network = Network([64, 32, 10], seed=1)
        >>> network(torch.rand(5, 64)).shape
        torch.Size([5, 10])
        >>> network = Network([(1, 28, 28), ConvLayer(8, kernel=5), 10])
        >>> network(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        sizes: Sequence[Layer | Mapping[str, Any]],
        *,
        seed: int = 0,
        gradient: Gradient | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        options = of_network(options)
        gradient = options.pop("gradient", gradient)
        self.spec = from_keywords(NetworkSpec, options)
        self.sizes = checked_sizes(sizes, self.spec.readout)
        refuse("network", Setup(self.spec, self.convolutions, layers=len(self.sizes) - 1))
        neuron_of(
            self.spec.neuron, self.spec.neuron_options
        )  # imports an activation of your own, or says why it cannot
        self.gradient: Gradient = LinearNudging() if gradient is None else gradient
        refuse_gradient(self.spec, self.convolutions, self.gradient)

        dt_seed, sign_seed, feedback_seed, spike_seed, mask_seed = np.random.SeedSequence(seed).spawn(5)
        wiring = wiring_of(self.spec, seed, _generator(feedback_seed), _generator(mask_seed))
        relaxing = self.sizes if self.spec.readout == "state" else self.sizes[:-1]
        first = relaxing[0]
        self.shapes: list[Shape] = [(first,) if isinstance(first, int) else first]
        self.connections: Modules[Connection] = Modules()
        join = joining(self.spec)
        for layer in relaxing[1:]:
            below, wired = self.shapes[-1], replace(wiring, feeds_back=len(self.shapes) > 1)
            self.connections.append(
                Convolution(below, layer, wired) if isinstance(layer, ConvLayer) else join(below, layer, wired)
            )
            self.shapes.append(self.connections[-1].above)
        self.readout: nn.Linear | None = None
        if self.spec.readout == "linear":
            self.readout = linear_readout(math.prod(self.shapes[-1]), self.sizes[-1], wiring)
        self._joined = [(layer, layer + 1) for layer in range(self.depth)]
        self._add_residual_links(wiring)
        self._learned = [list(connection._parameters) for connection in self.connections]
        self.gains = gains(self._joined, self.depth, self.spec.feedback_scale)

        counts = [math.prod(shape) for shape in self.shapes[1:]]
        dt = draw_time_steps(self.spec.time_step, counts, np.random.default_rng(dt_seed))
        for layer, (steps, shape) in enumerate(zip(np.split(dt, np.cumsum(counts[:-1])), self.shapes[1:], strict=True)):
            values = torch.as_tensor(steps, dtype=torch.get_default_dtype()).reshape(shape)
            self.register_buffer(f"dt_{layer + 1}", values)
        self._looked: tuple[list[Tensor], list[int], bool] = ([], [], False)
        self._kept = KeptSteps()
        self._signs = np.random.default_rng(sign_seed)
        self._spike_seeds = np.random.default_rng(spike_seed)

    def with_gradient(self, gradient: Gradient) -> "Network":
        """A view of this network whose `backward()` follows another estimate.

        Both share weights, time steps and generators. This network keeps its own gradient. Each has its own training
        mode.

        Args:
            gradient: the estimate.

        Raises:
            ConfigError: if it has no meaning in this network; see `clep.specs.refusals`.

        Example:
            >>> from clep.equilibrium import Backpropagation
            >>> network = Network([64, 32, 10])
            >>> twin = network.with_gradient(Backpropagation())
            >>> twin.connections[0].weight is network.connections[0].weight
            True
        """
        refuse_gradient(self.spec, self.convolutions, gradient)
        other = copy.copy(self)
        other.gradient = gradient
        return other

    @property
    def convolutions(self) -> list[ConvLayer]:
        """The convolutional layers, lowest first."""
        return [layer for layer in self.sizes if isinstance(layer, ConvLayer)]

    @property
    def neuron(self) -> Neuron:
        """The activation of every layer; a property, since its functions could not be pickled."""
        return neuron_of(self.spec.neuron, self.spec.neuron_options)

    @property
    def depth(self) -> int:
        """Number of layers that relax: all above the input, except a linear read-out."""
        return len(self.shapes) - 1

    @property
    def hidden(self) -> int:
        """Number of hidden layers that relax."""
        return self.depth - (self.readout is None)

    @property
    def time_steps(self) -> list[Tensor]:
        """dt of each layer above the input, shaped as the layer."""
        return [self.get_buffer(f"dt_{layer + 1}") for layer in range(self.depth)]

    @property
    def links(self) -> list[Link]:
        """The connections, each with the two layers it joins, in the order of their parameters.

        Where parametrizations compute weights, these are the values at present.
        """
        return [
            Link(*joined, effective(connection, learned))
            for joined, connection, learned in zip(self._joined, self.connections, self._learned, strict=True)
        ]

    @property
    def relaxation_dtype(self) -> torch.dtype:
        """The dtype of states and weights during relaxation."""
        return PRECISIONS[self.spec.precision] or self.connections[0].weight.dtype

    def body(self) -> Body:
        """What relaxes in one update; in training, with a new seed for its spikes."""
        links, dtype, spec = self.links, self.relaxation_dtype, self.spec
        time_steps: list[Tensor | None] = list(self.time_steps)
        # A trace cannot branch on the values of a buffer; a step of 1 has the same result either way.
        may_jump = spec.time_step.mean == 1.0 and not torch.compiler.is_compiling()
        if may_jump and self._steps_are_one():
            time_steps = [None] * self.depth
        upper = [link._replace(connection=link.connection.prepared(dtype)) for link in links[1:]]
        motion, quick = self._motion(), spec.compiled == "auto" and not spec.inhibition
        dynamics = Dynamics(
            links=upper,
            motion=motion,
            time_steps=time_steps,
            order=spec.relaxation,
            inhibition=spec.inhibition,
            inhibited=self.hidden,
            averaged=spec.average_steps if spec.dynamics == "bernoulli" else 1,
            compiled=self._kept.of(upper, motion, time_steps) if quick else None,
        )
        return Body(
            links=links,
            gains=self.gains,
            dynamics=dynamics,
            dtype=dtype,
            readout=self.readout,
            free=Stop(spec.free_steps, spec.tolerance),
            nudged_steps=spec.nudged_steps,
            mean_time_step=spec.time_step.mean,
            signs=self._signs,
        )

    def _steps_are_one(self) -> bool:
        """Whether every time step is 1; looked at anew only where one was written to, since a look waits for the
        device."""
        steps = self.time_steps
        versions = [step._version for step in steps]
        known, as_of, result = self._looked
        if as_of != versions or len(known) != len(steps) or any(a is not b for a, b in zip(known, steps, strict=True)):
            result = all(bool((step == 1.0).all()) for step in steps)
            self._looked = steps, versions, result
        return result

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters of each layer above the input, lowest first, then the read-out; residual links belong to their
        end."""
        layers: list[list[nn.Parameter]] = [[] for _ in range(self.depth)]
        for (_, above), connection in zip(self._joined, self.connections, strict=True):
            layers[above - 1] += connection.parameters()
        return layers if self.readout is None else [*layers, list(self.readout.parameters())]

    def forward(self, x: Tensor) -> Tensor:
        """Output of the free equilibrium, (B, K), differentiable as `gradient` says.

        `torch.export` records the steps of the free phase, which autograd can only backpropagate through.
        """
        return self._steps_alone(x) if torch.compiler.is_exporting() else self.gradient.predict(self, x).output

    @torch.no_grad()
    def free_phase(self, x: Tensor, watch: Watch | None = None) -> FreePhase:
        """Relax from zero states without a nudge; not differentiable.

        Args:
            x: inputs, (B, ...).
            watch: called with the states after each step; the next steps overwrite their memory.
        """
        x = self.shaped(x)
        with full_precision(x):
            body = self.body()
            drive = body.drive(x)
            relaxed = body.dynamics.settle(drive, body.free) if watch is None else None
            if relaxed is None:
                zero = self.zero_states(drive, body.dtype)
                relaxed = body.dynamics.relax(drive.to(body.dtype), zero, body.free, watch=watch)
        return FreePhase(
            x,
            drive,
            tuple(state.to(drive.dtype) for state in relaxed.states),
            body,
            relaxed.residual,
            relaxed.halfway,
            relaxed.steps,
            None if relaxed.spikes is None else relaxed.spikes / len(x),
        )

    def shaped(self, x: Tensor) -> Tensor:
        """`x` (B, ...) as layer 0, under autocast in the dtype of the parameters."""
        x = x.reshape(x.shape[0], *self.shapes[0])  # not `len`, which would fix the batch size of an export
        return x.to(self.connections[0].weight.dtype) if torch.is_autocast_enabled(x.device.type) else x

    def zero_states(self, drive: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """Zero states, (B, ...) of each layer above the input; images in the channels-last layout.

        Args:
            drive: of layer 1, (B, ...); the states are as many, and on its device.
            dtype: of the states.
        """
        states = [torch.zeros(drive.shape[0], *shape, dtype=dtype, device=drive.device) for shape in self.shapes[1:]]
        return [state.contiguous(memory_format=torch.channels_last) if state.dim() == 4 else state for state in states]

    def feedback_angles(self) -> list[float]:
        """Angle between forward and untied feedback weights of each connection above the input, in degrees; else []."""
        return [] if self.spec.feedback != "untied" else [link.connection.angle() for link in self.links[1:]]

    def dense_stack(self) -> DenseStack:
        """The dense layers above the convolutions, and the linear read-out if the network has one.

        The activity below each layer is that of the free equilibrium. A dendritic layer appears as the mean over the
        basal branches of each unit.

        Raises:
            ConfigError: if links skip layers, or if weights are computed from other parameters and cannot be written.

        Example:
            >>> [layer.name for layer in Network([64, 32, 10]).dense_stack().layers]
            ['connections.0', 'connections.1']
        """
        if self.spec.residual_links:
            raise ConfigError(
                "residual_links: consolidation works on a stack of dense layers, and links that skip layers break it; "
                "set it to 0."
            )
        for index, (connection, learned) in enumerate(zip(self.connections, self._learned, strict=True)):
            for name in learned:
                refuse_computed(f"connections.{index}", connection, name)
        views = [
            connection.dense_layer(f"connections.{index}", dt.flatten())
            for index, (connection, dt) in enumerate(zip(self.connections, self.time_steps, strict=True))
        ]
        first = 1 + max((index for index, view in enumerate(views) if view is None), default=-1)
        layers = [view for view in views[first:] if view is not None]
        if self.readout is not None:
            refuse_computed("readout", self.readout, "weight")
            layers.append(DenseLayer("readout", self.readout.weight, bias=own_bias(self.readout)))

        def activity(x: Tensor) -> list[Tensor]:
            free = self.free_phase(x)
            return [state.flatten(1) for state in (free.x, *free.states)[first : first + len(layers)]]

        return DenseStack(layers, activity, lambda x: float(self.free_phase(x).residual))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that define the architecture, as plain values (weights and dt are state)."""
        return {"sizes": [plain_layer(layer) for layer in self.sizes], **self.spec.plain()}

    def _steps_alone(self, x: Tensor) -> Tensor:
        """The output of `free_phase`, in operations that a trace can hold: a fixed number, each with a new tensor."""
        if self.spec.tolerance > 0.0:
            raise ConfigError(
                f"tolerance: {self.spec.tolerance} ends a relaxation when the states say so, and an exported program "
                "takes the same steps whatever they are; export a network with tolerance=0"
            )
        if self.spec.dynamics == "bernoulli":
            raise ConfigError(
                "dynamics: `bernoulli` draws spikes from a generator, which an exported program cannot hold"
            )
        x = self.shaped(x)
        with full_precision(x):
            body = self.body()
            drive = body.drive(x)
            start = self.zero_states(drive, body.dtype)
            last = body.dynamics.unroll(drive.to(body.dtype), start, self.spec.free_steps)[-1]
        return body.read_out(last.to(drive.dtype))

    def _motion(self) -> Motion:
        """How the neurons move."""
        if self.spec.dynamics == "energy":
            return EnergyBased(self.neuron)
        if self.spec.dynamics == "prototypical":
            return Prototypical(self.neuron)
        seed = int(self._spike_seeds.integers(2**63)) if self.training else _EVALUATION_SEED
        return Bernoulli(self.neuron, spiking=self.hidden, seed=seed)

    def _add_residual_links(self, wiring: Wiring) -> None:
        """Dense links without biases between hidden layers `residual_links` apart."""
        span = self.spec.residual_links
        if span == 0:
            return
        bare = replace(wiring, bias=False)
        for below in range(1, self.hidden - span + 1, span):
            self._joined.append((below, below + span))
            self.connections.append(Dense(self.shapes[below], self.shapes[below + span][0], bare))


def _generator(seed: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
