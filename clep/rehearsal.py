"""Shared by strategies that rehearse in batches: a loader of stored samples, and what they refuse."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from torch.utils.data import DataLoader


class StoredBatches(Iterator[Any]):
    """Endless full batches of stored samples, shuffled by torch's global generator as in Avalanche.

    A checkpoint keeps where it is: how the generator was when this pass over the samples began, and the batches since.

    Args:
        stored: the samples.
        batch_size: samples per batch.
    """

    def __init__(self, stored: "AvalancheDataset[Any]", batch_size: int) -> None:
        self._stored, self._batch_size = stored, batch_size
        self._drawn, self._began = 0, torch.get_rng_state()
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._batches is None:
            self._batches = self._again() if self._drawn else self._pass()
        batch = next(self._batches, None)
        if batch is None:
            self._drawn, self._batches = 0, self._pass()
            batch = next(self._batches)
        self._drawn += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The samples, and where it is in them."""
        return {name: value for name, value in vars(self).items() if name != "_batches"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.__dict__.update(state)
        self._batches = None

    def _pass(self) -> Iterator[Any]:
        self._began = torch.get_rng_state()
        return iter(DataLoader(self._stored, batch_size=self._batch_size, shuffle=True, drop_last=True))

    def _again(self) -> Iterator[Any]:
        """The pass that a checkpoint cut through, from where it was; the generator stays as it is."""
        present, began = torch.get_rng_state(), self._began
        torch.set_rng_state(began)
        batches = self._pass()
        next(islice(batches, self._drawn - 1, None))
        torch.set_rng_state(present)
        return batches


def stored_batches(buffer: ExemplarsBuffer, batch_size: int) -> StoredBatches | None:
    """Endless full batches of stored samples, shuffled by torch's global generator as in Avalanche.

    Args:
        buffer: where samples are stored.
        batch_size: stored samples per batch.

    Returns:
        The batches, or None while the memory does not fill one.
    """
    stored = buffer.buffer
    if len(stored) < batch_size:
        return None
    return StoredBatches(stored, batch_size)


def rehearsal_refusals(
    name: str, plugin: BasePlugin, buffer: ExemplarsBuffer, batch_size: int | None, plugins: Sequence[BasePlugin]
) -> Iterator[str]:
    """Say what a strategy that rehearses in batches and replaces the loss cannot do.

    Its memory must fill a batch, or nothing would be rehearsed. It must also come before plugins that add to the loss,
    or their additions would be lost.

    Args:
        name: of the strategy.
        plugin: the strategy.
        buffer: where it stores samples.
        batch_size: stored samples per batch; None if unknown.
        plugins: all plugins in the order of their hooks.

    Yields:
        Messages that begin with the key to change.

    Example:
        >>> from avalanche.training.plugins import EWCPlugin
        >>> from clep.strategies.der import DER
        >>> der = DER(mem_size=20)
        >>> for message in rehearsal_refusals("der", der, der.buffer, 32, [EWCPlugin(1.0), der]):
        ...     print(message.partition(":")[0])
        strategy.der.mem_size
        strategies
    """
    if batch_size is not None and buffer.max_size < batch_size:
        yield (
            f"strategy.{name}.mem_size: {buffer.max_size} samples never fill a batch of {batch_size}, and nothing "
            f"would be rehearsed; raise it, or lower strategy.{name}.batch_size_mem."
        )
    for earlier in plugins[: plugins.index(plugin)] if plugin in plugins else ():
        hook = getattr(type(earlier), "before_backward", SupervisedPlugin.before_backward)
        if hook is not SupervisedPlugin.before_backward:
            yield (
                f"strategies: `{name}` replaces the loss, so whatever {type(earlier).__name__} adds before it would be "
                f"lost; put `{name}` first."
            )
