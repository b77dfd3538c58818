"""Which trainings can join a population, and what they must have in common."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from torch import nn

from clep.equilibrium import CostNudging, CrossEntropy, Dense, LinearNudging, Network
from clep.equilibrium.costs import Cost
from clep.learner import Learner

_MEANS = (Cost.forward, CrossEntropy.forward)  # what makes of `each` the loss of a batch
_ESTIMATES = (LinearNudging, CostNudging)
_IN_COMMON = "neuron free_steps nudged_steps relaxation dynamics readout bias feedback feedback_scale residual_links"


def reasons(learner: Learner, trainer: Mapping[str, Any]) -> Iterator[str]:
    """Say why a learner has to train alone.

    Args:
        learner: the learner.
        trainer: arguments of Lightning's trainer.

    Yields:
        Messages that begin with a key.

    Example:
        >>> import clep
        >>> next(reasons(clep.Learner(clep.Network([64, 16, 10], tolerance=0.1)), {}))
        'network.tolerance: its relaxation ends when its own states say so'
    """
    network, gradient = learner.network, learner.gradient
    if type(network) is not Network:
        yield f"network.model: {type(network).__name__} is no equilibrium network"
        return
    spec = network.spec
    if any(type(connection) is not Dense for connection in network.connections):
        yield "network: not all of its connections are plain dense ones"
    if spec.dynamics == "bernoulli":
        yield "network.dynamics: spikes are drawn from a generator of its own"
    if spec.tolerance > 0.0:
        yield "network.tolerance: its relaxation ends when its own states say so"
    if spec.inhibition > 0.0:
        yield "network.inhibition: it acts among the units of one network"
    if spec.precision != "full":
        yield "network.precision: states of half precision are not stacked"
    if type(gradient) not in _ESTIMATES:
        yield f"learner.gradient: {type(gradient).__name__} is neither `linear` nor `cost`"
    elif gradient.phases == "holomorphic":  # type: ignore[attr-defined]
        yield "learner.phases: holomorphic states are not stacked"
    if type(learner.criterion).forward not in _MEANS:
        yield f"learner.loss: {type(learner.criterion).__name__} is more than the mean of its `each`"
    for name, value in trainer.items():
        if value is not None and name != "gradient_clip_val":
            yield f"trainer.{name}: it is Lightning's, which trains one learner at a time"


def kind(learner: Learner) -> Hashable | None:
    """What learners must have in common to be updated together; None for one that has to be updated alone.

    A strategy may put another view of the network in its place, so it is asked anew where the network has changed.

    Args:
        learner: the learner.

    Example:
        >>> import clep
        >>> one, other = (clep.Learner(clep.Network([64, 16, 10], seed=seed), lr=0.1 + seed) for seed in (0, 1))
        >>> kind(one) == kind(other)
        True
    """
    if next(reasons(learner, {}), None) is not None:
        return None
    network, gradient, criterion = learner.network, learner.gradient, learner.criterion
    assert isinstance(network, Network)
    own = gradient.plain() | {"beta": None, "adaptation": gradient.adaptation}  # type: ignore[attr-defined]
    weight = network.connections[0].weight
    return (
        *(getattr(network.spec, name) for name in _IN_COMMON.split()),
        str(network.spec.neuron_options),
        network.spec.time_step.mean,
        tuple(network.sizes),
        (type(gradient), *sorted((name, str(value)) for name, value in own.items())),
        (type(criterion), *sorted((name, str(value)) for name, value in learner.spec.loss_options.items())),
        (weight.dtype, str(weight.device)),
    )


def unchanged(network: nn.Module) -> bool:
    """Whether the weights of a network of a known kind are still its own, and not computed from others.

    Args:
        network: of a learner whose `kind` is not None.
    """
    connections: Any = network.connections
    return all(type(connection) is Dense and not connection._forward_pre_hooks for connection in connections)
