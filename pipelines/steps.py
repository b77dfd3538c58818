"""How many relaxation steps a trained network needs: the cosine of its gradient to backpropagation through time."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clep import metrics, progress
from clep.build import build_stream, build_training
from clep.config import Config
from clep.config import replace as replace_config
from clep.equilibrium import ORDERS, STARTS, Backpropagation, LinearNudging, Network
from clep.equilibrium.dynamics import Order
from clep.errors import ConfigError
from clep.learner import Learner
from clep.randomness import seed_globals

FREE_STEPS = (2, 3, 5, 7, 10, 15, 20, 30, 50)
NUDGED_STEPS = (1, 2, 3, 4, 6, 8, 12, 20)
COSINES = (0.9, 0.99, 0.999)
TOLERANCES = (0.1, 0.03, 0.01, 0.003, 0.001)
_CONVERGED = 300  # steps of the reference
_SAMPLES = 200


@dataclass(frozen=True)
class Need:
    """The cheapest way to a cosine.

    Attributes:
        relaxation, start: see `Network` and `Nudging`.
        beta: size of the nudge.
        cosine: what was asked for.
        free_steps, nudged_steps: the steps of each phase, or None if no number of steps tried gets there.
        sweeps: steps of the free and both nudged phases together.
        reached: the cosine of this setting.
    """

    relaxation: str
    start: str
    beta: float
    cosine: float
    free_steps: int | None
    nudged_steps: int | None
    sweeps: int | None
    reached: float | None


@dataclass(frozen=True)
class Stop:
    """What a tolerance of the free phase does: steps taken, and the cosine with converged nudged phases."""

    relaxation: str
    tolerance: float
    steps: int
    cosine: float


@dataclass(frozen=True)
class Steps:
    """Result of the pipeline.

    Attributes:
        accuracy: on the test samples, of the trained network with the steps of its configuration.
        ceiling: cosine of centered nudging to BPTT when everything has converged, per beta: 1 minus its bias.
        bfloat16: cosine of the gradient by relaxation in bfloat16 to that in full precision, per beta.
        needs: the cheapest settings.
        stops: what tolerances do.
    """

    accuracy: float
    ceiling: dict[float, float]
    bfloat16: dict[float, float]
    needs: list[Need]
    stops: list[Stop]

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


def run(config: Config) -> Steps:
    """Train the network of a configuration on all classes at once, then measure its gradient on 200 training samples.

    Strategies of the configuration are not looked at; phases are centered.

    Raises:
        ConfigError: for a network that has no equilibrium gradient through its loss, or never settles.
    """
    seed_globals(config.seed)
    torch.set_num_threads(config.threads)
    if config.network.model != "equilibrium" or config.learner.nudging not in ("linear", "cost"):
        raise ConfigError(
            "learner.nudging: steps are measured for equilibrium networks with `linear` or `cost` nudging."
        )
    if config.network.firing != "rate":
        raise ConfigError(
            "network.firing: spikes never settle, so no number of steps is enough; steps are measured for their mean "
            "field, network.firing=rate."
        )
    config = replace_config(config, strategies=["joint"])
    stream = build_stream(config)
    training = build_training(config, stream)
    result = training.run(stream)
    sizes = [len(experience) for experience in stream.evaluation]
    trained = stream.joint().train[0].samples
    x, y = (part[:_SAMPLES].to(training.template.device) for part in (trained.x, trained.y))
    accuracy = metrics.seen_accuracy(result.matrix, sizes)
    return measure(training.template.learner, x, y, accuracy, betas=(0.1, config.learner.beta))


def measure(learner: Learner, x: Tensor, y: Tensor, accuracy: float, betas: Sequence[float]) -> Steps:
    """Measure a trained learner on one batch; its network is left as it is."""
    network = copy.deepcopy(learner.network)
    assert isinstance(network, Network)
    network.tolerance, network.precision = 0.0, "full"
    reference = _gradient(network, learner, x, y, Backpropagation(), _CONVERGED)
    ceiling: dict[float, float] = {}
    bfloat16: dict[float, float] = {}
    needs: list[Need] = []
    variants = [(beta, order, start) for beta in sorted(set(betas)) for order in ORDERS for start in STARTS]
    for beta, order, start in progress.bar(variants, desc="steps", unit="variant"):
        nudging = LinearNudging(beta, start=start)
        if beta not in ceiling:
            converged = _gradient(network, learner, x, y, nudging, _CONVERGED, _CONVERGED)
            ceiling[beta] = _cosine(converged, reference)
            network.precision = "bfloat16"
            bfloat16[beta] = _cosine(_gradient(network, learner, x, y, nudging, _CONVERGED, _CONVERGED), converged)
            network.precision = "full"
        cosines = {
            (free, nudged): _cosine(_gradient(network, learner, x, y, nudging, free, nudged, order), reference)
            for free in FREE_STEPS
            for nudged in NUDGED_STEPS
        }
        needs += _cheapest(cosines, order, start, beta)
    stops = list(_stops(network, learner, x, y, reference, min(betas)))
    return Steps(accuracy, ceiling, bfloat16, needs, stops)


def _cheapest(cosines: dict[tuple[int, int], float], order: str, start: str, beta: float) -> Iterator[Need]:
    for target in COSINES:
        enough = [(free + 2 * nudged, free, nudged) for (free, nudged), c in cosines.items() if c >= target]
        if enough:
            sweeps, free, nudged = min(enough)
            yield Need(order, start, beta, target, free, nudged, sweeps, cosines[free, nudged])
        else:
            yield Need(order, start, beta, target, None, None, None, None)


def _stops(network: Network, learner: Learner, x: Tensor, y: Tensor, reference: Tensor, beta: float) -> Iterator[Stop]:
    for order in ORDERS:
        for tolerance in TOLERANCES:
            network.tolerance = tolerance
            gradient = _gradient(network, learner, x, y, LinearNudging(beta), _CONVERGED, _CONVERGED, order)
            yield Stop(order, tolerance, network.steps, _cosine(gradient, reference))
    network.tolerance = 0.0


def _gradient(
    network: Network,
    learner: Learner,
    x: Tensor,
    y: Tensor,
    nudging: LinearNudging | Backpropagation,
    free_steps: int,
    nudged_steps: int = 1,
    relaxation: Order = "synchronous",
) -> Tensor:
    """Gradient of the learner's loss for all parameters, flat."""
    network.free_steps, network.nudged_steps, network.relaxation = free_steps, nudged_steps, relaxation
    network.nudging = nudging
    gradients = torch.autograd.grad(learner.criterion(network(x), y), list(network.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def format_steps(steps: Steps) -> str:
    """The measurements as Markdown."""
    ceiling, bfloat16 = (
        ", ".join(f"{cosine:.4f} at beta {beta:g}" for beta, cosine in cosines.items())
        for cosines in (steps.ceiling, steps.bfloat16)
    )
    lines = [
        f"Test accuracy {steps.accuracy:.4f}. Cosine to BPTT with converged phases: {ceiling}. Cosine of relaxation in "
        f"bfloat16 to full precision: {bfloat16}.",
        "",
        "| relaxation | second phase starts | beta | " + " | ".join(f"cosine {c:g}" for c in COSINES) + " |",
        "|---|---|---|" + "---|" * len(COSINES),
    ]
    for i in range(0, len(steps.needs), len(COSINES)):
        row = steps.needs[i : i + len(COSINES)]
        cells = ["-" if n.sweeps is None else f"{n.sweeps} ({n.free_steps} + 2 x {n.nudged_steps})" for n in row]
        lines.append(f"| {row[0].relaxation} | {row[0].start} | {row[0].beta:g} | {' | '.join(cells)} |")
    lines += ["", "| relaxation | tolerance | free steps | cosine |", "|---|---|---|---|"]
    lines += [f"| {s.relaxation} | {s.tolerance:g} | {s.steps} | {s.cosine:.4f} |" for s in steps.stops]
    return "\n".join(lines)
