"""Shared by strategies that rehearse in batches: a loader of stored samples, and what they refuse."""

from collections.abc import Iterator, Sequence
from typing import Any

from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.utils import cycle
from torch.utils.data import DataLoader


def stored_batches(buffer: ExemplarsBuffer, batch_size: int) -> Iterator[Any] | None:
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
    return cycle(DataLoader(stored, batch_size=batch_size, shuffle=True, drop_last=True))


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
