"""Options that act only together with others: one row each, read by the table of refusals.

A row says when its option acts. Where it does not, a value other than the default would change nothing, so it is
refused. Some are set by a file of `configs/network/` or `configs/pipeline/` that another choice can be put on top of,
as in `network=fre_rnn learner.gradient=bptt`: these are refused only in the change of a configuration that sets them,
and otherwise reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clep import parts
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSection
from clep.specs.neurons import NEURONS
from clep.specs.optimization import OPTIMIZERS
from clep.specs.options import Spec

NUDGED = ("linear", "cost", "cep")


@dataclass(frozen=True)
class Idle:
    """When an option acts.

    Attributes:
        part: a key of `clep.specs.refusals.REFUSALS`.
        key: the option, with a dot where a section is inside the section.
        acts: setup -> whether it acts.
        needs: what it acts with, in words that follow "it acts only".
        reported: whether it is reported instead of refused, where a file sets it.

    Example:
        >>> from clep.specs.idle import IDLE
        >>> next(row for row in IDLE if row.key == "points" and row.part == "gradient").needs
        'with phases=holomorphic'
    """

    part: str
    key: str
    acts: Callable[[Any], bool]
    needs: str
    reported: bool = False

    @property
    def section(self) -> str:
        """The section of a configuration that holds the option."""
        return "network" if self.key.partition(".")[0] in NetworkSection.names() else "learner"

    @property
    def name(self) -> str:
        """A name for the row: `points_acts`, `points_acts_in_autograd`."""
        where = f"_in_{self.part}" if self.part in ("module", "feedforward", "autograd") else ""
        return f"{self.key.replace('.', '_')}_acts{where}"

    def reason(self, setup: Any) -> str | None:
        """Why the option changes nothing in a setup; None if it acts or has its default."""
        spec: type[Spec] = NetworkSection if self.section == "network" else LearnerSpec
        name, *inside = self.key.split(".")
        neutral = spec.default(name)
        value = getattr(getattr(setup, self.section), name, neutral)
        for part in inside:
            value, neutral = getattr(value, part), getattr(neutral, part)
        if value == neutral or self.acts(setup):
            return None
        return f"{value} changes nothing: it acts only {self.needs}; leave it {neutral}"


def _with_convolutions(setup: Any) -> bool:
    return bool(setup.convolutions)


def _joins(setup: Any) -> bool:
    """Whether a relaxing layer has another one above it."""
    return bool(setup.layers is None or setup.layers - (setup.network.readout == "linear") > 1)


def _drawn(setup: Any) -> bool:
    return bool(setup.network.time_step.distribution != "scalar")


def _differ(setup: Any) -> bool:
    """Whether time steps can differ; `scalar` says rightly that they do not."""
    steps = setup.network.time_step
    return bool(steps.distribution == "scalar" or steps.min < steps.mean < steps.max)


def _pools(setup: Any) -> bool:
    # `stoch_ep` asks for average pooling, whether there are convolutions or not: spikes need it.
    return bool(setup.convolutions) or (setup.network.dynamics == "bernoulli" and setup.network.pooling == "average")


def _compiles(setup: Any) -> bool:
    """Whether compiled steps are taken, unless a device or the size forbids it."""
    network, neuron = setup.network, NEURONS.get(setup.network.neuron)
    plain = network.dynamics == "prototypical" and network.precision == "full" and not network.inhibition
    dense = not setup.convolutions and network.feedback != "dendritic" and network.connection == "dense"
    return bool(plain and dense and (neuron is None or neuron.ramp is not None) and _joins(setup))


def _estimate(*names: str) -> Callable[[Any], bool]:
    """Whether the estimate is one of these; one of your own may use every option."""
    return lambda setup: setup.learner.gradient in names or setup.learner.gradient not in parts.own("gradient")


def _has_momentum(setup: Any) -> bool:
    """Whether the optimiser takes momentum; that others have none, 0 says rightly."""
    return bool(setup.learner.momentum == 0.0 or "momentum" in OPTIMIZERS[setup.learner.optimizer].options)


def _never(setup: Any) -> bool:
    return False


def _foreign(kind: str, section: str, key: str) -> Callable[[Any], bool]:
    """Whether the part that a key names comes from another package; those of clep have keys of their own."""
    return lambda setup: getattr(getattr(setup, section), key) not in parts.own(kind)


_FOREIGN = "with a part of another package"
_RELAXES = "in an equilibrium network (network.model=equilibrium)"
_PHASES = "where phases are nudged (gradient=linear, cost or cep)"

IDLE = [
    Idle("network", "relaxation", _joins, "where two layers relax, or more", reported=True),
    Idle("network", "compiled", _compiles, "in dense networks with a hard sigmoid, which can take these steps", True),
    Idle("network", "average_steps", lambda s: s.network.dynamics == "bernoulli", "with dynamics=bernoulli", True),
    *(
        Idle(
            "network", f"time_step.{key}", _drawn, "where steps are drawn, not with distribution=scalar", reported=True
        )
        for key in ("spread", "min", "max", "per")
    ),
    Idle("network", "time_step.distribution", _differ, "with a mean between min and max", reported=True),
    *(
        Idle("network", key, _with_convolutions, "with convolutions (channels)", reported=True)
        for key in ("kernel", "stride", "padding")
    ),
    Idle("network", "pooling", _pools, "with convolutions (channels)", reported=True),
    Idle(
        "network",
        "pool",
        lambda s: any(layer.pooling != "none" for layer in s.convolutions),
        "with convolutions (channels) that pool (pooling=max or average)",
    ),
    *(
        Idle("feedforward", key, _never, _RELAXES, reported=True)
        for key in (
            *("free_steps", "nudged_steps", "time_step", "relaxation", "tolerance", "average_steps"),
            *(
                "feedback_scale",
                "connection",
                "precision",
                "compiled",
                "kernel",
                "stride",
                "padding",
                "pooling",
                "pool",
            ),
            *("neuron_options", "connection_options"),
        )
    ),
    *(
        Idle("module", key, _never, "in a network of clep (network.model=equilibrium, feedforward)", reported=True)
        for key in NetworkSection.names()
        if key not in ("name", "model", "options")
    ),
    *(Idle(part, "options", _never, _FOREIGN) for part in ("network", "feedforward")),
    Idle("network", "neuron_options", _foreign("neuron", "network", "neuron"), _FOREIGN),
    Idle("network", "connection_options", _foreign("connection", "network", "connection"), _FOREIGN),
    Idle("optimization", "loss_options", _foreign("cost", "learner", "loss"), _FOREIGN),
    *(
        Idle("autograd", key, _never, _RELAXES, reported=True)
        for key in (
            *("beta", "phases", "points", "start", "rule", "nudge", "restart", "bptt_steps"),
            *("gradient", "gradient_options", "hidden_states", "conv_lr_scale"),
        )
    ),
    Idle("learner", "conv_lr_scale", _with_convolutions, "with convolutions (channels)", reported=True),
    Idle("gradient", "beta", _estimate(*NUDGED), _PHASES, reported=True),
    Idle("gradient", "phases", _estimate(*NUDGED), _PHASES, reported=True),
    Idle("gradient", "start", _estimate(*NUDGED), _PHASES),
    Idle("gradient", "points", lambda s: s.learner.phases == "holomorphic", "with phases=holomorphic"),
    Idle("gradient", "nudge", _estimate(*NUDGED), _PHASES, reported=True),
    Idle(
        "gradient", "rule", _estimate(*NUDGED, "clamped"), "where two phases are compared, not in bptt", reported=True
    ),
    Idle("gradient", "nudged_steps", _estimate(*NUDGED, "clamped"), "where a second phase is run, not in bptt", True),
    Idle("gradient", "restart", _estimate("clamped"), "with gradient=clamped"),
    Idle("gradient", "bptt_steps", _estimate("bptt"), "with gradient=bptt", reported=True),
    Idle("optimization", "momentum", _has_momentum, "with optimizer=sgd"),
]
"""All rows."""
