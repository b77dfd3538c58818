"""Which estimate of the gradient a learner follows: the names of a config, and what has no meaning together."""

from collections.abc import Mapping
from typing import Any

from clep.equilibrium import (
    NEURONS,
    Backpropagation,
    Clamping,
    ContinualNudging,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    Network,
    SquaredError,
)
from clep.equilibrium.phases import Nudging
from clep.errors import ConfigError

Gradient = LinearNudging | Backpropagation | CostNudging | Clamping
"""How the gradient is estimated; `ContinualNudging` is a `CostNudging`."""
GRADIENTS: dict[str, type[Gradient]] = {
    "linear": LinearNudging,
    "cost": CostNudging,
    "continual": ContinualNudging,
    "clamped": Clamping,
    "bptt": Backpropagation,
}
_COSTS = {"mse": SquaredError, "cross_entropy": CrossEntropy}


def gradient_from(arguments: Mapping[str, Any], loss: str) -> Gradient:
    """The gradient estimate named by `nudging`, with the other arguments as its fields and the cost of `loss`."""
    values = dict(arguments)
    kind = GRADIENTS[values.pop("nudging")]
    if issubclass(kind, CostNudging) and loss in _COSTS:
        values["cost"] = _COSTS[loss]()
    return kind(**values)


def plain_gradient(gradient: Gradient | None) -> dict[str, Any] | None:
    """The name and the fields of an estimate as plain values, for checkpoints; its cost is named by the loss."""
    if gradient is None:
        return None
    nudging = next(name for name, kind in GRADIENTS.items() if type(gradient) is kind)
    return {"nudging": nudging} | {key: value for key, value in vars(gradient).items() if key != "cost"}


def check(
    network: Network, gradient: Gradient | None, loss: str, optimizer: str, momentum: float, weight_decay: float
) -> None:
    """Refuse what has no meaning together, with the reason."""
    estimate = gradient or network.nudging
    if isinstance(estimate, Nudging):
        network.check(estimate)
    linear = network.readout is not None
    if isinstance(gradient, Backpropagation) and (network.precision != "full" or network.tolerance):
        raise ConfigError(
            "learner.nudging: `bptt` follows all steps in full precision; set network.precision=full and "
            "network.tolerance=0."
        )
    if isinstance(gradient, Backpropagation) and gradient.steps is not None and network.firing == "bernoulli":
        raise ConfigError(
            "learner.bptt_steps: the spikes of the last steps would repeat those of the first; leave it null, or set "
            "network.firing=rate."
        )
    if isinstance(gradient, CostNudging):
        name = next(name for name, kind in _COSTS.items() if type(gradient.cost) is kind)
        if name != loss:
            raise ConfigError(f"learner.loss: the cost of the nudging is `{name}`, the loss is `{loss}`.")
        if loss == "cross_entropy" and not linear:
            raise ConfigError(
                "learner.loss: `cross_entropy` with cost nudging needs logits, which states between fixed bounds are "
                "not; set network.readout=linear, or learner.nudging=linear, which takes any loss."
            )
    if isinstance(gradient, Clamping) and (loss != "mse" or linear):
        raise ConfigError(
            "learner.nudging: `clamped` fixes the output layer at the one-hot target: it needs learner.loss=mse and "
            "network.readout=state."
        )
    bounds = NEURONS[network.neuron].bounds
    if isinstance(gradient, Clamping) and bounds is not None and not bounds[0] <= 0.0 < 1.0 <= bounds[1]:
        raise ConfigError(
            f"learner.nudging: `clamped` fixes outputs at 0 and 1, which network.neuron={network.neuron} cannot reach."
        )
    if isinstance(gradient, ContinualNudging):
        if linear or isinstance(network.nudging, Backpropagation):
            raise ConfigError("learner.nudging: `continual` has no update for a read-out; use network.readout=state.")
        if network.firing == "bernoulli":
            raise ConfigError(
                "learner.nudging: `continual` (C-EP) compares one step with the next, which between spikes is noise; "
                "use learner.nudging=cost, or network.firing=rate."
            )
        if network.precision != "full":
            raise ConfigError("learner.nudging: `continual` needs network.precision=full: its steps differ too little.")
        if optimizer != "sgd" or momentum or weight_decay:
            raise ConfigError(
                "learner.optimizer: `continual` (C-EP) moves the weights at every nudged step, by plain SGD alone; set "
                "learner.optimizer=sgd, learner.momentum=0 and learner.weight_decay=0."
            )
