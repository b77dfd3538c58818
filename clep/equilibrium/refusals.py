"""What has no meaning in a network or in its phases, refused with the reason and what to set instead."""

from typing import TYPE_CHECKING

from clep.equilibrium.convolution import ConvLayer
from clep.equilibrium.neurons import NEURONS
from clep.errors import ConfigError

if TYPE_CHECKING:
    from clep.equilibrium.network import Network
    from clep.equilibrium.phases import Nudging

_WITHOUT_BRANCHES = {
    "dynamics_name": ("dynamics", "prototypical", "branches follow no energy"),
    "firing": ("firing", "rate", "the mean over spikes of a rectified sum is not that sum of the rates"),
    "feedback": ("feedback", "tied", "apical branches are the feedback, with weights of their own"),
    "feedback_scale": ("feedback_scale", 1.0, "the factor on their feedback is network.dendrites.gain"),
    "residual_links": ("residual_links", 0, "links across layers have no branches"),
}
"""Attribute of a network -> its key, the only value that goes with dendrites, and why."""


def check_parts(network: "Network") -> None:
    """Refuse numbers out of range and parts that do not go together.

    Raises:
        ConfigError: with the reason.
    """
    for key in ("free_steps", "nudged_steps"):
        if (steps := getattr(network, key)) < 1:
            raise ConfigError(f"network.{key}: expected an integer of at least 1, got {steps}.")
    for key in ("tolerance", "inhibition"):
        if (value := getattr(network, key)) < 0.0:
            raise ConfigError(f"network.{key}: expected a number of at least 0, got {value}.")
    if not network.feedback_scale > 0.0:
        raise ConfigError(f"network.feedback_scale: expected a number above 0, got {network.feedback_scale}.")
    if network.dynamics_name == "energy" and (network.feedback == "untied" or network.feedback_scale != 1.0):
        raise ConfigError(
            "network.dynamics: `energy` needs the symmetric feedback of an energy, got "
            f"feedback={network.feedback}, feedback_scale={network.feedback_scale}; use dynamics=prototypical."
        )
    if network.dendrites is not None:
        _check_branches(network)
    if network.firing == "bernoulli":
        _check_spikes(network)


def check_phases(network: "Network", nudging: "Nudging") -> None:
    """Refuse nudged phases that have no meaning in a network.

    Raises:
        ConfigError: with the reason.
    """
    if nudging.phases == "holomorphic":
        _check_holomorphic(network)
    if network.rule == "predictive" and nudging.phases in ("centered", "holomorphic"):
        raise ConfigError(
            "network.rule: `predictive` takes the presynaptic state of the phase that is compared with the free "
            f"one, got learner.phases={nudging.phases}; use learner.phases=one_sided or learner.nudging=clamped."
        )
    if network.firing == "bernoulli" and (nudging.phases == "holomorphic" or nudging.start == "mirrored"):
        key, value = ("start", "mirrored") if nudging.start == "mirrored" else ("phases", "holomorphic")
        raise ConfigError(
            f"learner.{key}: `{value}` takes states beyond [0, 1], which are no probabilities of firing; use "
            "phases=centered and start=free, or network.firing=rate."
        )
    if getattr(nudging, "nudge", "inside") == "outside" and network.dynamics_name == "energy":
        raise ConfigError("learner.nudge: energy-based dynamics have no inside and outside; leave it `inside`.")


def _check_branches(network: "Network") -> None:
    for attribute, (key, neutral, reason) in _WITHOUT_BRANCHES.items():
        if (value := getattr(network, attribute)) != neutral:
            raise ConfigError(
                f"network.{key}: {reason}; leave it {neutral} or set network.dendrites=null, got {value}."
            )
    if any(isinstance(layer, ConvLayer) for layer in network.sizes):
        raise ConfigError("network.dendrites: branches join dense layers; this network has convolutional ones.")


def _check_spikes(network: "Network") -> None:
    if not NEURONS[network.neuron].probability:
        valid = ", ".join(name for name, neuron in NEURONS.items() if neuron.probability)
        raise ConfigError(
            "network.firing: `bernoulli` reads states as probabilities in [0, 1], which "
            f"network.neuron={network.neuron} leaves; use one of {valid}."
        )
    if network.dynamics_name != "prototypical":
        raise ConfigError(
            f"network.firing: `bernoulli` reads states as probabilities; those of network.dynamics="
            f"{network.dynamics_name} are potentials. Use dynamics=prototypical."
        )
    if network.tolerance > 0.0:
        raise ConfigError(
            "network.tolerance: states of spiking neurons never stand still, so no residual can stop a phase; set "
            "network.tolerance=0, or network.firing=rate."
        )
    if network.precision != "full":
        raise ConfigError(
            f"network.precision: {network.precision} rounds probabilities and uniforms to 8 bits, more than the "
            "phases differ by; set network.precision=full, or network.firing=rate."
        )
    if _pools_by_maximum(network):
        raise ConfigError(
            "network.pooling: the maximum of a few spikes is nearly always 1, and its winner is drawn by lot; set "
            "network.pooling=average, or network.firing=rate."
        )
    shortest = min(network.free_steps, network.nudged_steps)
    if not 1 <= network.average_steps <= shortest:
        raise ConfigError(
            f"network.average_steps: expected an integer from 1 to {shortest}, the steps of the shortest phase "
            f"(network.free_steps={network.free_steps}, network.nudged_steps={network.nudged_steps}), got "
            f"{network.average_steps}."
        )


def _check_holomorphic(network: "Network") -> None:
    if network.dendrites is not None:
        raise ConfigError("learner.phases: `holomorphic` cannot follow rectified branches; use `centered`.")
    if not NEURONS[network.neuron].analytic:
        analytic = ", ".join(name for name, neuron in NEURONS.items() if neuron.analytic)
        raise ConfigError(
            f"learner.phases: `holomorphic` needs an analytic activation, got network.neuron={network.neuron}; "
            f"use one of {analytic}."
        )
    if _pools_by_maximum(network):
        raise ConfigError(
            "learner.phases: `holomorphic` cannot follow max pooling, which is not analytic; use "
            "network.pooling=average."
        )


def _pools_by_maximum(network: "Network") -> bool:
    return any(isinstance(layer, ConvLayer) and layer.routes for layer in network.sizes)
