"""Sleep as a simulation of spiking neurons: integrate, fire, and a gated Hebbian rule.

Almost all neurons are silent almost always, so the cost of a step follows its spikes: the columns of the inputs that
fired are added, the synapses of the neurons that fired change, and silent layers only decay. The simulation works on
arrays, not on networks; all that it may know about the data is in `statistics`.

Reference: Tadros, Krishnan, Ramyaa & Bazhenov 2022 (Nat. Commun. 13:7742), the SRC algorithm.
"""

from clep.sleep.branches import branched
from clep.sleep.calibration import DECAY, INPUT_RATE, CalibratedSleep
from clep.sleep.gains import activity, restore
from clep.sleep.held import Held
from clep.sleep.outputs import balance, centre, level_biases
from clep.sleep.rule import SpikingParameters
from clep.sleep.simulation import CompiledSimulation, Simulation, TorchSimulation, simulation
from clep.sleep.spikes import Spikes, bernoulli_spikes, patched
from clep.sleep.statistics import Statistics, observe
from clep.sleep.waves import Seen, waves

__all__ = [
    "DECAY",
    "INPUT_RATE",
    "CalibratedSleep",
    "CompiledSimulation",
    "Held",
    "Seen",
    "Simulation",
    "Spikes",
    "SpikingParameters",
    "Statistics",
    "TorchSimulation",
    "activity",
    "balance",
    "bernoulli_spikes",
    "branched",
    "centre",
    "level_biases",
    "observe",
    "patched",
    "restore",
    "simulation",
    "waves",
]
