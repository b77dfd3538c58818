"""Sleep as a simulation of spiking neurons: integrate, fire, and a gated Hebbian rule. Plain arrays, no networks.

Almost all neurons are silent almost always, so a step costs as much as there are spikes in it: the columns of the
inputs that fired are added, the synapses of the neurons that fired are changed, and silent layers only decay.

Reference: Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742), the SRC algorithm.
"""

from clep.spiking.rule import Simulation, SpikingParameters
from clep.spiking.simulation import CompiledSimulation, TorchSimulation, simulation
from clep.spiking.spikes import Spikes, bernoulli_spikes, patched

__all__ = [
    "CompiledSimulation",
    "Simulation",
    "Spikes",
    "SpikingParameters",
    "TorchSimulation",
    "bernoulli_spikes",
    "patched",
    "simulation",
]
