"""Strategies that break their contract in one way each; the name of the class says how."""

import random
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from clep.strategy import Memory, Strategy

_drawn_once: list[float] = []


class Honest(Strategy):
    """Adds noise of its own to the weights after each experience, keeps a mean input, and logs.

    Args:
        size: of the noise.
    """

    adds_penalty = False
    consolidates = True
    search_space: ClassVar = {"size": {"low": 0.01, "high": 0.1}}

    def __init__(self, *, size: float = 0.01) -> None:
        super().__init__()
        self.size = size
        self.mean: torch.Tensor | None = None

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.mean = strategy.mb_x.mean(0) if self.mean is None else 0.5 * self.mean + 0.5 * strategy.mb_x.mean(0)
        shift = self.size * self.shift(strategy) * (1 + self.mean.mean())
        with torch.no_grad():
            for parameter in strategy.model.parameters():
                parameter.add_(shift)
        self.log("honest/shift", float(shift))

    def shift(self, strategy: Any) -> float:
        return float(torch.rand((), generator=self.generator))


class Unseeded(Honest):
    """Differs between two runs of one seed; `size`."""

    def shift(self, strategy: Any) -> float:
        return random.SystemRandom().random()


class Remembering(Honest):
    """Remembers an earlier run in its module; `size`."""

    def shift(self, strategy: Any) -> float:
        _drawn_once.append(1.0)
        return float(len(_drawn_once))


class DrawingFromTorch(Honest):
    """Draws from torch's global generator; `size`."""

    def shift(self, strategy: Any) -> float:
        return float(torch.rand(()))


class DrawingFromNumpy(Honest):
    """Draws from numpy's global generator; `size`."""

    def shift(self, strategy: Any) -> float:
        return float(np.random.rand())  # noqa: NPY002


class DrawingFromPython(Honest):
    """Draws from Python's global generator; `size`."""

    def shift(self, strategy: Any) -> float:
        return random.random()


class DrawingFromBatches(Honest):
    """Draws from the generator of the batches; `size`."""

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        generator = getattr(strategy, "generator", None)
        torch.rand(1, generator=generator)


class DrawingForOthers(Honest):
    """Reseeds every strategy; `size`."""

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        for plugin in strategy.plugins:
            if isinstance(plugin, Strategy):
                plugin.seed_with(1)


class Forgetting(Honest):
    """Keeps in no checkpoint what it goes on with; `size`."""

    def __init__(self, *, size: float = 0.01) -> None:
        super().__init__(size=size)
        self.count = 0

    def shift(self, strategy: Any) -> float:
        self.count += 1
        return float(self.count)

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "count"}


class ForgettingWithin(Honest):
    """Keeps no checkpoint of what it collects in an experience; `size`."""

    def __init__(self, *, size: float = 0.01) -> None:
        super().__init__(size=size)
        self.losses: list[float] = []

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.losses.append(float(strategy.loss.detach()))

    def shift(self, strategy: Any) -> float:
        total, self.losses = sum(self.losses), []
        return total

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "losses"}


class Unsavable(Honest):
    """Holds what no file can; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().after_training_exp(strategy, **kwargs)
        self.lock = threading.Lock()


class Concealing(Honest):
    """Keeps samples that it does not count; `size`."""

    def __init__(self, *, size: float = 0.01) -> None:
        super().__init__(size=size)
        self.kept: list[Any] = []

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().after_training_exp(strategy, **kwargs)
        self.kept.append(strategy.mb_x.clone())

    def memory(self) -> Memory:
        return Memory(statistics_bytes=256)


class ConcealingInItsClass(Honest):
    """Keeps samples in its class; `size`."""

    kept: ClassVar[list[Any]] = []

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().after_training_exp(strategy, **kwargs)
        self.kept.append(strategy.mb_x.clone())


class Boasting(Honest):
    """Says that it keeps more than there is; `size`."""

    def memory(self) -> Memory:
        return Memory(exemplars=20, exemplar_bytes=20 * 264, statistics_bytes=256)


class LoggingOthersNames(Honest):
    """Logs under a name of sleep; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.log("sleep/firing_rate_layer_1", 1.0)


class LoggingNoNumbers(Honest):
    """Logs what is not finite; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.log("honest/shift", float("nan"))


class LoggingReserved(Honest):
    """Logs under a name of clep; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.log("accuracy/seen", 1.0)


class PeekingAhead(Honest):
    """Looks at the labels of the next experience; `size`."""

    def shift(self, strategy: Any) -> float:
        stream = strategy.experience.origin_stream
        later = stream[min(strategy.experience.current_experience + 1, len(stream) - 1)]
        return float(sum(later.dataset.targets))


class PeekingAtTheTest(Honest):
    """Looks at the labels of the evaluation data; `size`."""

    def shift(self, strategy: Any) -> float:
        held = [p.experiences for p in strategy.plugins if getattr(p, "experiences", ())]  # of what measures
        return float(held[0][0].samples.y.sum())


class Undocumented(Strategy):
    """Says nothing of what it takes."""

    adds_penalty = False

    def __init__(self, *, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength


class SearchingElsewhere(Honest):
    """Has a search space of another strategy; `size`."""

    search_space: ClassVar = {"rate": {"low": 0.1, "high": 1.0}}


class MovingTimeSteps(Honest):
    """Changes the time steps of the neurons; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().after_training_exp(strategy, **kwargs)
        for name, buffer in strategy.model.named_buffers():
            if name.startswith("dt_"):
                buffer.mul_(0.5)


class NeedingConvolutions(Honest):
    """Refuses every network here; `size`."""

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        yield "network.channels: it needs convolutions; use network.channels=[8]"


class RefusingWithoutKey(Honest):
    """Says no and not what to change; `size`."""

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        if type(learner.network).__name__ == "Feedforward":
            yield "I do not like this network"


class FailingUnderBackpropagation(Honest):
    """Needs a gradient estimate and does not say so; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        assert strategy.model.gradient is not None


class FailingBesideOthers(Honest):
    """Thinks that it is alone; `size`."""

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if any(type(plugin).__name__ == "EWCPlugin" for plugin in strategy.plugins):
            raise RuntimeError("I was told that I am alone")


class NeedingClep(Honest):
    """Needs what plain Avalanche has not; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.log("honest/learning_rate", strategy.learner.spec.lr)


class OtherwiseInClep(Honest):
    """Does something else in clep than in plain Avalanche; `size`."""

    def shift(self, strategy: Any) -> float:
        return 1.0 if hasattr(strategy, "learner") else 2.0


class Breaking(Honest):
    """Divides by zero; `size`."""

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        _ = 1 / 0


class Untouchable(Honest):
    """Takes no attributes from outside; `size`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_clep"):
            super().__setattr__(name, value)


class Net(nn.Module):
    """A linear network."""

    def __init__(self, *, classes: int, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(64, classes, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class OneOutput(Net):
    """Has one output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, :1]


class UnseededNet(Net):
    """Has other weights each time."""

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes)
        nn.init.constant_(self.layer.weight, random.SystemRandom().random())


class DroppingOut(Net):
    """Drops units in evaluation, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(x), training=True)


class LookingAtTheBatch(Net):
    """Subtracts the mean of the batch, in evaluation too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(0))


class Counting(Net):
    """Changes a buffer with every batch."""

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return super().forward(x)


class KeepingTheGraph(Net):
    """Keeps its last output, which cannot be copied."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.latest = super().forward(x)
        return self.latest


class Scaling(Net):
    """Keeps a part of its weights where no checkpoint finds it."""

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes)
        self.scale = torch.rand(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * super().forward(x)


class Idle(Net):
    """Has a layer that it does not use."""

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes)
        self.unused = nn.Linear(2, 2)


def _halves(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    x, y = generator.random((40, 6)), np.arange(40) % 4
    return x[:20], y[:20], x[20:], y[20:]


def noise() -> tuple[np.ndarray, ...]:
    """A data set without a fault."""
    return _halves(np.random.default_rng(0))


def three_arrays() -> tuple[np.ndarray, ...]:
    """One array too few."""
    return noise()[:3]


def other_each_time() -> tuple[np.ndarray, ...]:
    """Other samples each time."""
    return _halves(np.random.default_rng(np.random.randint(1000)))  # noqa: NPY002


def tested_on_what_it_learns() -> tuple[np.ndarray, ...]:
    """The same samples twice."""
    x, y, *_ = noise()
    return x, y, x, y
