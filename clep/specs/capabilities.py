"""What a strategy may do to a training iteration, and what a gradient estimate can take: two declarations, one list."""

from typing import Literal, get_args

Capability = Literal["adds_penalty", "uses_gradients", "differentiates_outputs"]

CAPABILITIES: dict[Capability, str] = {
    "adds_penalty": "adds a penalty on weights to the loss",
    "uses_gradients": "reads or changes gradients",
    "differentiates_outputs": "differentiates outputs of the network",
}
"""Capability -> what a strategy does that declares it; each is an attribute of `clep.Strategy`.

A penalty depends on weights alone, so its gradient can be added to any estimate. What depends on outputs (distillation,
the loss of stored samples, importances from the model's own loss) needs an estimate that any loss can be
differentiated by.
"""

EVERY = frozenset(get_args(Capability))
"""All of them: what autograd and linear nudging can take, and what a strategy may do that declares nothing."""


def described(capabilities: frozenset[Capability]) -> str:
    """What a strategy with these capabilities does, in words.

    Args:
        capabilities: names of `CAPABILITIES`.

    Example:
        >>> described(frozenset({"uses_gradients", "adds_penalty"}))
        'adds a penalty on weights to the loss and reads or changes gradients'
    """
    *first, last = [text for name, text in CAPABILITIES.items() if name in capabilities]
    return f"{', '.join(first)} and {last}" if first else last
