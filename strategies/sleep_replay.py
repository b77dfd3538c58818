"""Sleep replay consolidation (SRC): after each experience, noise from the input replays what the weights remember.

References:
    Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742): the rule, for feed-forward networks.
    Kubo, Delanois & Bazhenov 2025 (arXiv 2508.14081): SRC for networks trained by equilibrium propagation. Its
    constants are not public; what the papers leave open is decided here and named in the run's tags.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from clep.errors import ConfigError
from clep.progress import bar as progress_bar
from clep.spiking import SpikingParameters, SpikingState, spiking_step
from clep.strategy import Memory, Strategy, in_range

_CHUNK = 1000  # steps whose input spikes are drawn at once


class SleepReplay(Strategy):
    """After each experience, run the network as spiking neurons driven by the mean input of everything seen so far.

    A sleeping neuron that fires strengthens the synapses whose lower neuron fired with it and weakens the others,
    through a gate that leaves positive weights nearly alone (see `clep.spiking`). Biases are frozen. Sleep sees the
    weights, the mean input and one activity maximum per layer: no sample of the past.

    Parameters "per layer" take one value for all layers, two for the hidden layers and the output layer, or one each.

    Args:
        steps: steps of the sleep after the first experience, >= 0.
        steps_per_experience: further steps for each later experience, >= 0.
        rate: an input fires with probability `min(1, rate * its mean)` per step, > 0.
        decay: factor on the membrane potential per step, in [0, 1].
        threshold: per layer, the share of the largest pre-activation seen so far at which a neuron fires, > 0.
        increment: per layer, weight change of a synapse whose two neurons fire, before the gate, in standard deviations
            of the layer's weights at the first sleep, >= 0.
        decrement_ratio: per layer, decrement / increment, >= 0.
        gate_width: width of the gate in standard deviations of the layer's weights at the first sleep, > 0.
        patch: side of the random square of the image that drives each step, as a share of its side, in (0, 1]; 1 for
            the whole image. Vectors are never masked.
        feedback: kappa, strength of top-down input during sleep, >= 0; 0 sleeps bottom-up.
    """

    consolidates = True
    touches_loss = False

    def __init__(
        self,
        *,
        steps: int = 7000,
        steps_per_experience: int = 0,
        rate: float = 0.45,
        decay: float = 0.98,
        threshold: Sequence[float] = (0.077, 0.73),
        increment: Sequence[float] = (0.003, 0.055),
        decrement_ratio: Sequence[float] = (1.24, 0.31),
        gate_width: float = 0.2,
        patch: float = 1.0,
        feedback: float = 0.0,
    ) -> None:
        super().__init__()
        self.steps = int(in_range("steps", steps, 0))
        self.steps_per_experience = int(in_range("steps_per_experience", steps_per_experience, 0))
        self.rate = in_range("rate", rate, 1e-12)
        self.decay = in_range("decay", decay, 0.0, 1.0)
        self.threshold = [in_range("threshold", value, 1e-12) for value in threshold]
        self.increment = [in_range("increment", value, 0.0) for value in increment]
        self.decrement_ratio = [in_range("decrement_ratio", value, 0.0) for value in decrement_ratio]
        self.gate_width = in_range("gate_width", gate_width, 1e-12)
        self.patch = in_range("patch", patch, 1e-12, 1.0)
        self.feedback = in_range("feedback", feedback, 0.0)
        self.sleeps = 0
        self.mean: Tensor | None = None  # (C, H, W) or (features,)
        self.count = 0
        self.maxima: list[float] = []
        self.spread: list[float] = []

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Refuse, before it is trained, a model that cannot sleep with these parameters."""
        depth = len(sleep_layers(strategy.model))
        for name in ("threshold", "increment", "decrement_ratio"):
            per_layer(name, getattr(self, name), depth)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Update the statistics with the experience just trained, then sleep."""
        layers = sleep_layers(strategy.model)
        self._observe(strategy, layers)
        if not self.spread:
            self.spread = [float(weight.detach().std()) for _, weight in layers]
        self._sleep([weight for _, weight in layers])
        self.sleeps += 1

    @torch.no_grad()
    def _observe(self, strategy: Any, layers: list[tuple[str, Tensor]]) -> None:
        """Mean input and largest pre-activation of each layer, running over the experiences, each on its own data."""
        maxima = [0.0] * len(layers)
        total = 0.0
        # A loader draws a number when it starts, here from a generator that nothing else draws from.
        for x, *_ in DataLoader(strategy.experience.dataset.eval(), batch_size=500, generator=torch.Generator()):
            total = total + x.sum(0, dtype=torch.float64)
            below = presynaptic(strategy.model, layers, x.to(strategy.device))
            for layer, ((_, weight), state) in enumerate(zip(layers, below, strict=True)):
                maxima[layer] = max(maxima[layer], float((state @ weight.T).max()))
        n = len(strategy.experience.dataset)
        old = 0.0 if self.mean is None else self.mean.double() * self.count
        self.count += n
        self.mean = ((old + total) / self.count).float()
        self.maxima = [max(pair) for pair in zip(self.maxima or maxima, maxima, strict=True)]

    @torch.no_grad()
    def _sleep(self, weights: list[nn.Parameter]) -> None:
        arrays = [weight.detach().cpu().numpy().copy() for weight in weights]
        before = [array.copy() for array in arrays]
        parameters = self._parameters(len(arrays))
        state = SpikingState.rest([len(array) for array in arrays], arrays[0].dtype)
        steps = self.steps + self.sleeps * self.steps_per_experience
        counts = [np.zeros(len(array)) for array in arrays]
        with progress_bar(total=steps, desc="sleep", unit="step", delay=2) as bar:
            for start in range(0, steps, _CHUNK):
                chunk = min(_CHUNK, steps - start)
                for spikes in self._input_spikes(chunk).numpy().astype(arrays[0].dtype):
                    spiking_step(arrays, state, spikes, parameters)
                    for count, z in zip(counts, state.z, strict=True):
                        count += z
                bar.update(chunk)
        for layer, (weight, array, old) in enumerate(zip(weights, arrays, before, strict=True), start=1):
            weight.copy_(torch.from_numpy(array))
            self.log(f"sleep/firing_rate_layer_{layer}", counts[layer - 1].mean() / max(1, steps))
            self.log(f"sleep/weight_change_layer_{layer}", np.linalg.norm(array - old) / np.linalg.norm(old))

    def _parameters(self, depth: int) -> list[SpikingParameters]:
        """Constants of each layer in units of its weights."""
        threshold = per_layer("threshold", self.threshold, depth)
        increment = per_layer("increment", self.increment, depth)
        ratio = per_layer("decrement_ratio", self.decrement_ratio, depth)
        return [
            SpikingParameters(
                decay=self.decay,
                threshold=threshold[layer] * max(self.maxima[layer], 1e-12),
                increment=increment[layer] * self.spread[layer],
                decrement=increment[layer] * ratio[layer] * self.spread[layer],
                gate_width=self.gate_width * self.spread[layer],
                feedback=self.feedback,
            )
            for layer in range(depth)
        ]

    def _input_spikes(self, steps: int) -> Tensor:
        """Bernoulli spikes of the inputs, (steps, n_0) bool, inside one random patch per step."""
        assert self.mean is not None
        shape = self.mean.shape
        probability = (self.rate * self.mean).clamp(0.0, 1.0)
        spikes = torch.rand((steps, *shape), generator=self.generator) < probability
        if self.patch < 1.0 and len(shape) == 3:
            height, width = shape[1:]
            sides = [max(1, round(self.patch * side)) for side in (height, width)]
            for axis, (side, length) in enumerate(zip((height, width), sides, strict=True), start=2):
                corner = torch.randint(side - length + 1, (steps, 1), generator=self.generator)
                position = torch.arange(side)
                inside = (position >= corner) & (position < corner + length)  # (steps, side)
                spikes &= inside[:, None, :, None] if axis == 2 else inside[:, None, None, :]
        return spikes.flatten(1)

    def memory(self) -> Memory:
        """The mean input with its count, and two numbers per layer."""
        if self.mean is None:
            return Memory()
        return Memory(statistics_bytes=self.mean.nbytes + 8 * (1 + len(self.maxima) + len(self.spread)))


def per_layer(name: str, values: Sequence[float], depth: int) -> list[float]:
    """`values` for each of `depth` layers: one for all, two for hidden layers and output, or one each.

    Raises:
        ConfigError: for another number of values.
    """
    if len(values) == depth:
        return list(values)
    if len(values) == 1:
        return list(values) * depth
    if len(values) == 2:
        return [values[0]] * (depth - 1) + [values[1]]
    raise ConfigError(f"strategy.sleep_replay.{name}: expected 1, 2 or {depth} values, got {len(values)}.")


def sleep_layers(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """(name, weight) of the layers that sleep, lowest first.

    A model says so itself by a method `sleep_layers()`; otherwise its `nn.Linear` layers are taken in order, which must
    fit on top of each other and hold all its parameters.

    Raises:
        ConfigError: if no stack of layers is found.
    """
    if hasattr(model, "sleep_layers"):
        return model.sleep_layers()
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    layers = [(name, module.weight) for name, module in linear]
    fits = all(low.shape[0] == high.shape[1] for (_, low), (_, high) in pairwise(layers))
    inside = {id(parameter) for _, module in linear for parameter in module.parameters()}
    if not layers or not fits or any(id(parameter) not in inside for parameter in model.parameters()):
        raise ConfigError(
            f"strategies: sleep_replay cannot find a stack of layers in {type(model).__name__}; give it a method "
            "`sleep_layers()` that returns [(name, weight), ...], lowest first."
        )
    return layers


def presynaptic(model: nn.Module, layers: list[tuple[str, Tensor]], x: Tensor) -> list[Tensor]:
    """Activity below each layer, (B, n_{l-1}): the model's own `presynaptic(x)`, or ReLU units without biases."""
    if hasattr(model, "presynaptic"):
        return model.presynaptic(x)
    states = [x.flatten(1)]
    for _, weight in layers[:-1]:
        states.append(torch.relu(states[-1] @ weight.T))
    return states
