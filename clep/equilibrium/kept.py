"""Which networks take compiled steps, and what is kept of these from update to update."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clep.equilibrium.compiled import CompiledSteps
from clep.equilibrium.connections import Dense
from clep.equilibrium.motions import Motion, Prototypical
from clep.specs.neurons import Neuron

_DTYPES = torch.float32, torch.float64
_LARGEST = 2**18  # weights of one connection: from there on products cost more than all calls, and torch's are quicker


class KeptSteps:
    """The compiled steps of a network, made anew when its layers are others. A copy of a network makes its own."""

    def __init__(self) -> None:
        self._steps: CompiledSteps | None = None
        self._known: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptSteps, ()

    def of(self, links: Sequence[Any], motion: Motion, time_steps: Sequence[Tensor | None]) -> CompiledSteps | None:
        """The steps of these layers; None if compiled steps cannot or should not take them.

        Args:
            links: the connections above the input.
            motion: how the layers move.
            time_steps: dt of each layer above the input, (n,) each, or None where every step is 1.
        """
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():  # a trace holds operations of torch alone
            return None
        if not links or type(motion) is not Prototypical or not isinstance(motion.neuron, Neuron):
            return None
        connections = [link.connection for link in links]
        if motion.neuron.ramp is None or any(type(connection) is not Dense for connection in connections):
            return None
        given = [connection.weight for connection in connections]
        given += [step for step in time_steps if step is not None]
        now = [*connections, *time_steps, motion.neuron]
        form = [(tensor.shape, tensor.dtype, tensor.device) for tensor in given]
        values = [None if step is None else step._version for step in time_steps]
        if not _same(self._known, now, (form, values)):
            self._known, self._steps = [*now, (form, values)], None
            if _suit(connections, given):
                self._steps = CompiledSteps(list(links), motion.neuron, time_steps)
        return self._steps


def _same(known: Sequence[Any], things: Sequence[Any], values: Any) -> bool:
    """Whether these are the things themselves that are known, and the values equal ones."""
    same = len(known) == len(things) + 1 and known[-1] == values
    return same and all(a is b for a, b in zip(known, things, strict=False))


def _suit(connections: Sequence[Dense], given: Sequence[Tensor]) -> bool:
    first = given[0]
    if first.dtype not in _DTYPES or any(len(connection.below) > 1 for connection in connections):
        return False
    if any(connection.weight.numel() >= _LARGEST for connection in connections):
        return False
    return all(tensor.dtype == first.dtype and tensor.device.type == "cpu" for tensor in given)
