"""What the processes that train one learner share of an update: its batch, and what its gradient is made of.

Until the forward, hooks see the whole batch, the same in each process; from the forward on, each has its part of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from avalanche.benchmarks.utils import data_loader
from torch import Tensor, nn

from clep.equilibrium import LinearNudging, Network
from clep.errors import ConfigError
from clep.ranks import ALONE, Ranks


class Sharing:
    """This process's part in the present update.

    Args:
        ranks: its place among those that train the learner.

    Attributes:
        share: that of its samples in the batch. The loss of the batch is the sum of the losses of its parts, each times
            its share: a mean over samples stays one, and a penalty on weights counts once.

    Example:
        >>> import torch
        >>> from clep.ranks import Ranks
        >>> sharing = Sharing(Ranks(1, 2))
        >>> sharing.take([torch.arange(5)]), sharing.share
        ([tensor([1, 3])], 0.4)
        >>> sharing.take_of([torch.arange(3)])  # 1 / 3 of them beside 2 / 5 of the batch
        ([tensor([1])], 0.8333333333333333)
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks, self.share = ranks, 1.0
        self._whole: list[Tensor] = []
        self._differentiated: float | None = None

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "Sharing":
        return self  # a copy of a network is differentiated in the same update

    def take(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """The part of this process of a batch, each tensor (B, ...), which is then the present one."""
        self._whole = list(batch)
        part, self.share = self.ranks.part(batch)
        return part

    def whole(self, batch: list[Tensor]) -> list[Tensor]:
        """The whole of the present batch.

        Args:
            batch: what this process has of it.
        """
        return self._whole or batch

    def take_of(self, further: Sequence[Tensor]) -> tuple[list[Tensor], float]:
        """The part of this process of samples beside the batch, and the weight of their mean in its loss.

        Processes that have none of the batch get none of these, since whatever they add to the loss counts nothing:
        they look at one, with weight 0.

        Args:
            further: tensors of samples that all processes have, (M, ...) each.
        """
        if self.ranks.count == 1:
            return list(further), 1.0
        if self.share == 0.0:
            return [tensor[:1] for tensor in further], 0.0
        part, share = Ranks(self.ranks.rank, min(self.ranks.count, len(self._whole[0]))).part(further)
        return part, share / self.share

    def weight(self, own: int, of: int) -> float:
        """The weight, in the loss of this process, of a mean over samples of the batch.

        Args:
            own: how many of them it has.
            of: how many there are in all processes.
        """
        return own / of / self.share if self.share else 0.0

    @contextmanager
    def differentiating(self) -> Iterator[None]:
        """While losses of parts are differentiated; what is differentiated otherwise is the same in each process."""
        self._differentiated = self.share
        try:
            yield
        finally:
            self._differentiated = None

    def gradients(self, loss: Tensor, parameters: Sequence[Tensor], **options: Any) -> list[Tensor]:
        """The gradient of the loss of the whole batch, which is not that of an update.

        Args:
            loss: of this part.
            parameters: of the network.
            **options: of `torch.autograd.grad`.
        """
        with self.differentiating():
            found = torch.autograd.grad(loss, parameters, **options)
        return self.ranks.sums([gradient * self.share for gradient in found]) if self.ranks.count > 1 else list(found)

    def rows(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Values for each sample of the whole batch, (B, n) each, from those for the samples of this part."""
        if self.ranks.count == 1:
            return list(parts)
        whole = [part.new_zeros(len(self._whole[0]), *part.shape[1:]) for part in parts]
        for rows, part in zip(whole, parts, strict=True):
            if self.share:
                rows[self.ranks.rank :: self.ranks.count] = part
        return self.ranks.sums(whole)

    def shared(self, network: nn.Module) -> nn.Module:
        """A view of a network whose estimate takes from the whole batch what it takes from all samples."""
        if self.ranks.count == 1 or not isinstance(network, Network):
            return network
        gradient: Any = network.gradient
        if isinstance(gradient, LinearNudging):
            gradient = replace(gradient, over_parts=self._largest)
        if getattr(gradient, "adaptation", None) is not None:
            gradient = replace(gradient, adaptation=replace(gradient.adaptation, over_parts=self._sums))
        return network.with_gradient(gradient)

    def refuse_others(self, batch: Sequence[Tensor]) -> None:
        """Refuse batches that are not the same in each process.

        Args:
            batch: tensors of the same samples, (B, ...) each.

        Raises:
            ConfigError: in all processes.
        """
        places = torch.arange(1, len(batch[0]) + 1, dtype=torch.float64, device=batch[0].device)
        sums = [places @ tensor.double().view(len(places), -1).sum(1) for tensor in batch]
        if not self.ranks.same(torch.stack([places.sum(), *sums])):
            raise ConfigError(
                "trainer.devices: a strategy brings a data loader, or data, of its own, which deals out other batches "
                "in each process; draw from torch's global generator or that of the strategy, or use trainer.devices=1"
            )

    def _largest(self, value: Tensor) -> Tensor:
        """The largest entry of a gradient on outputs over the whole batch, in units of this part."""
        share = self._differentiated
        if share is None:
            return value
        largest = self.ranks.largest(value * share)
        return largest / share if share else value  # what has no share counts nothing, but needs a number

    def _sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums over the samples of the whole batch, from those over a part."""
        if self._differentiated is None:
            return list(tensors)
        return self.ranks.sums(tensors if self._differentiated else [torch.zeros_like(tensor) for tensor in tensors])


def sharing_of(strategy: Any) -> Sharing:
    """What a training template shares with other processes; nothing if it is one of plain Avalanche.

    Args:
        strategy: the template.
    """
    found: Sharing = getattr(strategy, "sharing", None) or Sharing()
    return found


@contextmanager
def whole_loaders() -> Iterator[None]:
    """Let Avalanche's loaders deal out whole batches, also while several processes are connected.

    They would give each process samples of its own; here batches are shared out once they are whole.
    """
    before = data_loader.DistributedHelper
    data_loader.DistributedHelper = SimpleNamespace(is_distributed=False)
    try:
        yield
    finally:
        data_loader.DistributedHelper = before
