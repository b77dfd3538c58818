"""Sleep replay consolidation (SRC): after each experience, noise from the input replays what the weights remember.

References:
    Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742): the rule, for feed-forward networks.
    Kubo, Delanois & Bazhenov 2025 (arXiv 2508.14081): SRC for networks trained by equilibrium propagation. Its
    constants are not public; what the papers leave open is decided here and named in the run's tags.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from clep import metric_names
from clep.errors import ConfigError
from clep.progress import bar as progress_bar
from clep.spiking import (
    CompiledSimulation,
    Spikes,
    SpikingParameters,
    bernoulli_spikes,
    patched,
    simulation,
)
from clep.strategy import Memory, Strategy, in_range, one_of

GATES = ("matlab", "none")
STATISTICS = ("seen", "current", "poisson")
MEMBRANES = ("uniform", "time_steps")
_CHUNK = 1000  # steps between two signs of life


class SleepReplay(Strategy):
    """After each experience, run the network as spiking neurons driven by the mean input of everything seen so far.

    A sleeping neuron that fires strengthens the synapses whose lower neuron fired with it and weakens the others,
    through a gate that leaves positive weights nearly alone (see `clep.spiking`). Biases are frozen. Sleep sees the
    weights, the mean input and one activity maximum per layer: no sample of the past. In a network with convolutions
    the dense layers above them sleep, driven by the mean activity below them; the convolutions are frozen.

    Parameters "per layer" take one value for all layers, two for the hidden layers and the output layer, or one each.
    Where no source is named, the parameter is this package's own.

    Args:
        steps: steps of the sleep after the first experience, >= 0.
        steps_per_experience: further steps for each later experience, >= 0 (Tadros 2022: 15 000 and 5 000).
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
        inhibition: mean inhibition between the units of a layer: from the input I of each of them in a step,
            `inhibition * mean(I)` over the layer is taken, >= 0. A share of the input, whatever the layer's size and
            thresholds; at 1 only what drives a unit more than others is left (the code of Tadros 2022 has the term and
            leaves it at 0).

    Other arguments:
        gate: `matlab`, g(w) = 2 / (1 + exp(w / width)) as in the code of Tadros 2022, or `none`, g = 1, which diverges
            and is therefore allowed with `bounds` alone.
        bounds: largest absolute value that sleep gives to a weight, in standard deviations of the layer's weights at
            the first sleep, > 0; null for none.
        symmetric: whether a synapse between two hidden or output neurons, whose weight works in both directions,
            changes by the mean of the rules at its two ends. Synapses of the input have one end that learns.
        statistics: what drives the input. `seen`: the mean over all experiences (Tadros 2022); `current`: mean and
            maxima of the latest experience only, so that sleep knows nothing of the past but the weights; `poisson`: as
            `seen`, with Poisson counts clipped to one spike, of probability 1 - exp(-rate * mean).
        every: sleep after every so many experiences, >= 0; 0: only after the last one of the stream.
        shuffled: control for what the replayed patterns matter: neurons fire as ever, but the rule sees as many lower
            neurons at random positions instead of those that fired.
        membrane: `uniform`, every potential decays by `decay`, or `time_steps`, by `decay ** (dt / mean dt)` with the
            unit's own time step dt in waking and the mean over its layer, so that slow units integrate for longer and
            the mean rate of the leak stays that of `decay`. A linear read-out has no time step and decays by `decay`.
    """

    consolidates = True
    sleeps = True
    touches_loss = False
    search_space: ClassVar = {
        "steps": {"low": 2000, "high": 40000, "log": True},
        "rate": {"low": 0.1, "high": 1.0, "log": True},
        "decay": {"low": 0.9, "high": 0.995},
        "threshold[0]": {"low": 0.01, "high": 0.2, "log": True},
        "threshold[1]": {"low": 0.1, "high": 1.0, "log": True},
        "increment[0]": {"low": 0.001, "high": 0.2, "log": True},
        "increment[1]": {"low": 0.005, "high": 0.2, "log": True},
        "decrement_ratio[0]": {"low": 0.05, "high": 2.0, "log": True},
        "decrement_ratio[1]": {"low": 0.03, "high": 1.0, "log": True},
        "gate_width": {"low": 0.1, "high": 1.5, "log": True},
        "patch": {"low": 0.3, "high": 1.0},
    }

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
        inhibition: float = 0.0,
        gate: Literal["matlab", "none"] = "matlab",
        bounds: float | None = None,
        symmetric: bool = False,
        statistics: Literal["seen", "current", "poisson"] = "seen",
        every: int = 1,
        shuffled: bool = False,
        membrane: Literal["uniform", "time_steps"] = "uniform",
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
        self.inhibition = in_range("inhibition", inhibition, 0.0)
        self.gate = one_of("gate", gate, GATES)
        self.bounds = math.inf if bounds is None else in_range("bounds", bounds, 1e-12)
        if self.gate == "none" and bounds is None:
            raise ConfigError(
                "gate: without a gate weights grow without limit; set `bounds`, e.g. to 3, or gate=matlab."
            )
        self.symmetric = symmetric
        self.statistics = one_of("statistics", statistics, STATISTICS)
        self.every = int(in_range("every", every, 0))
        self.shuffled = shuffled
        self.membrane = one_of("membrane", membrane, MEMBRANES)
        self.experiences = 0
        self.mean: Tensor | None = None  # (C, H, W) or (features,)
        self.count = 0
        self.maxima: list[float] = []
        self.spread: list[float] = []

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Refuse, before it is trained, what cannot sleep with these parameters."""
        depth = len(sleep_layers(strategy.model))
        for name in ("threshold", "increment", "decrement_ratio"):
            per_layer(name, getattr(self, name), depth)
        self._decays(strategy.model, depth)
        if self.every == 0:
            is_last(strategy.experience)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Update the statistics with the experience just trained, then sleep, if it is time to."""
        layers = sleep_layers(strategy.model)
        first = self._observe(strategy, layers)
        self.experiences += 1
        if self.experiences % self.every if self.every else not is_last(strategy.experience):
            return
        if not self.spread:
            self.spread = [max(float(weight.detach().std()), 1e-12) for _, weight in layers]
        self._log_residual("before", strategy.model, first)
        slept = self._sleep([weight for _, weight in layers], self._decays(strategy.model, len(layers)))
        wake(strategy.model, layers, slept)
        self._log_residual("after", strategy.model, first)

    @torch.no_grad()
    def _observe(self, strategy: Any, layers: Sequence[tuple[str, Tensor]]) -> Tensor:
        """Mean input and largest pre-activation of each layer, of the experience on its own or of all so far.

        Returns:
            The first batch, on the device of the model.
        """
        maxima = [0.0] * len(layers)
        total, first = torch.zeros(()), torch.empty(0)
        # A loader draws a number when it starts, here from a generator that nothing else draws from.
        for images, *_ in DataLoader(strategy.experience.dataset.eval(), batch_size=500, generator=torch.Generator()):
            x = images.to(strategy.device)
            below = presynaptic(strategy.model, layers, x)
            first = first if len(first) else x
            total = total + pictured(below[0], x).sum(0, dtype=torch.float64).cpu()
            for layer, ((_, weight), state) in enumerate(zip(layers, below, strict=True)):
                maxima[layer] = max(maxima[layer], float((state @ weight.T).max()))
        if self.statistics == "current":
            self.mean, self.count, self.maxima = None, 0, []
        n = len(strategy.experience.dataset)
        old = 0.0 if self.mean is None else self.mean.double() * self.count
        self.count += n
        self.mean = ((old + total) / self.count).float()
        self.maxima = [max(pair) for pair in zip(self.maxima or maxima, maxima, strict=True)]
        return first

    def _log_residual(self, when: str, model: Any, x: Tensor) -> None:
        """How far an equilibrium network is from its fixed point after a free phase: weights that grow may end it."""
        if hasattr(model, "free_phase") and hasattr(model, "residual"):
            model.free_phase(x)
            self.log(metric_names.SLEEP_RESIDUAL.format(when=when), model.residual)

    @torch.no_grad()
    def _sleep(self, weights: list[Tensor], decays: Sequence[float | np.ndarray]) -> list[Tensor]:
        """The weights after a sleep that begins with these."""
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        draws, shuffles = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
        parameters = self._parameters(decays)
        asleep = simulation(weights, parameters, symmetric=self.symmetric, shuffled=self.shuffled, rng=shuffles)
        steps = self.steps + (self.experiences - 1) * self.steps_per_experience
        with progress_bar(total=steps, desc="sleep", unit="step", delay=2) as bar:
            if isinstance(asleep, CompiledSimulation) and not asleep.is_compiled():
                bar.set_description("sleep (compiling, some seconds, the first time only)")
            for start in range(0, steps, _CHUNK):
                chunk = min(_CHUNK, steps - start)
                asleep.run(self._input_spikes(chunk, draws))
                bar.set_description("sleep", refresh=False)
                bar.update(chunk)
        slept = [torch.as_tensor(new, device=weights[0].device) for new in asleep.weights]
        for layer, (weight, new) in enumerate(zip(weights, slept, strict=True), start=1):
            self.log(
                metric_names.SLEEP_FIRING_RATE.format(layer=layer), asleep.counts[layer - 1].mean() / max(1, steps)
            )
            self.log(metric_names.SLEEP_WEIGHT_CHANGE.format(layer=layer), float((new - weight).norm() / weight.norm()))
        return slept

    def _decays(self, model: Any, depth: int) -> list[float | np.ndarray]:
        """Decay of each layer, of all its neurons or of each.

        Raises:
            ConfigError: if it follows time steps that the model has not.
        """
        if self.membrane == "uniform":
            return [self.decay] * depth
        if not hasattr(model, "sleep_time_steps"):
            raise ConfigError(
                "strategy.sleep_replay.membrane: `time_steps` takes the time steps of an equilibrium network, and "
                f"{type(model).__name__} has none; use membrane=uniform."
            )
        return [self.decay if dt is None else self.decay ** relative(dt) for dt in model.sleep_time_steps()]

    def _parameters(self, decays: Sequence[float | np.ndarray]) -> list[SpikingParameters]:
        """Constants of each layer in units of its weights."""
        depth = len(decays)
        threshold = per_layer("threshold", self.threshold, depth)
        increment = per_layer("increment", self.increment, depth)
        ratio = per_layer("decrement_ratio", self.decrement_ratio, depth)
        width = math.inf if self.gate == "none" else self.gate_width
        return [
            SpikingParameters(
                decay=decays[layer],
                threshold=threshold[layer] * max(self.maxima[layer], 1e-12),
                increment=increment[layer] * self.spread[layer],
                decrement=increment[layer] * ratio[layer] * self.spread[layer],
                gate_width=width * self.spread[layer],
                feedback=self.feedback,
                inhibition=self.inhibition,
                bound=self.bounds * self.spread[layer],
            )
            for layer in range(depth)
        ]

    def _input_spikes(self, steps: int, rng: np.random.Generator) -> Spikes:
        """Bernoulli spikes of the inputs, inside one random patch per step."""
        assert self.mean is not None
        expected = (self.rate * self.mean.double()).clamp_min(0.0)
        probability = -torch.expm1(-expected) if self.statistics == "poisson" else expected.clamp_max(1.0)
        spikes = bernoulli_spikes(probability.flatten().numpy(), steps, rng)
        if self.patch < 1.0 and self.mean.dim() == 3:
            return patched(spikes, self.mean.shape, self.patch, rng)
        return spikes

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


def relative(steps: Tensor) -> np.ndarray:
    """Time steps over their mean, float64; equal ones are 1 to the bit."""
    dt = steps.detach().cpu().double().numpy()
    return dt / (dt[0] + (dt - dt[0]).mean())


def sleep_layers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """(name, weight) of the layers that sleep, lowest first.

    A model says so itself by a method `sleep_layers()`; otherwise its `nn.Linear` layers are taken in order, which must
    fit on top of each other and hold all its parameters.

    Raises:
        ConfigError: if no stack of layers is found.
    """
    if (own := getattr(model, "sleep_layers", None)) is not None:
        return own()
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


@torch.no_grad()
def wake(model: nn.Module, layers: Sequence[tuple[str, Tensor]], weights: Sequence[Tensor]) -> None:
    """Give the layers the weights that sleep made, by the model's own `set_sleep_layers(weights)` if it has one.

    A model needs one if its `sleep_layers` are computed from parameters instead of being parameters.
    """
    if (own := getattr(model, "set_sleep_layers", None)) is not None:
        own(weights)
        return
    for (_, weight), new in zip(layers, weights, strict=True):
        weight.copy_(new)


def presynaptic(model: nn.Module, layers: Sequence[tuple[str, Tensor]], x: Tensor) -> list[Tensor]:
    """Activity below each layer, (B, n_{l-1}): the model's own `presynaptic(x)`, or ReLU units without biases."""
    if (own := getattr(model, "presynaptic", None)) is not None:
        return own(x)
    states = [x.flatten(1)]
    for _, weight in layers[:-1]:
        states.append(torch.relu(states[-1] @ weight.T))
    return states


def pictured(activity: Tensor, x: Tensor) -> Tensor:
    """The activity below the first layer, (B, n) or (B, C, H, W): in the shape of `x` where it is `x` itself."""
    same = activity.shape == x.flatten(1).shape and bool((activity == x.flatten(1)).all())
    return x if same else activity


def is_last(experience: Any) -> bool:
    """Whether an experience is the last one of its stream.

    Raises:
        ConfigError: if it belongs to no stream, or to one without a length.
    """
    try:
        with experience.no_attribute_masking():
            return experience.current_experience == len(experience.origin_stream) - 1
    except (AttributeError, TypeError, AssertionError) as error:
        raise ConfigError(
            "strategy.sleep_replay.every: 0 sleeps after the last experience, and this one does not know how many its "
            "stream has; use a benchmark of Avalanche whose train_stream has a length, or every=1."
        ) from error
