"""A layered equilibrium network with heterogeneous time steps (HTS-EP)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.connections import Dense
from clep.equilibrium.dynamics import ORDERS, Dynamics, Order, full_precision
from clep.equilibrium.gradients import Equilibrium, FreePhase, LinearNudging
from clep.equilibrium.neurons import NEURONS
from clep.equilibrium.time_steps import TimeStep
from clep.errors import ConfigError


class Network(nn.Module):
    """Layers of neurons joined by tied dense connections, each neuron with its own time step.

    `network(x)` is the output of the free equilibrium as a differentiable function: any loss on it can be
    differentiated, and `backward()` runs equilibrium propagation with `nudging`.

    Shapes: input (B, ...) is flattened to (B, sizes[0]); output (B, sizes[-1]). The dtype is that of the parameters,
    under autocast as well.

    Args:
        sizes: units per layer from input to output, at least two layers.
        neuron: activation, one of `NEURONS`.
        bias: whether layers above the input have biases.
        free_steps: steps of the free phase, from zero states.
        nudged_steps: steps of each nudged phase, from the free equilibrium.
        time_step: how the time steps of hidden and output units are drawn; the same in all phases.
        relaxation: `synchronous` or `asynchronous`; see `Dynamics`.
        tolerance: the free phase may stop before `free_steps` once the residual of the whole batch is below it; 0 never
            stops, so that no sample sees its batch.
        seed: seeds the initial weights, the time steps and the random signs, each by a generator of its own.

    Other arguments:
        nudging: how `backward()` nudges.

    Raises:
        ConfigError: for a layer without units, an unknown name, a phase without steps or a negative tolerance.

    Attributes:
        residual: distance from the fixed point at the end of the latest free phase, () tensor; see `Relaxation`.
        steps: number of steps that the latest free phase took.
        adaptation: neuronal adaptation in the nudged phases, or None.
        contrast_norms: norm over all parameters of the latest contrast, (before, after) adaptation, without
            the scale of the loss and before any rescaling; None without adaptation.

    Example:
        >>> network = Network([64, 32, 10], seed=1)
        >>> network(torch.rand(5, 64)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        neuron: str = "hard_sigmoid",
        bias: bool = True,
        free_steps: int = 20,
        nudged_steps: int = 4,
        time_step: TimeStep | None = None,
        relaxation: Order = "synchronous",
        tolerance: float = 0.0,
        seed: int = 0,
        nudging: LinearNudging | None = None,
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigError(f"network.hidden: expected at least two layers of at least one unit, got {list(sizes)}.")
        if neuron not in NEURONS:
            raise ConfigError(f"network.neuron: unknown neuron `{neuron}`. Valid names: {', '.join(NEURONS)}.")
        for key, steps in (("free_steps", free_steps), ("nudged_steps", nudged_steps)):
            if steps < 1:
                raise ConfigError(f"network.{key}: expected an integer of at least 1, got {steps}.")
        if relaxation not in ORDERS:
            raise ConfigError(
                f"network.relaxation: unknown relaxation `{relaxation}`. Valid names: {', '.join(ORDERS)}."
            )
        if tolerance < 0.0:
            raise ConfigError(f"network.tolerance: expected a number of at least 0, got {tolerance}.")
        self.sizes = tuple(sizes)
        self.neuron = neuron
        self.bias = bias
        self.free_steps = free_steps
        self.nudged_steps = nudged_steps
        self.time_step = time_step or TimeStep()
        self.relaxation = relaxation
        self.tolerance = tolerance
        self.nudging = nudging or LinearNudging()
        self.adaptation: Adaptation | None = None
        self.contrast_norms: tuple[Tensor, Tensor] | None = None

        weights = torch.Generator().manual_seed(seed)
        dt_seed, sign_seed = np.random.SeedSequence(seed).spawn(2)
        self.connections = nn.ModuleList(
            Dense(below, above, bias=bias, generator=weights)
            for below, above in zip(self.sizes, self.sizes[1:], strict=False)
        )
        dt = self.time_step.draw(sum(self.sizes[1:]), np.random.default_rng(dt_seed))
        self._jumps = bool((dt == 1.0).all())
        self.register_load_state_dict_post_hook(_note_jumps)
        for layer, steps in enumerate(np.split(dt, np.cumsum(self.sizes[1:-1]))):
            self.register_buffer(f"dt_{layer + 1}", torch.as_tensor(steps, dtype=torch.get_default_dtype()))
        self._signs = np.random.default_rng(sign_seed)
        self.residual = torch.zeros(())
        self.steps = 0

    @property
    def depth(self) -> int:
        """Number of layers above the input."""
        return len(self.connections)

    @property
    def time_steps(self) -> list[Tensor]:
        """dt of each layer above the input, (n_l,)."""
        return [self.get_buffer(f"dt_{layer + 1}") for layer in range(self.depth)]

    @property
    def dynamics(self) -> Dynamics:
        """The relaxation of this network."""
        time_steps = [None] * self.depth if self._jumps else self.time_steps
        return Dynamics(tuple(self.connections), NEURONS[self.neuron], time_steps, order=self.relaxation)

    def forward(self, x: Tensor) -> Tensor:
        """Output of the free equilibrium, (B, K), differentiable in the parameters and in `x`."""
        return Equilibrium.apply(self, x.flatten(1), *self.parameters())

    @torch.no_grad()
    def free_phase(self, x: Tensor) -> FreePhase:
        """Relax from zero states without a nudge; not differentiable."""
        x = x.flatten(1)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(self.connections[0].weight.dtype)
        with full_precision(x):
            drive = self.connections[0].up(x)
            states = [drive.new_zeros(len(x), size) for size in self.sizes[1:]]
            relaxed = self.dynamics.relax(drive, states, self.free_steps, tolerance=self.tolerance)
        self.residual, self.steps = relaxed.residual, relaxed.steps
        return FreePhase(x, drive, tuple(relaxed.states))

    def draw_sign(self) -> float:
        """+1 or -1 with equal probability, from this network's own generator."""
        return float(self._signs.choice((-1.0, 1.0)))

    def sleep_layers(self) -> list[tuple[str, nn.Parameter]]:
        """(name, weight (n_l, n_{l-1})) of each connection, lowest first: what sleep replay works on."""
        return [(f"connections.{layer}", connection.weight) for layer, connection in enumerate(self.connections)]

    def presynaptic(self, x: Tensor) -> list[Tensor]:
        """Free equilibrium below each connection, (B, n_{l-1}), lowest (the input) first."""
        free = self.free_phase(x)
        return [free.x, *free.states[:-1]]

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that define the architecture, as plain values (weights and dt are state)."""
        return {
            "sizes": list(self.sizes),
            "neuron": self.neuron,
            "bias": self.bias,
            "free_steps": self.free_steps,
            "nudged_steps": self.nudged_steps,
            "time_step": vars(self.time_step).copy(),
            "relaxation": self.relaxation,
            "tolerance": self.tolerance,
        }


def _note_jumps(network: Network, incompatible_keys: object = None) -> None:
    """After loading a state: time steps are part of it, so whether all of them are 1 may have changed."""
    network._jumps = all(bool((dt == 1.0).all()) for dt in network.time_steps)
