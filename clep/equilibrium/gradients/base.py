"""A gradient estimate: how a network predicts, and a loss whose `backward()` delivers the estimate.

Autograd delivers the estimate, so everything written for PyTorch works on an equilibrium network unchanged: optimisers,
gradient clipping, distributed averaging, and regularisers that add to the loss or call the model themselves.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clep.equilibrium.body import FreePhase, Relaxing
from clep.equilibrium.dynamics import full_precision
from clep.renames import announce
from clep.specs.capabilities import EVERY, Capability

Criterion = Callable[[Tensor, Tensor], Tensor]
"""(output (B, K), class indices (B,)) -> loss, () tensor."""
_SET_BY_OTHERS = ("adaptation", "over_parts")  # fields of an estimate that are no options


@dataclass(frozen=True)
class Prediction:
    """Output of a network on one batch.

    Attributes:
        output: (B, K).
        free: the free phase that it came from; None if none was run.

    Example:
        >>> import torch
        >>> from clep.equilibrium import LinearNudging, Network
        >>> prediction = LinearNudging().predict(Network([4, 3, 2]), torch.rand(5, 4))
        >>> prediction.output.shape, prediction.free.steps
        (torch.Size([5, 2]), 20)
    """

    output: Tensor
    free: FreePhase | None = None


@dataclass(frozen=True)
class Needs:
    """What an estimate asks of its surroundings.

    Attributes:
        own_loss: old name of a `Gradient` whose `supports` is empty.
        own_updates: it moves the weights itself, step by step; see `Gradient.updates`.
        cost: the criterion must be a `Cost`, since only a cost can nudge.

    Example:
        >>> from clep.equilibrium import CEP
        >>> CEP().needs.own_updates
        True
    """

    own_loss: bool = False
    own_updates: bool = False
    cost: bool = False


class Gradient(ABC):
    """An estimate of the gradient of a network's parameters.

    Derive a frozen dataclass whose fields are plain values; they also become options of a configuration.

    Attributes:
        needs: what the estimate asks of its surroundings.
        supports: what strategies may do beside it; see `clep.specs.capabilities`.

    Example:
        >>> from dataclasses import dataclass
        >>> from clep.equilibrium import LinearNudging
        >>> @dataclass(frozen=True)
        ... class Tenfold(LinearNudging):
        ...     def loss(self, prediction, y, criterion):
        ...         return 10.0 * super().loss(prediction, y, criterion)
    """

    needs: Needs = Needs()
    supports: ClassVar[frozenset[Capability]] = EVERY

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "supports" not in vars(cls) and "needs" in vars(cls) and cls.needs.own_loss:
            announce(f"{cls.__name__}.needs.own_loss=True", f"{cls.__name__}.supports=frozenset()")
            cls.supports = frozenset()

    @abstractmethod
    def predict(self, network: Any, x: Tensor) -> Prediction:
        """The prediction for a batch; under `torch.no_grad()` it only runs a free phase.

        Args:
            network: the network; see `clep.equilibrium.body.Relaxing`.
            x: inputs, (B, ...).
        """

    @abstractmethod
    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        """Mean loss, () tensor; its `backward()` delivers the estimate.

        Args:
            prediction: of a batch, from `predict`; its output (B, K) may have been replaced.
            y: class indices, (B,).
            criterion: (output (B, K), class indices (B,)) -> (); a `Cost` if `needs.cost`.
        """

    def updates(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Iterator[list[Tensor]]:
        """Yield gradients, one for every parameter of the connections; **the caller moves the weights in between**.

        Only for estimates with `needs.own_updates`. Each gradient is shaped as its parameter, (n_above, n_below) for
        the weights of a dense layer.

        Args:
            prediction: of a batch, from `predict`.
            y: class indices, (B,).
            criterion: as in `loss`.

        Raises:
            NotImplementedError: for all others.
        """
        raise NotImplementedError(f"{type(self).__name__} moves no weights by itself.")

    @classmethod
    def option_names(cls) -> list[str]:
        """The names of the options: the fields, but for what a strategy or a trainer sets."""
        return [field.name for field in fields(cls) if field.name not in _SET_BY_OTHERS] if is_dataclass(cls) else []

    def plain(self) -> dict[str, Any]:
        """The options as plain values, from which the same estimate can be made again."""
        return {name: getattr(self, name) for name in self.option_names()}


class _Delivered(torch.autograd.Function):
    """parameters -> 0; backward computes their gradients and multiplies them by the incoming one."""

    @staticmethod
    def forward(ctx: Any, gradients: Callable[[], list[Tensor]], batch: int, *parameters: Tensor) -> Tensor:
        ctx.gradients, ctx.batch = gradients, batch
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises if a parameter was changed in place since the free phase
        with full_precision(gradient):
            gradients = ctx.gradients()
        return None, None, *(g.mul_(gradient / ctx.batch) for g in gradients)


def delivered(free: FreePhase, gradients: Callable[[], list[Tensor]]) -> Tensor:
    """Zero; its gradient for the connections' parameters is the mean of `gradients()` over the batch."""
    zero: Tensor = _Delivered.apply(gradients, len(free.x), *free.body.parameters())
    return zero


def relaxed(network: Relaxing, x: Tensor) -> Prediction:
    """The output of a free phase, with the phase; autograd does not follow it."""
    free = network.free_phase(x)
    return Prediction(free.body.read_out(free.output), free)


def phase_of(prediction: Prediction) -> FreePhase:
    """The free phase that a prediction came from.

    Raises:
        ValueError: if none was run.
    """
    if prediction.free is None:
        raise ValueError("This estimate needs the free phase of its prediction; make it by `gradient.predict`.")
    return prediction.free
