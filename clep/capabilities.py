"""What a plug-in does to a training iteration: as it declares it, as is known of Avalanche's, or as its hooks tell."""

from collections.abc import Iterator, Sequence
from typing import Any

from avalanche.core import BasePlugin, SupervisedPlugin

from clep.plugins import REPLICATED, UNSHARED, known_capabilities
from clep.renames import announce
from clep.specs.capabilities import CAPABILITIES, EVERY, Capability, described

ITERATION_HOOKS = frozenset(
    f"{when}_{what}" for when in ("before", "after") for what in ("training_iteration", "forward", "backward", "update")
)
"""The hooks of a training iteration; a plug-in that has none of them does nothing to it."""


def declared(plugin: BasePlugin) -> frozenset[Capability] | None:
    """What a plug-in declares by its attributes `adds_penalty`, `uses_gradients` and `differentiates_outputs`.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Returns:
        What it does; None if none of the attributes is set. Of those that are not set, it does nothing then.

    Example:
        >>> from clep.strategies.der import DER
        >>> sorted(declared(DER()))
        ['differentiates_outputs']
    """
    values = {name: getattr(plugin, name, None) for name in CAPABILITIES}
    if any(value is not None for value in values.values()):
        return frozenset(name for name, value in values.items() if value)
    old: bool | None = getattr(plugin, "touches_loss", None)
    if old is None:
        return None
    announce(f"{type(plugin).__name__}.touches_loss", ", ".join(CAPABILITIES))
    return EVERY if old else frozenset()


def capabilities(plugin: BasePlugin) -> frozenset[Capability]:
    """What a plug-in does to a training iteration.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Returns:
        What it declares. Without a declaration, what is known of one of Avalanche's plug-ins; otherwise everything, if
        it has a hook of the training iteration, and nothing, if not.

    Example:
        >>> from avalanche.training.plugins import EWCPlugin
        >>> sorted(capabilities(EWCPlugin(ewc_lambda=1.0)))
        ['adds_penalty', 'differentiates_outputs']
    """
    own = declared(plugin)
    return _told(type(plugin)) if own is None else own


def replicates(plugin: BasePlugin) -> bool:
    """Whether a plug-in does the same in each of several processes that share every batch, so that its state is the
    same in all.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Example:
        >>> from avalanche.training.plugins import EWCPlugin, MIRPlugin
        >>> replicates(EWCPlugin(ewc_lambda=1.0)), replicates(MIRPlugin(batch_size_mem=10))
        (True, False)
    """
    own: bool | None = getattr(plugin, "replicates", None)
    if own is not None:
        return own
    for parent in type(plugin).__mro__:
        if parent.__name__ in REPLICATED:
            return True
        if parent not in SupervisedPlugin.__mro__ and ITERATION_HOOKS & vars(parent).keys():
            return False
    return True


def unshared(plugin: BasePlugin) -> str | None:
    """Why a plug-in cannot train a learner in several processes (`trainer.devices`), or None.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Example:
        >>> from avalanche.training.plugins import RARPlugin
        >>> unshared(RARPlugin(batch_size_mem=10)).partition(",")[0]
        'RARPlugin acts on batches'
    """
    if replicates(plugin):
        return None
    name = type(plugin).__name__
    reason = UNSHARED.get(
        name,
        "acts on batches, of which each process sees a part from the forward on, and does not say that it does the "
        "same in all of them (`replicates`)",
    )
    return f"{name} {reason}; use trainer.devices=1"


def misfits(plugins: Sequence[BasePlugin], gradient: Any) -> Iterator[str]:
    """Say which plug-ins a gradient estimate cannot work with, since one does what the other does not support.

    Args:
        plugins: strategies and other Avalanche plug-ins.
        gradient: a `clep.equilibrium.Gradient`.

    Yields:
        Messages that begin with the key to change.

    Example:
        >>> import clep
        >>> from clep.strategies.der import DER
        >>> next(misfits([DER()], clep.CostNudging())).partition(";")[0]
        'learner.gradient: CostNudging cannot be used with DER, which differentiates outputs of the network'
    """
    for plugin in plugins:
        beyond = capabilities(plugin) - gradient.supports
        if beyond:
            text = f"learner.gradient: {type(gradient).__name__} cannot be used with {type(plugin).__name__}, which "
            text += described(beyond)
            if declared(plugin) is None and _told(type(plugin)) == EVERY:
                text += ", as far as its hooks tell (if it does less, declare that: see `clep.Strategy`)"
            yield f"{text}; the estimate {_supported(gradient)}. Use learner.gradient=linear"


def _told(cls: type[BasePlugin]) -> frozenset[Capability]:
    """What a class without a declaration does: the nearest class that says so, or that has a hook of its own."""
    for parent in cls.__mro__:
        known = known_capabilities(parent)
        if known is not None:
            return known
        if parent not in SupervisedPlugin.__mro__ and ITERATION_HOOKS & vars(parent).keys():
            return EVERY
    return frozenset()


def _supported(gradient: Any) -> str:
    if not gradient.supports:
        return "follows its own cost alone"
    return f"supports a strategy that {described(gradient.supports)}"
