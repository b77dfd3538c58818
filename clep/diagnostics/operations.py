"""The synaptic operations of a free phase: with spikes, and with graded signals in the same architecture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from clep import metric_names
from clep.equilibrium import FreePhase

# Energy of a 32-bit floating-point addition, and of a multiplication and an addition, in pJ (45 nm; Horowitz 2014).
_ADD, _MULTIPLY_ADD = 0.9, 4.6


@dataclass(frozen=True)
class Synapses:
    """`count` products up between the layers `below` < `above`, and the same number down; layer 0 is the input."""

    below: int
    above: int
    count: int


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one sample.

    Attributes:
        accumulates: additions of a weight; a spike costs a synapse no more than that.
        multiply_accumulates: products of a weight and a graded signal, each with an addition.
    """

    accumulates: float
    multiply_accumulates: float

    @property
    def total(self) -> float:
        """Operations of both kinds."""
        return self.accumulates + self.multiply_accumulates

    @property
    def nanojoules(self) -> float:
        """Energy of the arithmetic only (0.9 pJ to add, 4.6 pJ to multiply and add), without memory and draws."""
        return 1e-3 * (_ADD * self.accumulates + _MULTIPLY_ADD * self.multiply_accumulates)


def operations(
    synapses: Sequence[Synapses], units: Sequence[int], steps: int, spikes: Sequence[float] = ()
) -> Operations:
    """Synaptic operations of a free phase.

    With M_k synapses between layers b and a, T steps, n_l units in layer l and S_l spikes of it in all T steps,

        accumulates          = sum_k M_k ([b spikes] S_b / n_b + [a spikes] S_a / n_a),
        multiply-accumulates = sum_(b = 0) M_k + T sum_(b > 0) M_k ([b is graded] + [a is graded]).

    A spike costs its fan-out (the mean of its layer, since it is smaller at the edges of images). A graded layer costs
    all its synapses at every step, zeros included. The drive by the input is computed once. Pooling, inhibition and
    a read-out outside the dynamics do not count.

    Args:
        synapses: those of each connection.
        units: number in each layer, the input included.
        steps: T.
        spikes: S of the layers 1, 2, ..., per sample; the layers above them are graded.
    """

    def sent(layer: int) -> tuple[float, float]:
        """Accumulates and multiply-accumulates per synapse."""
        return (spikes[layer - 1] / units[layer], 0.0) if layer <= len(spikes) else (0.0, float(steps))

    added = multiplied = 0.0
    for joined in synapses:
        for adds, multiplies in [(0.0, 1.0)] if joined.below == 0 else [sent(joined.below), sent(joined.above)]:
            added += joined.count * adds
            multiplied += joined.count * multiplies
    return Operations(added, multiplied)


class SpikeMeter:
    """Counts the spikes of the free phases of training, without waiting for the device."""

    def __init__(self) -> None:
        self._spikes: Tensor | None = None
        self._samples = 0
        self._latest: FreePhase | None = None

    def state_dict(self) -> dict[str, Any]:
        """What was counted; the network is known from the next free phase."""
        return {"spikes": self._spikes, "samples": self._samples}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self._spikes, self._samples, self._latest = state["spikes"], state["samples"], None

    def look(self, free: FreePhase) -> None:
        """Count a free phase; does nothing if its signals are graded."""
        if free.spikes is not None:
            spikes = free.spikes * len(free.x)
            self._spikes = spikes if self._spikes is None else self._spikes + spikes
            self._samples += len(free.x)
            self._latest = free

    def take(self) -> dict[str, float]:
        """Metrics per sample since the last call, with and without spikes; {} if nothing spiked."""
        if self._spikes is None or self._latest is None:
            return {}
        spikes, body = (self._spikes / self._samples).tolist(), self._latest.body
        synapses = [Synapses(link.below, link.above, link.connection.synapses) for link in body.links]
        units = [math.prod(layer.shape[1:]) for layer in (self._latest.x, *self._latest.states)]
        self._spikes, self._samples, self._latest = None, 0, None
        done, of_rates = (operations(synapses, units, body.free.steps, counted) for counted in (spikes, ()))
        return {
            metric_names.ENERGY_SPIKES: sum(spikes),
            metric_names.ENERGY_OPERATIONS: done.total,
            metric_names.ENERGY_NANOJOULES: done.nanojoules,
            metric_names.ENERGY_OPERATIONS_OF_RATES: of_rates.total,
            metric_names.ENERGY_NANOJOULES_OF_RATES: of_rates.nanojoules,
        }
