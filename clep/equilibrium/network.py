"""A layered equilibrium network with heterogeneous time steps (HTS-EP)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.architecture import checked_sizes, connect, gains, linear_readout, plain_layer
from clep.equilibrium.connections import (
    INITIALIZATIONS,
    RULES,
    Connection,
    Dense,
    Initialization,
    Rule,
    Shape,
    Wiring,
)
from clep.equilibrium.convolution import ConvLayer, Convolution
from clep.equilibrium.dendrites import Dendrites
from clep.equilibrium.dynamics import ORDERS, Dynamics, EnergyDynamics, Link, Order, full_precision
from clep.equilibrium.gradients import Backpropagation, Equilibrium, LinearNudging
from clep.equilibrium.modules import Modules
from clep.equilibrium.neurons import NEURONS
from clep.equilibrium.phases import FreePhase, Nudging
from clep.equilibrium.refusals import check_parts, check_phases
from clep.equilibrium.stochastic import BernoulliDynamics
from clep.equilibrium.time_steps import TimeStep
from clep.errors import ConfigError

DYNAMICS: dict[str, type[Dynamics]] = {"prototypical": Dynamics, "energy": EnergyDynamics}
READOUTS = ("state", "linear")
FEEDBACKS = ("tied", "untied")
FIRINGS = ("rate", "bernoulli")
PRECISIONS: dict[str, torch.dtype | None] = {"full": None, "bfloat16": torch.bfloat16}


class Network(nn.Module):
    """Layers of neurons joined by two-way connections, each neuron with its own time step.

    `network(x)` is the output of the free equilibrium as a differentiable function: any loss on it can be
    differentiated, and `backward()` runs equilibrium propagation with `nudging`.

    Shapes: input (B, ...) is read as (B, *sizes[0]); output (B, sizes[-1]). The dtype is that of the parameters, under
    autocast as well.

    Args:
        sizes: layers from input to output, at least two: the number of units, or a `ConvLayer`; the input of a
            convolutional layer is a shape (C, H, W).
        neuron: activation, one of `NEURONS`.
        bias: whether layers above the input have biases.
        free_steps: steps of the free phase, from zero states.
        nudged_steps: steps of each nudged phase, from the free equilibrium.
        time_step: how the time steps of hidden and output units are drawn; the same in all phases.
        relaxation: `synchronous` or `asynchronous`; see `Dynamics`.
        tolerance: the free phase may stop before `free_steps` once the residual of the whole batch is below it; 0 never
            stops, so that no sample sees its batch.
        seed: seeds the initial weights, the time steps, the random signs and the spikes of training, each by a
            generator of its own.

    Other arguments:
        nudging: how `backward()` estimates the gradient: `LinearNudging`, or `Backpropagation` for the BPTT twin.
        dynamics: `prototypical`, or `energy` for leaky potentials (see `EnergyDynamics`).
        readout: `state`, the last layer relaxes and is the output, or `linear`, the output is a linear map of the last
            relaxing layer, outside the dynamics.
        feedback: `tied`, the transpose of the forward weights, or `untied`, weights of its own: a vector field.
        feedback_scale: factor on all feedback, > 0; below 1 the network settles in fewer steps. Gradients are divided
            by it once per layer, so that they stay those of the loss (FRE-RNN; Liu & Chen, arXiv 2508.11659, leave
            that to Adam).
        rule: `contrast`, `vector_field` or `predictive`, the last for a clamped or a single nudged phase; see
            `clep.equilibrium.phases.contrast`. With tied feedback the last two leave out what the feedback
            contributes, which vanishes as `feedback_scale` does (FRE-RNN).
        inhibition: kappa >= 0 of the mean inhibition among the units of each hidden layer, which adds
            -kappa / (2 n) (sum_i s_i)^2 to Phi.
        residual_links: if n > 0, a dense link without biases from every n-th hidden layer to the one n above it.
        dendrites: branches of every unit (or a mapping, their arguments), which have feedback of their own; None for
            units without any. See `clep.equilibrium.dendrites`.
        init: `fan_in` or `glorot`; see `Wiring`.
        precision: `full`, or `bfloat16` for states and weights during relaxation; updates stay in full precision.
        firing: `rate`, neurons send their states, or `bernoulli`, hidden neurons send spikes with their states as
            probabilities (see `BernoulliDynamics`). In training each free phase draws a seed, which the other phases of
            its update share; in evaluation mode (`eval()`) it is always the same, so that evaluating is a function of
            weights and batch and leaves training as it is.
        average_steps: K >= 1, a phase of spikes ends at the mean of the states over its last K steps; not looked at
            with firing `rate`.

    Raises:
        ConfigError: for a layer without units, an unknown name, a phase without steps, a negative tolerance, or a
            combination without meaning.

    Attributes:
        settled_at: distance from the fixed point at the end of the latest free phase and halfway, () tensors; see
            `Relaxation`.
        steps: number of steps that the latest free phase took.
        spikes: number of spikes per sample that each spiking layer sent in the latest free phase, lowest first; None
            with firing `rate`.
        adaptation: neuronal adaptation in the nudged phases, or None.
        contrast_norms: norm over all parameters of the latest contrast, (before, after) adaptation, without
            the scale of the loss and before any rescaling; None without adaptation.

    Example:
        >>> import clep, torch
        >>> network = clep.Network([64, 32, 10], seed=1)
        >>> network(torch.rand(5, 64)).shape
        torch.Size([5, 10])
        >>> network = clep.Network([(1, 28, 28), clep.ConvLayer(8, kernel=5), 10])
        >>> network(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int | Shape | ConvLayer | Mapping[str, Any]],
        *,
        neuron: str = "hard_sigmoid",
        bias: bool = True,
        free_steps: int = 20,
        nudged_steps: int = 4,
        time_step: TimeStep | None = None,
        relaxation: Order = "synchronous",
        tolerance: float = 0.0,
        seed: int = 0,
        nudging: LinearNudging | Backpropagation | None = None,
        dynamics: Literal["prototypical", "energy"] = "prototypical",
        readout: Literal["state", "linear"] = "state",
        feedback: Literal["tied", "untied"] = "tied",
        feedback_scale: float = 1.0,
        rule: Rule = "contrast",
        inhibition: float = 0.0,
        residual_links: int = 0,
        dendrites: Dendrites | Mapping[str, Any] | None = None,
        init: Initialization = "fan_in",
        precision: Literal["full", "bfloat16"] = "full",
        firing: Literal["rate", "bernoulli"] = "rate",
        average_steps: int = 1,
    ) -> None:
        super().__init__()
        for key, value, valid in (
            ("neuron", neuron, NEURONS),
            ("relaxation", relaxation, ORDERS),
            ("dynamics", dynamics, DYNAMICS),
            ("readout", readout, READOUTS),
            ("feedback", feedback, FEEDBACKS),
            ("rule", rule, RULES),
            ("init", init, INITIALIZATIONS),
            ("precision", precision, PRECISIONS),
            ("firing", firing, FIRINGS),
        ):
            if value not in valid:
                raise ConfigError(f"network.{key}: unknown {key} `{value}`. Valid names: {', '.join(valid)}.")
        self.sizes = checked_sizes(sizes, readout)
        self.neuron = neuron
        self.bias = bias
        self.free_steps = free_steps
        self.nudged_steps = nudged_steps
        self.time_step = time_step or TimeStep()
        self.relaxation = relaxation
        self.tolerance = tolerance
        self.nudging = nudging or LinearNudging()
        self.dynamics_name = dynamics
        self.feedback = feedback
        self.feedback_scale = feedback_scale
        self.rule = rule
        self.inhibition = inhibition
        self.residual_links = residual_links
        self.dendrites = Dendrites(**dendrites) if isinstance(dendrites, Mapping) else dendrites
        self.init = init
        self.precision = precision
        self.firing = firing
        self.average_steps = average_steps
        check_parts(self)
        self.adaptation: Adaptation | None = None
        self.contrast_norms: tuple[Tensor, Tensor] | None = None

        dt_seed, sign_seed, feedback_seed, spike_seed, mask_seed = np.random.SeedSequence(seed).spawn(5)
        wiring = Wiring(
            bias,
            init,
            feedback == "untied",
            feedback_scale,
            generator=torch.Generator().manual_seed(seed),
            feedback_generator=_generator(feedback_seed),
            mask_generator=_generator(mask_seed),
        )
        relaxing = self.sizes if readout == "state" else self.sizes[:-1]
        first = relaxing[0]
        self.shapes: list[Shape] = [(first,) if isinstance(first, int) else first]
        self.connections: Modules[Connection] = Modules()
        for layer in relaxing[1:]:
            lowest = len(self.shapes) == 1
            self.connections.append(connect(self.shapes[-1], layer, wiring, self.dendrites, first=lowest))
            self.shapes.append(self.connections[-1].above)
        self.readout: nn.Linear | None = None
        if readout == "linear":
            self.readout = linear_readout(math.prod(self.shapes[-1]), self.sizes[-1], wiring)
        self._ends = [(layer, layer + 1) for layer in range(self.depth)]
        self._add_residual_links(wiring)
        self.gains = gains(self._ends, self.depth, feedback_scale)

        counts = [math.prod(shape) for shape in self.shapes[1:]]
        dt = self.time_step.draw(counts, np.random.default_rng(dt_seed))
        self._jumps = bool((dt == 1.0).all())
        self.register_load_state_dict_post_hook(_note_jumps)
        for layer, (steps, shape) in enumerate(zip(np.split(dt, np.cumsum(counts[:-1])), self.shapes[1:], strict=True)):
            values = torch.as_tensor(steps, dtype=torch.get_default_dtype()).reshape(shape)
            self.register_buffer(f"dt_{layer + 1}", values)
        self._signs = np.random.default_rng(sign_seed)
        self._spike_seeds = np.random.default_rng(spike_seed)
        self.settled_at = (torch.zeros(()), torch.zeros(()))
        self.steps = 0
        self.spikes: Tensor | None = None

    @property
    def depth(self) -> int:
        """Number of layers that relax: those above the input, without a linear read-out."""
        return len(self.shapes) - 1

    @property
    def residual(self) -> Tensor:
        """Distance from the fixed point at the end of the latest free phase, () tensor; see `Relaxation`."""
        return self.settled_at[0]

    @property
    def time_steps(self) -> list[Tensor]:
        """dt of each layer above the input, shaped as the layer."""
        return [self.get_buffer(f"dt_{layer + 1}") for layer in range(self.depth)]

    @property
    def links(self) -> list[Link]:
        """The connections and the layers that they join, in the order of their parameters."""
        return [Link(*ends, connection) for ends, connection in zip(self._ends, self.connections, strict=True)]

    @property
    def dynamics(self) -> Dynamics:
        """The relaxation of this network."""
        hidden = self.depth - (self.readout is None)
        parts: dict[str, Any] = {
            "links": self.links[1:],
            "neuron": NEURONS[self.neuron],
            "time_steps": [None] * self.depth if self._jumps else self.time_steps,
            "order": self.relaxation,
            "inhibition": self.inhibition,
            "inhibited": hidden,
        }
        if self.firing == "bernoulli":
            return BernoulliDynamics(**parts, averaged=self.average_steps, spiking=hidden, seed=_EVALUATION_SEED)
        return DYNAMICS[self.dynamics_name](**parts)

    @property
    def relaxation_dtype(self) -> torch.dtype:
        """Of states and weights during relaxation."""
        return PRECISIONS[self.precision] or self.connections[0].weight.dtype

    def relaxing_parameters(self) -> list[nn.Parameter]:
        """The parameters of the connections: those whose gradient the nudged phases estimate."""
        return list(self.connections.parameters())

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters of each layer above the input, lowest first; residual links with the upper layer; read-out."""
        layers: list[list[nn.Parameter]] = [[] for _ in range(self.depth)]
        for (_, above), connection in zip(self._ends, self.connections, strict=True):
            layers[above - 1] += connection.parameters()
        return layers if self.readout is None else [*layers, list(self.readout.parameters())]

    def forward(self, x: Tensor) -> Tensor:
        """Output of the free equilibrium, (B, K), differentiable in the parameters and in `x`."""
        x = self._shaped(x)
        if isinstance(self.nudging, Backpropagation) and torch.is_grad_enabled():
            with full_precision(x):
                state = self._unrolled(x, self.nudging)
            return self.read_out(state)
        return self.read_out(Equilibrium.apply(self, x, *self.relaxing_parameters()))

    def read_out(self, state: Tensor) -> Tensor:
        """Output (B, K) of the last state (B, ...)."""
        if self.readout is None:
            return state
        with full_precision(state):
            return self.readout(state.flatten(1).to(self.readout.weight.dtype))

    def drive(self, x: Tensor) -> Tensor:
        """W_1 x + b_1, (B, ...), shaped as layer 1."""
        return self.connections[0].up(x)[0]

    @torch.no_grad()
    def free_phase(self, x: Tensor) -> FreePhase:
        """Relax from zero states without a nudge; not differentiable."""
        x = self._shaped(x)
        with full_precision(x):
            drive = self.drive(x)
            dtype = self.relaxation_dtype
            dynamics = self._prepared(dtype)
            relaxed = dynamics.relax(
                drive.to(dtype), self._rest(drive, dtype), self.free_steps, tolerance=self.tolerance
            )
        self.settled_at, self.steps = (relaxed.residual, relaxed.halfway), relaxed.steps
        self.spikes = None if relaxed.spikes is None else relaxed.spikes / len(x)
        return FreePhase(x, drive, tuple(state.to(drive.dtype) for state in relaxed.states), dynamics)

    def unsettled(self) -> str | None:
        """What is wrong with the latest free phase, or None: whether it oscillates or diverges instead of settling.

        A relaxation that settles leaves the residual of its first half behind; one whose residual is more than a
        hundredth of a unit's range and hardly smaller than halfway never will, for at least one sample of the batch.
        Steps so small that nothing can have moved far are given more time. Where neurons spike, only what noise cannot
        explain counts: swings of whole layers, see `BernoulliDynamics`.
        """
        residual, halfway = (float(value) for value in self.settled_at)
        if not math.isfinite(residual):
            return "diverges"
        shrinks = max(_SHRINKS, (1.0 - 0.5 * self.time_step.mean) ** (self.steps - self.steps // 2))
        if residual <= max(_SETTLED, self.tolerance) or self.free_steps < 2 or residual < shrinks * halfway:
            return None
        return "diverges" if residual > 2.0 * halfway else "oscillates"

    def draw_sign(self) -> float:
        """+1 or -1 with equal probability, from this network's own generator."""
        return float(self._signs.choice((-1.0, 1.0)))

    def feedback_angles(self) -> list[float]:
        """Angle between forward and feedback weights of each connection above the input, in degrees; [] if tied."""
        return [] if self.feedback == "tied" else [connection.angle() for connection in self.connections[1:]]

    def sleep_layers(self) -> list[tuple[str, Tensor]]:
        """(name, weight (n_l, n_{l-1})) of each dense layer, lowest first: what sleep replay works on.

        The dense layers are those above the convolutions, if there are any, and a linear read-out. Of dendrites it is
        the mean over a unit's basal branches, masked synapses being zero; see `set_sleep_layers`.

        Raises:
            ConfigError: if they are no chain.
        """
        if self.residual_links:
            raise ConfigError(
                "strategies: sleep_replay needs a chain of dense layers; this network has residual links."
            )
        first = self._first_dense
        dense = [
            (f"connections.{i}", link.connection.sleep_weight()) for i, link in enumerate(self.links) if i >= first
        ]
        return dense if self.readout is None else [*dense, ("readout", self.readout.weight)]

    def sleep_time_steps(self) -> list[Tensor | None]:
        """dt of the neurons of each layer of `sleep_layers`, (n_l,), lowest first; None for a linear read-out."""
        steps: list[Tensor | None] = [dt.flatten() for dt in self.time_steps[self._first_dense :]]
        return steps if self.readout is None else [*steps, None]

    @torch.no_grad()
    def set_sleep_layers(self, weights: Sequence[Tensor]) -> None:
        """Give the layers of `sleep_layers` new weights (n_l, n_{l-1}).

        What changes between two units is added to all of their branches that are not masked, in equal parts and such
        that the mean over branches changes by as much; pairs without such a branch stay as they are.
        """
        for link, weight in zip(self.links[self._first_dense :], weights, strict=self.readout is None):
            link.connection.set_sleep_weight(weight)
        if self.readout is not None:
            self.readout.weight.copy_(weights[-1])

    def presynaptic(self, x: Tensor) -> list[Tensor]:
        """Free equilibrium below each layer of `sleep_layers`, (B, n_{l-1}), lowest first."""
        free = self.free_phase(x)
        below = [free.x, *free.states][self._first_dense :]
        return [state.flatten(1) for state in (below[:-1] if self.readout is None else below)]

    @property
    def _first_dense(self) -> int:
        """Index of the lowest dense connection; none is below a convolution."""
        return sum(isinstance(connection, Convolution) for connection in self.connections)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that define the architecture, as plain values (weights and dt are state)."""
        return {
            "sizes": [plain_layer(layer) for layer in self.sizes],
            "neuron": self.neuron,
            "bias": self.bias,
            "free_steps": self.free_steps,
            "nudged_steps": self.nudged_steps,
            "time_step": vars(self.time_step).copy(),
            "relaxation": self.relaxation,
            "tolerance": self.tolerance,
            "dynamics": self.dynamics_name,
            "readout": "state" if self.readout is None else "linear",
            "feedback": self.feedback,
            "feedback_scale": self.feedback_scale,
            "rule": self.rule,
            "inhibition": self.inhibition,
            "residual_links": self.residual_links,
            "dendrites": None if self.dendrites is None else vars(self.dendrites).copy(),
            "init": self.init,
            "precision": self.precision,
            "firing": self.firing,
            "average_steps": self.average_steps,
        }

    def check(self, gradient: Nudging) -> None:
        """Refuse a gradient estimate that has no meaning in this network.

        Raises:
            ConfigError: with the reason.
        """
        check_phases(self, gradient)

    def _shaped(self, x: Tensor) -> Tensor:
        """The input as layer 0, under autocast in the dtype of the parameters."""
        x = x.reshape(len(x), *self.shapes[0])
        return x.to(self.connections[0].weight.dtype) if torch.is_autocast_enabled(x.device.type) else x

    def _rest(self, drive: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """Zero states; images in the channels-last layout."""
        states = [torch.zeros(len(drive), *shape, dtype=dtype, device=drive.device) for shape in self.shapes[1:]]
        return [state.contiguous(memory_format=torch.channels_last) if state.dim() == 4 else state for state in states]

    def _drawn(self) -> Dynamics:
        """The relaxation of one update, in training with uniforms of its own."""
        dynamics = self.dynamics
        if isinstance(dynamics, BernoulliDynamics) and self.training:
            return replace(dynamics, seed=int(self._spike_seeds.integers(2**63)))
        return dynamics

    def _prepared(self, dtype: torch.dtype) -> Dynamics:
        """The relaxation for the steps between two updates, in `dtype`; see `Connection.prepared`."""
        dynamics = self._drawn()
        return replace(
            dynamics, links=[link._replace(connection=link.connection.prepared(dtype)) for link in dynamics.links]
        )

    def _unrolled(self, x: Tensor, gradient: Backpropagation) -> Tensor:
        """Last state of the free phase, whose last steps autograd follows."""
        followed = min(gradient.steps or self.free_steps, self.free_steps)
        drive = self.drive(x)
        dynamics, states = self._prepared(drive.dtype), self._rest(drive, drive.dtype)
        if followed < self.free_steps:
            states = dynamics.relax(drive.detach(), states, self.free_steps - followed).states
        return dynamics.unroll(drive, states, followed)[-1]

    def _add_residual_links(self, wiring: Wiring) -> None:
        """Dense links without biases between hidden layers `residual_links` apart."""
        span, hidden = self.residual_links, self.depth - (self.readout is None)
        if span == 0:
            return
        if span < 2 or span >= hidden:
            raise ConfigError(
                f"network.residual_links: expected 0, or a span from 2 to {hidden - 1} between the {hidden} hidden "
                f"layers, got {span}."
            )
        if any(len(shape) != 1 for shape in self.shapes[1 : hidden + 1]):
            raise ConfigError("network.residual_links: they join dense layers; this network has convolutional ones.")
        bare = replace(wiring, bias=False)
        for below in range(1, hidden - span + 1, span):
            self._ends.append((below, below + span))
            self.connections.append(Dense(self.shapes[below], self.shapes[below + span][0], bare))


_SETTLED = 0.01  # residual, in units of the activation's range, below which nobody need be told
_EVALUATION_SEED = 0  # of the spikes outside training, the same for all networks: a loaded one gives equal numbers
_SHRINKS = 0.95  # a residual that falls by less over half a phase is not falling


def _generator(seed: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(seed.generate_state(1)[0]))


def _note_jumps(network: Network, incompatible_keys: object = None) -> None:
    """After loading a state: time steps are part of it, so whether all of them are 1 may have changed."""
    network._jumps = all(bool((dt == 1.0).all()) for dt in network.time_steps)
