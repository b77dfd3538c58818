"""What is known about an activation without computing it: what refusals look at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NeuronFacts:
    """Properties of an activation rho.

    Attributes:
        bounds: smallest and largest potential that energy-based dynamics keep, where rho is flat beyond them.
        analytic: whether rho is analytic, which holomorphic phases need.
        probability: whether rho lies in [0, 1], so that states can be probabilities of firing.
    """

    bounds: tuple[float, float] | None = None
    analytic: bool = False
    probability: bool = False


NEURON_FACTS = {
    "hard_sigmoid": NeuronFacts(bounds=(0.0, 1.0), probability=True),
    "half_hard_sigmoid": NeuronFacts(bounds=(0.0, 2.0), probability=True),
    "centered_hard_sigmoid": NeuronFacts(bounds=(-0.5, 0.5)),
    "shifted_sigmoid": NeuronFacts(analytic=True, probability=True),
    "tanh": NeuronFacts(analytic=True),
}
"""Name of an activation -> its facts; `clep.equilibrium.neurons` has the functions."""
FEEDFORWARD_ACTIVATIONS = ("relu", "tanh", "sigmoid")
"""Activations of the feed-forward network; `clep.feedforward` has the functions."""
