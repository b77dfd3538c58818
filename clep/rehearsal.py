"""What strategies that rehearse in batches share: a loader of stored samples, and a word on their place in the list."""

from collections.abc import Iterator
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.utils import cycle
from torch.utils.data import DataLoader

from clep.errors import ConfigError


def stored_batches(name: str, buffer: ExemplarsBuffer, batch_size: int) -> Iterator[Any] | None:
    """Full batches of the stored samples without end, shuffled by torch's global generator as in Avalanche.

    Args:
        name: of the strategy, for the message.
        buffer: where samples are stored.
        batch_size: stored samples per batch.

    Returns:
        The batches, or None while the memory does not fill one.

    Raises:
        ConfigError: if the memory will never fill a batch.
    """
    if buffer.max_size < batch_size:
        raise ConfigError(
            f"strategy.{name}.mem_size: {buffer.max_size} samples never fill a batch of {batch_size}, and nothing "
            f"would be rehearsed; raise it, or lower strategy.{name}.batch_size_mem."
        )
    stored = buffer.buffer
    if len(stored) < batch_size:
        return None
    return cycle(DataLoader(stored, batch_size=batch_size, shuffle=True, drop_last=True))


def refuse_lost_penalties(name: str, plugin: SupervisedPlugin, strategy: Any) -> None:
    """A strategy that replaces the loss comes before those that add to it.

    Raises:
        ConfigError: if a plugin before `plugin` has a `before_backward`, whose penalty would be lost in silence.
    """
    for earlier in strategy.plugins[: strategy.plugins.index(plugin)]:
        hook = getattr(type(earlier), "before_backward", SupervisedPlugin.before_backward)
        if hook is not SupervisedPlugin.before_backward:
            raise ConfigError(
                f"strategies: `{name}` replaces the loss, and what {type(earlier).__name__} before it adds would be "
                f"lost; put `{name}` first."
            )
