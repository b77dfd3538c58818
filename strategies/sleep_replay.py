"""Sleep replay consolidation (SRC): after each experience, noise shaped like the inputs reactivates what was learned.

References:
    Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742): the rule, for feed-forward networks.
    Kubo, Delanois & Bazhenov 2025 (arXiv 2508.14081): SRC for networks trained by equilibrium propagation. Its
    constants are not public; our choices for what the papers leave open are in the run's tags.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from clep import interrupts, metric_names
from clep.equilibrium.stack import DenseStack, stack_of
from clep.errors import ConfigError, InputWarning
from clep.progress import bar as progress_bar
from clep.sleep import (
    CompiledSimulation,
    Spikes,
    SpikingParameters,
    Statistics,
    bernoulli_spikes,
    observe,
    patched,
    simulation,
)
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy

_STEPS_PER_UPDATE = 1000  # of the progress bar
_BATCH = 500  # inputs at a time while the statistics are taken


@dataclass(frozen=True)
class SleepReplayOptions(Spec):
    """The options of sleep replay.

    Raises:
        ConfigError: for a value of the wrong type or out of range, or if neither a gate nor bounds limit the weights.

    Example:
        >>> SleepReplayOptions(steps=500).threshold
        [0.077, 0.73]
    """

    steps: int = option(7000, "steps of the sleep after the first experience", "[0, inf)")
    steps_per_experience: int = option(
        0, "steps added for each later experience (Tadros 2022: 15 000 and 5 000)", "[0, inf)"
    )
    rate: float = option(0.45, "an input fires with probability `min(1, rate * its mean)` per step", "(0, inf)")
    decay: float = option(0.98, "factor on the membrane potential per step", "[0, 1]")
    threshold: list[float] = option(
        [0.077, 0.73],
        "per layer, the share of the largest pre-activation seen so far at which a neuron fires",
        "(0, inf)",
    )
    increment: list[float] = option(
        [0.003, 0.055],
        "per layer, weight change of a synapse whose two neurons fire, before the gate, in standard deviations of the "
        "layer's weights at the first sleep",
        "[0, inf)",
    )
    decrement_ratio: list[float] = option([1.24, 0.31], "per layer, decrement / increment", "[0, inf)")
    gate_width: float = option(
        0.2, "width of the gate in standard deviations of the layer's weights at the first sleep", "(0, inf)"
    )
    patch: float = option(
        1.0,
        "in each step, only a random square of the image drives sleep; its side as a share of the image's, 1 for the "
        "whole image; vectors are never masked",
        "(0, 1]",
    )
    feedback: float = option(0.0, "kappa, strength of top-down input during sleep; 0 sleeps bottom-up", "[0, inf)")
    inhibition: float = option(
        0.0,
        "mean inhibition among the units of a layer: in each step, `inhibition * mean(I)` over the layer is subtracted "
        "from the input I of each unit. Being a share of the input, it does not depend on the layer's size or "
        "thresholds. At 1, input common to the whole layer fires no neuron; only differences count. The code of Tadros "
        "2022 has the term but leaves it at 0",
        "[0, inf)",
    )
    gate: Literal["matlab", "none"] = option(
        "matlab",
        "`matlab`, g(w) = 2 / (1 + exp(w / width)) as in the code of Tadros 2022, or `none`, g = 1. Without a gate "
        "weights grow without limit, so `none` needs `bounds`",
    )
    bounds: float | None = option(
        None,
        "largest absolute value that sleep gives to a weight, in standard deviations of the layer's weights at the "
        "first sleep; null for none",
        "(0, inf)",
    )
    symmetric: bool = option(
        False,
        "whether a synapse between two hidden or output neurons changes by the mean of the rules at its two ends, "
        "since its weight works in both directions. Synapses of the input learn only at one end",
    )
    statistics: Literal["seen", "current"] = option(
        "seen",
        "`seen`, mean and maxima over all experiences (Tadros 2022), or `current`, over the latest one: sleep then "
        "knows earlier experiences only through the weights",
    )
    spikes: Literal["bernoulli", "poisson"] = option(
        "bernoulli",
        "how inputs fire: `bernoulli`, as under `rate`, or `poisson`: a count of at least 1 gives one spike, so the "
        "probability is 1 - exp(-rate * mean)",
    )
    every: int = option(
        1, "sleep after every so many experiences; 0: only after the last one of the stream", "[0, inf)"
    )
    shuffled: bool = option(
        False,
        "a control for whether the replayed patterns matter: neurons fire as usual, but the rule sees the same number "
        "of random lower neurons instead of those that fired",
    )
    membrane: Literal["uniform", "time_steps"] = option(
        "uniform",
        "`uniform`, every potential decays by `decay`, or `time_steps`, by `decay ** (dt / mean dt)` with the unit's "
        "own time step dt in waking and the mean over its layer: slow units integrate for longer, and the mean leak "
        "rate stays that of `decay`. A linear read-out has no time step and decays by `decay`",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gate == "none" and self.bounds is None:
            raise ConfigError(
                "gate: without a gate weights grow without limit; set `bounds`, e.g. to 3, or use gate=matlab."
            )


@takes(SleepReplayOptions)
class SleepReplay(Strategy):
    """After each experience, run the network as spiking neurons driven by the mean input of everything seen so far.

    A sleeping neuron that fires strengthens its synapses from neurons that fired with it and weakens the others,
    through a gate that hardly changes positive weights (see `clep.sleep`). Biases are frozen. Sleep knows the weights,
    the mean input and one activity maximum per layer, but no sample of the past. In a network with convolutions, the
    dense layers above them sleep, driven by the mean activity below; the convolutions are frozen.

    Options "per layer" take one value for all layers, two for the hidden layers and the output layer, or one each.
    Options without a source are this package's own. Each option is an attribute of the strategy.

    Raises:
        ConfigError: for an unknown option or a value that does not fit, naming the option, or if neither a gate nor
            bounds limit the weights.

    Example:
        >>> import clep
        >>> stream = clep.stream("digits", experiences=2, samples_per_experience=40)
        >>> training = clep.Training(clep.Learner(clep.Network([64, 20, 10])), [SleepReplay(steps=100)])
        >>> "sleep/firing_rate_layer_2" in training.run(stream).reports[0].numbers
        True
    """

    consolidates = True
    sleeps = True
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

    def __init__(self, **options: Any) -> None:
        super().__init__()
        chosen = from_keywords(SleepReplayOptions, options)
        self.__dict__.update(chosen.plain())
        self.bounds = math.inf if chosen.bounds is None else chosen.bounds
        self.experiences = 0
        self.inputs: Statistics | None = None
        self.weight_scales: list[float] = []
        """Standard deviation of each layer's weights at the first sleep, the unit of the rule's constants."""

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse models without a stack of dense layers, and values that do not fit it."""
        try:
            stack = stack_of(learner.network)
        except ConfigError as error:
            yield str(error)
            return
        for name in ("threshold", "increment", "decrement_ratio"):
            try:
                per_layer(name, getattr(self, name), len(stack))
            except ConfigError as error:
                yield f"strategy.sleep_replay.{error}"
        if self.membrane == "time_steps" and all(layer.time_step is None for layer in stack.layers):
            yield (
                "strategy.sleep_replay.membrane: `time_steps` needs units with time steps; "
                f"{type(learner.network).__name__} has none; use membrane=uniform."
            )

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Refuse a stream of unknown length, if sleep is to come at its end."""
        if self.every == 0:
            is_last(strategy.experience)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the statistics of the experience just trained, then sleep if it is time to."""
        stack = stack_of(strategy.model)
        first = self._observe(strategy, stack)
        self.experiences += 1
        if self.experiences % self.every if self.every else not is_last(strategy.experience):
            return
        if not self.weight_scales:
            self.weight_scales = [max(float(weight.detach().std()), 1e-12) for weight in stack.weights]
        self._log_residual("before", stack, first)
        stack.write(self._sleep(stack))
        self._log_residual("after", stack, first)

    def _observe(self, strategy: Any, stack: DenseStack) -> Tensor:
        """Take the statistics; return the first batch of inputs, on the device of the model."""
        # A loader draws a number when it starts. Here it comes from a generator that nothing else uses.
        loader = DataLoader(strategy.experience.dataset.eval(), batch_size=_BATCH, generator=torch.Generator())
        batches = (images.to(strategy.device) for images, *_ in loader)
        first = next(batches)
        self.inputs = observe(stack, chain([first], batches), self.inputs if self.statistics == "seen" else None)
        if self.inputs.low < 0.0:
            warnings.warn(
                f"strategy.sleep_replay: inputs go down to {self.inputs.low:.3g}, and sleep needs rates: it takes the "
                "lowest input as silence and the highest as rate 1. Its constants suit inputs in [0, 1]; use such "
                "inputs (stream.standardize=false), or tune it before judging it",
                InputWarning,
                stacklevel=2,
            )
        return first

    def _log_residual(self, when: str, stack: DenseStack, x: Tensor) -> None:
        """Log how far the network is from its fixed point after a free phase; large weights may keep it from
        settling."""
        if stack.residual is not None:
            self.log(metric_names.SLEEP_RESIDUAL.format(when=when), stack.residual(x))

    @torch.no_grad()
    def _sleep(self, stack: DenseStack) -> list[Tensor]:
        """The weights after a sleep that starts from those of the stack."""
        weights = stack.weights
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        draws, shuffles = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
        options = {"symmetric": self.symmetric, "shuffled": self.shuffled, "rng": shuffles}
        asleep = simulation(weights, self._constants(self._decays(stack)), **options)
        steps = self.steps + (self.experiences - 1) * self.steps_per_experience
        with progress_bar(total=steps, desc="sleep", unit="step", delay=2) as bar:
            if isinstance(asleep, CompiledSimulation) and not asleep.is_compiled():
                bar.set_description("sleep (compiling for a few seconds, only the first time)")
            for start in range(0, steps, _STEPS_PER_UPDATE):
                interrupts.check()
                piece = min(_STEPS_PER_UPDATE, steps - start)
                asleep.run(self._input_spikes(piece, draws))
                bar.set_description("sleep", refresh=False)
                bar.update(piece)
        slept = [torch.as_tensor(new, device=weights[0].device) for new in asleep.weights]
        for layer, (weight, new) in enumerate(zip(weights, slept, strict=True), start=1):
            self.log(
                metric_names.SLEEP_FIRING_RATE.format(layer=layer), asleep.counts[layer - 1].mean() / max(1, steps)
            )
            self.log(metric_names.SLEEP_WEIGHT_CHANGE.format(layer=layer), float((new - weight).norm() / weight.norm()))
        return slept

    def _decays(self, stack: DenseStack) -> list[float | np.ndarray]:
        """Decay of each layer: one for all its neurons, or one each."""
        steps = [layer.time_step if self.membrane == "time_steps" else None for layer in stack.layers]
        return [self.decay if dt is None else self.decay ** relative(dt) for dt in steps]

    def _constants(self, decays: Sequence[float | np.ndarray]) -> list[SpikingParameters]:
        """Constants of each layer in units of its weights and of its largest pre-activation."""
        assert self.inputs is not None
        depth = len(decays)
        threshold = per_layer("threshold", self.threshold, depth)
        increment = per_layer("increment", self.increment, depth)
        ratio = per_layer("decrement_ratio", self.decrement_ratio, depth)
        width = math.inf if self.gate == "none" else self.gate_width
        return [
            SpikingParameters(
                decay=decays[layer],
                threshold=threshold[layer] * max(self.inputs.maxima[layer], 1e-12),
                increment=increment[layer] * scale,
                decrement=increment[layer] * ratio[layer] * scale,
                gate_width=width * scale,
                feedback=self.feedback,
                inhibition=self.inhibition,
                bound=self.bounds * scale,
            )
            for layer, scale in enumerate(self.weight_scales)
        ]

    def _input_spikes(self, steps: int, rng: np.random.Generator) -> Spikes:
        """Spikes of the inputs, inside one random patch per step."""
        assert self.inputs is not None
        mean = self.inputs.mean
        expected = (self.rate * mean.double()).clamp_min(0.0)
        probability = -torch.expm1(-expected) if self.spikes == "poisson" else expected.clamp_max(1.0)
        spikes = bernoulli_spikes(probability.flatten().numpy(), steps, rng)
        if self.patch < 1.0 and mean.dim() == 3:
            return patched(spikes, mean.shape, self.patch, rng)
        return spikes

    def memory(self) -> Memory:
        """The statistics of the inputs and one unit per layer."""
        if self.inputs is None:
            return Memory()
        return Memory(statistics_bytes=self.inputs.nbytes + 8 * len(self.weight_scales))


def per_layer(name: str, values: Sequence[float], depth: int) -> list[float]:
    """Spread `values` over `depth` layers: one for all, two for the hidden layers and the output, or one each.

    Raises:
        ConfigError: for any other number of values.

    Example:
        >>> per_layer("threshold", [0.1, 0.7], 3)
        [0.1, 0.1, 0.7]
    """
    if len(values) == depth:
        return list(values)
    if len(values) == 1:
        return list(values) * depth
    if len(values) == 2:
        return [values[0]] * (depth - 1) + [values[1]]
    *fewer, most = sorted({1, 2, depth})
    allowed = f"{', '.join(map(str, fewer))} or {most}"
    raise ConfigError(f"{name}: expected {allowed} values for {depth} layers, got {len(values)}")


def relative(time_steps: Tensor) -> np.ndarray:
    """Time steps divided by their mean, float64; equal ones become exactly 1."""
    dt = time_steps.detach().cpu().double().numpy()
    return dt / (dt[0] + (dt - dt[0]).mean())


def is_last(experience: Any) -> bool:
    """Whether an experience is the last one of its stream.

    Raises:
        ConfigError: if it has no stream, or one of unknown length.
    """
    try:
        with experience.no_attribute_masking():
            return experience.current_experience == len(experience.origin_stream) - 1
    except (AttributeError, TypeError, AssertionError) as error:
        raise ConfigError(
            "strategy.sleep_replay.every: 0 sleeps after the last experience, but this stream does not say how many it "
            "has; use a benchmark whose train_stream has a length, or every=1."
        ) from error
