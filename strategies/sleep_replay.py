"""Sleep replay consolidation (SRC): after each experience, noise shaped like the inputs reactivates what was learned.

References:
    Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742): the rule, for feed-forward networks.
    Kubo, Delanois & Bazhenov 2025 (arXiv 2508.14081): SRC for networks trained by equilibrium propagation. Its
    constants are not public; our choices for what the papers leave open are in the run's tags.
    Tononi & Cirelli 2014 (Neuron 81:12): sleep as the time in which synapses are weakened and firing rates return.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from clep import interrupts, metric_names
from clep.equilibrium.stack import DenseStack, stack_of
from clep.errors import ConfigError, InputWarning, SleepWarning
from clep.progress import bar as progress_bar
from clep.sleep import (
    DECAY,
    INPUT_RATE,
    CalibratedSleep,
    Held,
    Seen,
    Spikes,
    SpikingParameters,
    Statistics,
    activity,
    balance,
    bernoulli_spikes,
    branched,
    centre,
    level_biases,
    observe,
    patched,
    restore,
    simulation,
    waves,
)
from clep.sleep.calibration import PIECE, PIECES
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy

_STEPS_PER_UPDATE = 1000  # of the progress bar
_BATCH = 500  # inputs at a time while the statistics are taken

_PUBLISHED = (
    *("steps", "steps_per_experience", "rate", "decay", "threshold", "increment", "decrement_ratio"),
    *("gate_width", "gate", "bounds", "shuffled"),
)
_AUTO = ("keep", "depression")

_WAVES = 1000  # that output units are balanced by
_HIDDEN = 0.04  # of what may be lost of the accuracy, the share that synapses below hidden neurons may take
_COMPILING = "sleep (compiling for a few seconds, only the first time)"
_NEVER, _ALWAYS = 0.0, 0.9  # spikes per neuron and step


@dataclass(frozen=True)
class SleepReplayOptions(Spec):
    """The options of sleep replay.

    Raises:
        ConfigError: for a value of the wrong type or out of range, for an option of the other calibration, or if
            neither a gate nor bounds limit the weights.

    Example:
        >>> SleepReplayOptions(calibration="published", steps=500).threshold
        [0.077, 0.73]
    """

    calibration: Literal["auto", "published"] = option(
        "auto",
        "`auto`: sleep finds its thresholds, its changes and its length itself, and needs no constants for a data set "
        "or a network; or `published`, the form of Tadros 2022 with the constants from `steps` to `gate_width`, `gate` "
        "and `bounds`, which are to be searched for each",
    )
    keep: float = option(
        0.5,
        "`auto`: sleep ends before the accuracy on samples of the experience just trained falls below this share of "
        "what it was with level output biases; less means more room for what is older. Synapses below hidden neurons "
        "take a 25th of what may be lost and output units the rest",
        "(0, 1]",
    )
    depression: float = option(
        0.008,
        "`auto`: what a synapse loses per spike of its upper neuron, before the gate, in standard deviations of the "
        "layer's weights at the first sleep; n hidden layers lose an n-th of it each",
        "(0, inf)",
    )
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
    statistics: Literal["seen", "current"] | None = option(
        None,
        "what drives sleep: `seen`, mean and maxima over all experiences (Tadros 2022), or `current`, over the latest "
        "one: the rule then knows earlier experiences only through the weights. The waves of `auto` have the mean of "
        "all experiences in either case. null: `current` with `calibration=auto`, otherwise `seen`",
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
        "`published`: a control for whether the replayed patterns matter: neurons fire as usual, but the rule sees the "
        "same number of random lower neurons instead of those that fired",
    )
    membrane: Literal["uniform", "time_steps"] = option(
        "uniform",
        "`uniform`, every potential decays by `decay`, or `time_steps`, by `decay ** (dt / mean dt)` with the unit's "
        "own time step dt in waking and the mean over its layer: slow units integrate for longer, and the mean leak "
        "rate stays that of `decay`. A linear read-out has no time step and decays by `decay`",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        auto = self.calibration == "auto"
        for name in _PUBLISHED if auto else _AUTO:
            if getattr(self, name) != type(self).default(name):
                other = "published" if auto else "auto"
                raise ConfigError(
                    f"{name}: it has no effect with calibration={self.calibration}; leave it out, or set "
                    f"calibration={other}"
                )
        if self.gate == "none" and self.bounds is None:
            raise ConfigError(
                "gate: without a gate weights grow without limit; set `bounds`, e.g. to 3, or use gate=matlab."
            )


@takes(SleepReplayOptions)
class SleepReplay(Strategy):
    """After each experience, run the network as spiking neurons driven by a mean input, and change weights locally.

    By default sleep calibrates itself (`calibration=auto`). It is driven by the mean input of the experience just
    trained. Thresholds follow the firing rate of each layer, and a hidden neuron that fires weakens its synapses,
    through a gate that hardly changes positive weights (see `clep.sleep.calibration`). Several hidden layers are then
    scaled until each is as active as before (see `clep.sleep.gains`). The biases of output units are levelled. Where
    there are older classes, waves of spontaneous activity pass over the input: output units are centred, so that waves
    neither drive nor silence any on average, and those that answer waves more often than others are scaled down (see
    `clep.sleep.outputs`). Each part ends when nothing is left to do, or when the accuracy on samples of the experience
    just trained has fallen to its part of `keep`. Of the past, weights are kept, the mean input and which classes there
    were.

    With `calibration=published` the mean input is that of everything seen so far. A neuron that fires strengthens its
    synapses from neurons that fired with it and weakens the others, for a given number of steps. Sleep then knows the
    weights, the mean input and one activity maximum per layer, but no sample of the past.

    All other biases are frozen. In a network with convolutions, the dense layers above them sleep, driven by the mean
    activity below; the convolutions are frozen. A sleep in which a layer never fires, or fires all the time, or that
    takes more than half of what was just learned, is warned of once.

    Options "per layer" take one value for all layers, two for the hidden layers and the output layer, or one each.
    Options without a source are this package's own. Each option is an attribute of the strategy.

    Raises:
        ConfigError: for an unknown option or a value that does not fit, naming the option, for an option of the other
            calibration, or if neither a gate nor bounds limit the weights.

    Example:
        >>> import clep
        >>> stream = clep.stream("digits", experiences=2, samples_per_experience=40)
        >>> training = clep.Training(clep.Learner(clep.Network([64, 20, 10])), [SleepReplay()])
        >>> "sleep/firing_rate_layer_2" in training.run(stream).reports[0].numbers
        True
    """

    consolidates = True
    sleeps = True
    search_space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "keep": {"low": 0.3, "high": 0.99},
        "depression": {"low": 0.002, "high": 0.05, "log": True},
        "patch": {"low": 0.3, "high": 1.0},
    }
    published_space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
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
    """What `clep tune` searches with `calibration=published`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        chosen = from_keywords(SleepReplayOptions, options)
        self.__dict__.update(chosen.plain())
        self.bounds = math.inf if chosen.bounds is None else chosen.bounds
        self.statistics = chosen.statistics or ("current" if self.calibration == "auto" else "seen")
        self.experiences = 0
        self.inputs: Statistics | None = None
        self.weight_scales: list[float] = []
        """Standard deviation of each layer's weights at the first sleep, the unit of the rule's constants."""
        self.seen = Seen()
        self._told: set[str] = set()

    @classmethod
    def searched(cls, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """The constants of the published form if it is the one that is chosen.

        Args:
            options: the values that are set in the configuration.
        """
        return cls.published_space if options.get("calibration") == "published" else cls.search_space

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
        if self.feedback and len(stack) == 1:
            yield "strategy.sleep_replay.feedback: it needs a hidden layer to act on, and there is none; leave it out."
        if self.symmetric and self.calibration == "auto" and len(stack) < 3:
            yield (
                "strategy.sleep_replay.symmetric: with calibration=auto it needs synapses between hidden layers, and "
                "there are none; leave it out, or set calibration=published."
            )
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
        self._log_residual("before", stack, first)
        held = Held.of(strategy.experience.dataset, strategy.model, strategy.device)
        if self.calibration == "auto":
            older = self.seen.classes - {int(y) for y in strategy.experience.dataset.targets}
            self._sleep_in_parts(stack, held, any_older=bool(older))
        else:
            stack.write(self._sleep(stack))
        if held.accuracy() < 0.5 * held.before:
            lower = "raise keep" if self.calibration == "auto" else "lower steps or increment, or set calibration=auto"
            self._tell(f"sleep took more than half of what was just learned; {lower}")
        self._log_residual("after", stack, first)
        if self.calibration == "auto" and self.statistics == "current":
            self.inputs = None

    @torch.no_grad()
    def _sleep_in_parts(self, stack: DenseStack, held: Held, *, any_older: bool) -> None:
        """Hidden synapses lose and are scaled back; then output units are centred and balanced if there are older."""
        level_biases(stack)
        awake, (whole, _) = held.accuracy(), branched(stack)
        if not awake:
            self._tell("nothing of the experience just trained was learned, so sleep is left out: it has no measure")
            return
        least = self.keep * awake
        start, drives = [weight.detach().clone() for weight in whole.weights], activity(stack, held.x)
        self._calibrated_sleep(stack, held, awake - _HIDDEN * (awake - least))
        if len(drives) > 1:
            restore(held.model, held.x, drives)
            if held.accuracy() < least:
                whole.write(start)
        factor = 1.0
        if any_older:
            x = waves(self.seen, _WAVES, self.generator).to(held.x)
            centre(held, x, self.seen.classes, least)
            factor = float(balance(held, x, self.seen.classes, least).min())
        self.log(metric_names.SLEEP_OUTPUT_FACTOR, factor)
        self._log_changes(start, branched(stack_of(held.model))[0].weights)

    def _observe(self, strategy: Any, stack: DenseStack) -> Tensor:
        """Take the statistics; return the first batch of inputs, on the device of the model."""
        # A loader draws a number when it starts. Here it comes from a generator that nothing else uses.
        loader = DataLoader(strategy.experience.dataset.eval(), batch_size=_BATCH, generator=torch.Generator())
        batches = self._counted(loader, strategy.device)
        first = next(batches)
        before, signed = self.inputs if self.statistics == "seen" else None, self.calibration == "auto"
        self.inputs = observe(stack, chain([first], batches), before, signed=signed)
        if self.inputs.low < 0.0:
            warnings.warn(
                f"strategy.sleep_replay: inputs go down to {self.inputs.low:.3g}, and sleep needs rates: it takes the "
                "lowest input as silence and the highest as rate 1. Its constants suit inputs in [0, 1]; use such "
                "inputs (stream.standardize=false), set calibration=auto, or tune it before judging it",
                InputWarning,
                stacklevel=2,
            )
        if self.patch < 1.0 and self.inputs.mean.dim() != 3:
            self._tell("patch has no effect, since the inputs of the layers that sleep are no image; leave it out")
        return first

    def _counted(self, loader: DataLoader[Any], device: torch.device) -> Iterator[Tensor]:
        """The inputs of each batch; a sleep that calibrates itself keeps their mean."""
        for x, y, *_ in loader:
            if self.calibration == "auto":
                self.seen.add(x, y)
            yield x.to(device)

    def _log_residual(self, when: str, stack: DenseStack, x: Tensor) -> None:
        """Log how far the network is from its fixed point after a free phase; large weights may keep it from
        settling."""
        if stack.residual is not None:
            self.log(metric_names.SLEEP_RESIDUAL.format(when=when), stack.residual(x))

    @torch.no_grad()
    def _sleep(self, stack: DenseStack) -> list[Tensor]:
        """The weights after a published sleep that starts from those of the stack."""
        weights, (draws, options) = stack.weights, self._draws()
        self.weight_scales = self.weight_scales or [spread(weight) for weight in weights]
        asleep = simulation(weights, self._constants(self._decays(stack, self.decay)), **options)
        steps = self.steps + (self.experiences - 1) * self.steps_per_experience
        with progress_bar(total=steps, desc="sleep", unit="step", delay=2) as bar:
            if not asleep.is_compiled():
                bar.set_description(_COMPILING)
            for start in range(0, steps, _STEPS_PER_UPDATE):
                interrupts.check()
                piece = min(_STEPS_PER_UPDATE, steps - start)
                asleep.run(self._input_spikes(piece, draws, self.rate))
                bar.set_description("sleep", refresh=False)
                bar.update(piece)
        slept = [torch.as_tensor(new, device=weights[0].device) for new in asleep.weights]
        self._log_rates([layer.name for layer in stack.layers], asleep.counts, steps)
        self._log_changes(weights, slept)
        return slept

    @torch.no_grad()
    def _calibrated_sleep(self, stack: DenseStack, held: Held, least: float) -> None:
        """Sleep as long as the accuracy on what the experience has just taught is at least `least`."""
        assert self.inputs is not None
        stack, masks = branched(stack)
        start, (draws, options) = [weight.detach().clone() for weight in stack.weights], self._draws()
        signs = torch.where(self.inputs.mean.flatten() < 0.0, -1.0, 1.0).to(start[0])
        signed = [start[0] * signs, *start[1:]]  # an input below zero is one whose spikes count the other way round
        self.weight_scales = self.weight_scales or [spread(weight) for weight in signed]
        asleep = CalibratedSleep(
            signed,
            self.weight_scales,
            self.inputs.maxima,
            masks=masks,
            depression=self.depression,
            decays=self._decays(stack, DECAY),
            feedback=self.feedback,
            inhibition=self.inhibition,
            **options,
        )
        best, rate = start, INPUT_RATE / max(float(self.inputs.mean.abs().max()), 1e-12)
        with progress_bar(total=PIECES * PIECE, desc="sleep", unit="step", delay=2) as bar:
            if not asleep.is_compiled():
                bar.set_description(_COMPILING)
            for new in asleep.run(lambda steps: self._input_spikes(steps, draws, rate)):
                bar.set_description("sleep", refresh=False)
                bar.update(asleep.steps - bar.n)
                lowest, *others = [torch.as_tensor(weight, device=start[0].device).clone() for weight in new]
                slept = [lowest * signs, *others]
                stack.write(slept)
                if held.accuracy() < least:
                    break
                best = slept
        stack.write(best)
        self.log(metric_names.SLEEP_STEPS, asleep.steps)
        self._log_rates([layer.name for layer in stack.layers], asleep.counts, asleep.steps)

    def _draws(self) -> tuple[np.random.Generator, dict[str, Any]]:
        """The source of the input spikes, and the options of a simulation with its own source."""
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        draws, shuffles = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
        return draws, {"symmetric": self.symmetric, "shuffled": self.shuffled, "rng": shuffles}

    def _log_changes(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
        """Log how much of its norm the weights of each layer have moved by."""
        for layer, (old, new) in enumerate(zip(before, after, strict=True), start=1):
            self.log(metric_names.SLEEP_WEIGHT_CHANGE.format(layer=layer), float((new - old).norm() / old.norm()))

    def _log_rates(self, names: Sequence[str], counts: Sequence[np.ndarray], steps: int) -> None:
        """Log firing rates, and say if a layer never fired, or all the time."""
        for layer, (name, count) in enumerate(zip(names, counts, strict=True), start=1):
            rate = count.mean() / max(1, steps)
            self.log(metric_names.SLEEP_FIRING_RATE.format(layer=layer), rate)
            if steps and not _NEVER < rate < _ALWAYS:
                self._tell_of_rate(name, steps, silent=rate <= _NEVER)

    def _tell_of_rate(self, layer: str, steps: int, *, silent: bool) -> None:
        how = "never fired" if silent else "fired nearly all the time"
        if self.calibration == "published":
            what = f"{'lower' if silent else 'raise'} threshold for it, or set calibration=auto"
        elif silent:
            seen = "" if self.statistics == "seen" else "statistics=seen, or "
            what = f"its input from the mean image is too weak; set {seen}calibration=published"
        else:
            what = "its threshold could not rise enough; set calibration=published, with a higher threshold for it"
        self._tell(f"the layer `{layer}` {how} in {steps} steps of sleep; {what}")

    def _tell(self, what: str) -> None:
        """Warn, once for each beginning of a message."""
        key = what.partition(" in ")[0]
        if key not in self._told:
            self._told.add(key)
            warnings.warn(f"strategy.sleep_replay: {what}", SleepWarning, stacklevel=2)

    def _decays(self, stack: DenseStack, decay: float) -> list[float | np.ndarray]:
        """Decay of each layer: one for all its neurons, or one each, around `decay`."""
        steps = [layer.time_step if self.membrane == "time_steps" else None for layer in stack.layers]
        return [decay if dt is None else decay ** relative(dt) for dt in steps]

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

    def _input_spikes(self, steps: int, rng: np.random.Generator, rate: float) -> Spikes:
        """Spikes of the inputs at `rate` times their means, inside one random patch per step."""
        assert self.inputs is not None
        mean = self.inputs.mean
        expected = rate * (mean.double().abs() if self.calibration == "auto" else mean.double().clamp_min(0.0))
        probability = -torch.expm1(-expected) if self.spikes == "poisson" else expected.clamp_max(1.0)
        spikes = bernoulli_spikes(probability.flatten().numpy(), steps, rng)
        if self.patch < 1.0 and mean.dim() == 3:
            return patched(spikes, mean.shape, self.patch, rng)
        return spikes

    def idle(self) -> str | None:
        """Whether it was never time to sleep."""
        if not 0 < self.experiences < self.every:
            return None
        return f"it sleeps after every {self.every} experiences, and there were {self.experiences}; lower `every`"

    def memory(self) -> Memory:
        """The statistics of the inputs, if any are kept, and one unit per layer."""
        kept = 0 if self.inputs is None else self.inputs.nbytes
        kept += 0 if self.seen.mean is None else self.seen.nbytes
        return Memory(statistics_bytes=kept + 8 * len(self.weight_scales))


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


def spread(weight: Tensor) -> float:
    """Standard deviation of a layer's weights, above zero; of a single weight, its size.

    Example:
        >>> import torch
        >>> spread(torch.tensor([[1.0, 2.0, 3.0]])), spread(torch.tensor([[-2.0]]))
        (1.0, 2.0)
    """
    weight = weight.detach()
    return max(float(weight.std() if weight.numel() > 1 else weight.abs()), 1e-12)


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
