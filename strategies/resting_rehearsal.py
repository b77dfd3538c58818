"""Resting rehearsal: while the network is awake, replay stored samples, and write them only into units at rest.

Local sleep in one sentence: what the present batch leaves silent is free to consolidate. The idea and the two halves of
the mask are those of "Replay in the silent degrees of freedom" (MLP-Cortex, 2026, an unpublished manuscript with public
code), for k-winner networks with local rules. Here the silent units are those of a hard sigmoid or of ReLU, the replay
follows the learner's own gradient, and a bound on each unit's step makes the present answer exactly the same. Their
rotation, which silences active units in the replay, did not help here.

References:
    Vyazovskiy et al. 2011 (Nature 472:443): local sleep.
    Buzzega et al. 2021 (ICPR; arXiv 2010.05595): stored images are varied anew each time they are replayed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from avalanche.training.storage_policy import ClassBalancedBuffer
from torch import Tensor

from clep.dense_parameters import DenseParameters, parameters_of
from clep.equilibrium import Network
from clep.equilibrium.stack import stack_of
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.resting import at_rest, invisible, observed, unused
from clep.sharing import sharing_of
from clep.shifting import shifted
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy, memory_of_buffer

Mask = Literal["units", "directions", "none"]


@dataclass(frozen=True)
class RestingRehearsalOptions(Spec):
    """The options of resting rehearsal.

    Example:
        >>> RestingRehearsalOptions(memory_size=1000).mask
        'directions'
    """

    memory_size: int = option(200, "number of samples to keep over all classes", "[1, inf)")
    batch_size: int | None = option(
        None, "stored samples in each replay; null for the batch size of training", "[1, inf)"
    )
    replays: int = option(
        4,
        "replays after each update of the weights: what a mask leaves of one is little; without a mask 1 is enough",
        "[1, inf)",
    )
    lr: float | None = option(
        None, "learning rate of replay, without momentum; null for lr / (1 - momentum) of the optimiser", "(0, inf)"
    )
    mask: Mask = option(
        "directions",
        "where replay may write: at synapses of silent `units`; along `directions` of a layer's signals that the "
        "present batch leaves unused; anywhere (`none`), which is ordinary replay, and changes the present answer",
    )
    shift: int = option(
        0,
        "pixels by which each stored image is moved at most, at random, in each replay: a few images then stand for "
        "more. Needs inputs that are images",
        "[0, inf)",
    )


@takes(RestingRehearsalOptions)
class RestingRehearsal(Strategy):
    """After each update on new samples, learn stored ones where the new ones do not notice.

    With `mask=units`, a unit is at rest if it is silent for every sample of the present batch, and a synapse may change
    if either of its ends is at rest (for the input, a pixel that is zero in the whole batch): it carries nothing at
    present. Were the change to wake a unit at rest, the step of all its synapses would be shortened until it just stays
    silent. Sparse states leave more units at rest: small batches and `network.inhibition` help. With
    `mask=directions`, what rests are combinations of units: a change dW keeps dW r = 0 for every signal r below the
    layer in the present batch and, where the layer feeds back, s^T dW = 0 for every signal s above it. Either way the
    present batch has the same fixed point before and after.

    The price was measured (docs/concepts/projection.md): in networks whose classes share their hidden units, forgetting
    happens in units that the present batch uses, where neither mask lets replay undo it. Several replays make up for
    much of it, `mask=none` remembers more with one, and `shift` helps both.

    Logs the share of hidden units at rest as `resting_rehearsal/resting`.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> RestingRehearsal(memory_size=20).buffer.max_size
        20
    """

    differentiates_outputs = True
    replicates: ClassVar = True  # masks are of the signals of the whole batch, and replays are shared out
    search_space: ClassVar = {
        "lr": {"low": 0.01, "high": 1.0, "log": True},
        "replays": {"low": 1, "high": 8},
    }

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(RestingRehearsalOptions, options)
        self.buffer = ClassBalancedBuffer(self._options.memory_size)
        self._stored: tuple[Tensor, Tensor] | None = None
        self._layers: list[DenseParameters] = []
        self._resting: list[float] = []

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse units that are never silent, and layers that are not dense."""
        network = learner.network
        if self._options.mask == "units" and (reason := _never_silent(network)) is not None:
            yield reason
            return
        try:
            parameters_of(network, stack_of(network), "resting_rehearsal")
        except ConfigError as error:
            yield str(error)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Get the stored samples ready."""
        shape = tuple(strategy.experience.dataset[0][0].shape)
        if self._options.shift and len(shape) < 2:
            raise ConfigError(
                "strategy.resting_rehearsal.shift: expected images, (..., height, width), got inputs of shape "
                f"{shape}; set it to 0"
            )
        stored = self.buffer.buffer
        if len(stored):
            x, y, *_ = zip(*stored, strict=True)
            self._stored = torch.stack(x).to(strategy.device), torch.as_tensor(y).to(strategy.device)
            self._layers = parameters_of(strategy.model, stack_of(strategy.model), "resting_rehearsal")
        self._resting = []

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        """Replay."""
        if self._stored is None:
            return
        signals = sharing_of(strategy).rows(observed(strategy.model, strategy.mb_x))
        resting = at_rest(signals, self._layers)
        self._resting.append(_share(resting[1:-1]))
        x, y = self._stored
        for _ in range(self._options.replays):
            n = self._options.batch_size or strategy.train_mb_size
            rows = torch.randint(len(x), (n,), generator=self.generator).to(x.device)
            images = shifted(x[rows], self._options.shift, self.generator) if self._options.shift else x[rows]
            changes = self._learned(strategy, images, y[rows])
            if self._options.mask == "units":
                inhibition = strategy.model.spec.inhibition if isinstance(strategy.model, Network) else 0.0
                changes = invisible(changes, self._layers, signals, resting, inhibition)
            elif self._options.mask == "directions":
                changes = unused(changes, self._layers, signals)
            with torch.no_grad():
                for layer, change in zip(self._layers, changes, strict=True):
                    for parameter, part in zip(layer.all, change, strict=True):
                        parameter += part

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Store samples of the experience just trained."""
        self._stored, self._layers = None, []
        if self._resting:
            self.log("resting_rehearsal/resting", sum(self._resting) / len(self._resting))
        with self.own_draws():
            self.buffer.post_adapt(strategy, strategy.experience)

    def memory(self) -> Memory:
        """The stored samples."""
        return memory_of_buffer(self.buffer)

    def state_dict(self) -> dict[str, Any]:
        """All but what each experience begins with anew."""
        return {name: value for name, value in vars(self).items() if name not in ("_stored", "_layers")}

    def _learned(self, strategy: Any, x: Tensor, y: Tensor) -> list[list[Tensor]]:
        """The step that the learner's own gradient asks for, in the order of each layer's `all`."""
        rates = {  # each layer may have its own
            id(parameter): self._options.lr or group["lr"] / (1.0 - group.get("momentum", 0.0))
            for group in strategy.optimizer.param_groups
            for parameter in group["params"]
        }
        parameters = [parameter for layer in self._layers for parameter in layer.all]
        sharing = sharing_of(strategy)
        (x, y), weight = sharing.take_of([x, y])
        with torch.enable_grad():
            loss = weight * strategy._criterion(strategy.model(x), y)
            gradients = iter(sharing.gradients(loss, parameters))
        return [[-rates[id(parameter)] * next(gradients) for parameter in layer.all] for layer in self._layers]


def _never_silent(network: Any) -> str | None:
    """Why no unit of a network is ever silent, or None."""
    if isinstance(network, Network):
        bounds = network.neuron.bounds
        if network.spec.dynamics != "bernoulli" and bounds is not None and bounds[0] == 0.0:
            return None
        return (
            "network.neuron: resting_rehearsal with mask=units needs units that can be silent, and "
            f"`{network.spec.neuron}` with dynamics={network.spec.dynamics} has none; use hard_sigmoid and "
            "dynamics=prototypical, or mask=directions."
        )
    if isinstance(network, Feedforward) and network.activation == "relu":
        return None
    return (
        "network.model: resting_rehearsal with mask=units needs to know which units are silent; use an "
        "equilibrium network, model=feedforward with neuron=relu, or mask=directions."
    )


def _share(units: Sequence[Tensor]) -> float:
    return float(torch.cat(list(units)).float().mean()) if units else 0.0
