"""What clep knows about Avalanche's own plug-ins: their values, what they do, and what they need that a run has not."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from avalanche.core import BasePlugin, SupervisedMetaLearningPlugin, SupervisedPlugin

from clep.specs.capabilities import Capability

_COUNT, _WEIGHT, _SHARE = "[1, inf)", "[0, inf)", "[0, 1]"

PARAMETERS: dict[str, dict[str, tuple[Any, str | None]]] = {
    "AGEMPlugin": {"patterns_per_experience": (int, _COUNT), "sample_size": (int, _COUNT)},
    "EWCPlugin": {
        "ewc_lambda": (float, _WEIGHT),
        "decay_factor": (float | None, _SHARE),
        "keep_importance_data": (bool, None),
    },
    "FeatureDistillationPlugin": {"alpha": (float, _WEIGHT)},
    "GDumbPlugin": {"mem_size": (int, _COUNT)},
    "GEMPlugin": {"patterns_per_experience": (int, _COUNT), "memory_strength": (float, _WEIGHT)},
    "GSS_greedyPlugin": {"mem_size": (int, _COUNT), "mem_strength": (int, _COUNT), "input_size": (list[int], _COUNT)},
    "LFLPlugin": {"lambda_e": (float | list[float], _WEIGHT)},
    "LwFPlugin": {"alpha": (float | list[float], _WEIGHT), "temperature": (float, "(0, inf)")},
    "MASPlugin": {"lambda_reg": (float, _WEIGHT), "alpha": (float, _SHARE)},
    "MIRPlugin": {"mem_size": (int, _COUNT), "batch_size_mem": (int, _COUNT), "subsample": (int, _COUNT)},
    "RWalkPlugin": {"ewc_lambda": (float, _WEIGHT), "ewc_alpha": (float, _SHARE), "delta_t": (int, _COUNT)},
    "RARPlugin": {"mem_size": (int, _COUNT), "batch_size_mem": (int, _COUNT)},
    "ReplayPlugin": {
        "mem_size": (int, _COUNT),
        "batch_size": (int | None, _COUNT),
        "batch_size_mem": (int | None, _COUNT),
    },
    "SynapticIntelligencePlugin": {"si_lambda": (float | list[float], _WEIGHT), "eps": (float, "(0, inf)")},
}
"""Class -> parameter -> type and range; Avalanche itself checks few of them."""

_PENALTY: list[Capability] = ["adds_penalty"]
_GRADIENTS: list[Capability] = ["uses_gradients"]
_OUTPUTS: list[Capability] = ["differentiates_outputs"]
CAPABILITIES: dict[str, list[Capability]] = {
    "AGEMPlugin": _GRADIENTS + _OUTPUTS,
    "BiCPlugin": _OUTPUTS,
    "CWRStarPlugin": [],
    "CheckpointPlugin": [],
    "CoPEPlugin": _OUTPUTS,
    "EWCPlugin": _PENALTY + _OUTPUTS,  # its importances are gradients of the model's own loss
    "EarlyStoppingPlugin": [],
    "FeatureDistillationPlugin": _OUTPUTS,
    "FromScratchTrainingPlugin": [],
    "GDumbPlugin": [],
    "GEMPlugin": _GRADIENTS + _OUTPUTS,
    "GSS_greedyPlugin": _GRADIENTS + _OUTPUTS,
    "GenerativeReplayPlugin": _OUTPUTS,
    "LFLPlugin": _OUTPUTS,
    "LRSchedulerPlugin": [],
    "LwFPlugin": _OUTPUTS,
    "MASPlugin": _PENALTY + _OUTPUTS,  # its importances are gradients of the outputs
    "MIRPlugin": _GRADIENTS + _OUTPUTS,
    "RARPlugin": _GRADIENTS + _OUTPUTS,
    "RWalkPlugin": _PENALTY + _OUTPUTS,  # it follows the gradients of the model's own loss
    "ReplayPlugin": [],
    "SynapticIntelligencePlugin": _PENALTY + _GRADIENTS,
    "TrainGeneratorAfterExpPlugin": [],
}
"""Class -> what it does to a training iteration, or to the gradients that it takes outside of it."""

UNSUITED = {
    "BiCPlugin": "it replaces the data of an experience, which cannot be replaced",
    "CoPEPlugin": "it needs a model that embeds samples, and a loss of its own",
    "EarlyStoppingPlugin": "it stops by what was measured on evaluation data, from which nothing may be learned",
    "GenerativeReplayPlugin": "it needs a model that generates samples",
    "TrainGeneratorAfterExpPlugin": "it needs a model that generates samples",
}
"""Class -> what it needs that a run has not."""

REPLICATED = {
    "AGEMPlugin",  # it projects the gradient of the whole batch, by samples that all processes have stored
    "EWCPlugin",  # what it does within an iteration follows from the weights
    "GEMPlugin",  # as A-GEM
    "LwFPlugin",  # its term of the loss is a mean over samples, like the loss
    "RWalkPlugin",  # it takes its gradient before the forward, of the whole batch
    "SynapticIntelligencePlugin",  # it follows weights and the gradient of the whole batch
}
"""Plug-ins of Avalanche with a hook of the iteration that do the same in each of several processes."""

UNSHARED = {
    "MIRPlugin": "looks ahead along the gradient of a part of the batch, which is another one in each process; use the "
    "strategy `mir`, which takes that of the whole batch",
}
"""Class -> why it would not do the same, and what to use instead."""
_AUXILIARY = {"GDumbPlugin", "LRSchedulerPlugin"}  # what they do in an evaluation changes nothing here
_EVALUATION_HOOKS = [name for name in dir(SupervisedPlugin) if name.startswith(("before_eval", "after_eval"))]
_META_HOOKS = ["before_inner_updates", "after_inner_updates", "before_outer_update", "after_outer_update"]


def known(cls: type[BasePlugin]) -> Mapping[str, tuple[Any, str | None]]:
    """The types and ranges of the parameters of one of Avalanche's plug-ins, or of one derived from it; {} for others.

    Args:
        cls: class of the plug-in.

    Example:
        >>> from avalanche.training.plugins import EWCPlugin
        >>> known(EWCPlugin)["ewc_lambda"][1]
        '[0, inf)'
    """
    theirs = (parent.__name__ for parent in cls.__mro__ if parent.__module__.startswith("avalanche."))
    return next((PARAMETERS[name] for name in theirs if name in PARAMETERS), {})


def _is_mir(cls: type) -> bool:
    """Whether a class is Avalanche's MIR, or derives from it."""
    return any(parent.__name__ == "MIRPlugin" for parent in cls.__mro__)


def known_capabilities(cls: type) -> frozenset[Capability] | None:
    """What one of Avalanche's plug-ins does to a training iteration; None for other classes.

    Args:
        cls: any class.

    Example:
        >>> from avalanche.training.plugins import SynapticIntelligencePlugin
        >>> sorted(known_capabilities(SynapticIntelligencePlugin))
        ['adds_penalty', 'uses_gradients']
    """
    row = CAPABILITIES.get(cls.__name__) if cls.__module__.startswith("avalanche.") else None
    return None if row is None else frozenset(row)


def plugin_refusals(plugin: BasePlugin) -> Iterator[str]:
    """Say why a plug-in would do nothing, or less than it promises, while a stream is learned.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Yields:
        Messages that begin with the key to change.

    Example:
        >>> from avalanche.core import SupervisedPlugin
        >>> class Stops(SupervisedPlugin):
        ...     def before_inner_updates(self, strategy, **kwargs):
        ...         strategy.stop_training()
        >>> next(plugin_refusals(Stops())).partition(";")[0]
        'strategies: Stops.before_inner_updates is never called: it belongs to meta-learning templates'
    """
    cls = type(plugin)
    if cls.__module__.startswith("avalanche.") and (reason := UNSUITED.get(cls.__name__)) is not None:
        yield f"strategies: {cls.__name__} cannot work here: {reason}; leave it out."
    for hook in _META_HOOKS:
        if _overrides(cls, hook):
            yield (
                f"strategies: {cls.__name__}.{hook} is never called: it belongs to meta-learning templates; use a hook "
                "of training, such as `after_training_exp`, or leave it out."
            )
    if cls.__name__ == "LRSchedulerPlugin" and getattr(plugin, "metric", None) == "val_loss":
        yield (
            "strategies: LRSchedulerPlugin with metric=val_loss follows the loss on evaluation data, from which "
            "nothing may be learned; use metric=train_loss."
        )
    size, batch = getattr(plugin, "mem_size", None), getattr(plugin, "batch_size_mem", None)
    if _is_mir(cls) and size is not None and batch is not None and size <= batch:
        yield (
            f"strategy.mir.mem_size: {size} samples never hold more than a batch of {batch}, and nothing would be "
            "rehearsed; raise it, or lower strategy.mir.batch_size_mem."
        )


def evaluation_hooks(plugin: BasePlugin) -> frozenset[str]:
    """The hooks of evaluation that a plug-in has.

    Args:
        plugin: a strategy or another Avalanche plug-in.

    Example:
        >>> from avalanche.training.plugins import EWCPlugin
        >>> evaluation_hooks(EWCPlugin(ewc_lambda=1.0))
        frozenset()
    """
    cls = type(plugin)
    if cls.__module__.startswith("avalanche.") and cls.__name__ in _AUXILIARY:
        return frozenset()
    return frozenset(hook for hook in _EVALUATION_HOOKS if _overrides(cls, hook))


def broken(plugin: BasePlugin) -> str | None:
    """Why one of Avalanche's plug-ins would spoil the training that comes; None if nothing is known against it.

    Example:
        >>> from avalanche.training.plugins import RWalkPlugin
        >>> broken(RWalkPlugin()) is None
        True
    """
    penalties = getattr(plugin, "exp_penalties", None) if type(plugin).__name__ == "RWalkPlugin" else None
    if penalties and any(bool(penalty.data.isnan().any()) for penalty in penalties.values()):
        return (
            "strategy.rwalk.delta_t: no weight has a score, and RWalk divides by the largest: it takes scores after "
            f"every {getattr(plugin, 'delta_t', None)} updates, and an experience had fewer; set fewer updates"
        )
    return None


def idle(plugin: BasePlugin) -> str | None:
    """Why one of Avalanche's plug-ins did nothing in the stream just learned; None if it did, or nobody can tell.

    Example:
        >>> from avalanche.training.plugins import MIRPlugin
        >>> idle(MIRPlugin(batch_size_mem=32)).partition(";")[0]
        'its memory never held more than a batch of 32 samples, without the classes of the last batch'
    """
    if _is_mir(type(plugin)) and getattr(plugin, "replay_loader", None) is None:
        batch = getattr(plugin, "batch_size_mem", math.nan)
        return (
            f"its memory never held more than a batch of {batch} samples, without the classes of the last batch; raise "
            "strategy.mir.mem_size, or lower strategy.mir.batch_size_mem"
        )
    return None


def _overrides(cls: type, hook: str) -> bool:
    """Whether a class, or one that it derives from outside Avalanche's base classes, defines a hook."""
    bases = {*SupervisedPlugin.__mro__, *SupervisedMetaLearningPlugin.__mro__}
    return any(hook in vars(parent) for parent in cls.__mro__ if parent not in bases)
