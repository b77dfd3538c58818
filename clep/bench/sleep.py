"""How fast a sleep is, against a torch loop whose cost depends on the sizes of the matrices.

The network has the sizes and the activity of the published ones (784-1200-1200-10; per step about 13 input spikes and
at most a tenth of a spike in a hidden layer). Both sides start from the same weights, get the same input spikes and
take turns on one thread, so changes in the machine's speed affect both. Medians are reported.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from clep.bench import cases
from clep.bench.cases import SleepCase
from clep.bench.clock import seconds_of
from clep.sleep import CompiledSimulation, Spikes, SpikingParameters, bernoulli_spikes

_ROUNDS = 5


@dataclass(frozen=True)
class SleepTiming:
    """One sleep; the fields of the JSON of `clep bench sleep`.

    Attributes:
        seconds: time of the event-driven sleep, including the draw of its input but not compilation.
        torch_seconds: time of the torch loop for the same number of steps, scaled from `torch_steps`.
        ratio: `torch_seconds` over `seconds`.
        spikes_per_step: mean number in each layer, the input first.
        max_weight_difference: largest difference of a weight between the two sides after `torch_steps`.
        max_weight_change: largest change of a weight in these steps, for comparison.
        seconds_range: smallest and largest seconds over the rounds.
    """

    case: str
    steps: int
    seconds: float
    torch_seconds: float
    torch_steps: int
    ratio: float
    spikes_per_step: list[float]
    max_weight_difference: float
    max_weight_change: float
    seconds_range: tuple[float, float] = field(default=(0.0, 0.0))


def time_sleep(name: str) -> SleepTiming:
    """Time one of `cases.SLEEPS` on torch's current number of threads; the event-driven side always uses one."""
    case = cases.SLEEPS[name]
    rng = np.random.default_rng(0)
    weights = [
        (rng.uniform(-1.0, 1.0, (high, low)) / np.sqrt(low)).astype(np.float32) for low, high in pairwise(case.sizes)
    ]
    parameters = parameters_of(case, weights)
    probability = rng.random(case.sizes[0])
    probability *= case.input_spikes / probability.sum()

    def events() -> CompiledSimulation:
        asleep = CompiledSimulation(weights, parameters)
        asleep.run(bernoulli_spikes(probability, case.steps, np.random.default_rng(1)))
        return asleep

    spikes = bernoulli_spikes(probability, case.steps, np.random.default_rng(1))
    CompiledSimulation(weights, parameters).run(spikes[:1])  # compiles
    few = spikes[: case.torch_steps]
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        ours.append(seconds_of(events))
        theirs.append(seconds_of(lambda: torch_loop(weights, parameters, few)))
    seconds, torch_seconds = statistics.median(ours), statistics.median(theirs) * case.steps / case.torch_steps
    asleep = CompiledSimulation(weights, parameters)
    asleep.run(few)
    dense = torch_loop(weights, parameters, few)
    counts = [len(spikes.index), *(int(count.sum()) for count in events().counts)]
    return SleepTiming(
        case=name,
        steps=case.steps,
        seconds=seconds,
        torch_seconds=torch_seconds,
        torch_steps=case.torch_steps,
        ratio=torch_seconds / seconds,
        spikes_per_step=[count / case.steps for count in counts],
        max_weight_difference=_largest(asleep.weights, [w.numpy() for w in dense]),
        max_weight_change=_largest(asleep.weights, weights),
        seconds_range=(min(ours), max(ours)),
    )


def format_sleep(timing: SleepTiming) -> str:
    """A timing as text for terminals."""
    rates = ", ".join(f"{rate:.3g}" for rate in timing.spikes_per_step)
    shortest, longest = timing.seconds_range
    return (
        f"{timing.case}: {timing.steps} steps in {timing.seconds:.3f} s ({shortest:.3f} to {longest:.3f}); "
        f"a torch loop {timing.torch_seconds:.1f} s (scaled from {timing.torch_steps} steps), "
        f"ratio {timing.ratio:.0f}\n"
        f"spikes per step and layer: {rates}; largest weight difference of the two after {timing.torch_steps} steps "
        f"{timing.max_weight_difference:.1e}, largest weight change {timing.max_weight_change:.1e}"
    )


def parameters_of(case: SleepCase, weights: Sequence[np.ndarray]) -> list[SpikingParameters]:
    """Constants of each layer of a case."""
    return [
        SpikingParameters(
            decay=0.98,
            threshold=threshold,
            increment=case.change * float(w.std()),
            decrement=case.change / 3.0 * float(w.std()),
            gate_width=0.5 * float(w.std()),
        )
        for w, threshold in zip(weights, case.thresholds, strict=True)
    ]


@torch.no_grad()
def torch_loop(weights: Sequence[np.ndarray], parameters: Sequence[SpikingParameters], spikes: Spikes) -> list[Tensor]:
    """The weights after the same sleep, step by step: whole matrices times vectors; only rows that fired change."""
    matrices = [torch.from_numpy(w.copy()) for w in weights]
    potentials = [w.new_zeros(len(w)) for w in matrices]
    for z in torch.from_numpy(spikes.dense()).to(matrices[0].dtype):
        below = z
        for w, v, p in zip(matrices, potentials, parameters, strict=True):
            torch.addmv(v, w, below, beta=float(p.decay), out=v)
            above = v >= p.threshold
            if above.any():
                rows = w[above]
                w[above] = rows + (below * (p.increment + p.decrement) - p.decrement) * 2.0 * torch.sigmoid(
                    -rows / p.gate_width
                )
                v[above] = 0.0
            below = above.to(w.dtype)
    return matrices


def _largest(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    return float(max(abs(a - b).max() for a, b in zip(some, others, strict=True)))
