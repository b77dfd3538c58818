"""How fast one whole update is, against an autograd baseline and the machine's plain matrix products.

An update is a free phase, two nudged phases (centered) and one SGD step on a batch. The sides take turns, so a
machine that slows down slows all of them. Medians are reported.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from clep.bench import cases
from clep.bench.cases import Case
from clep.bench.clock import seconds_of
from clep.equilibrium import ORDERS, Convolution, CostNudging, Dense, Network, SquaredError, TimeStep
from clep.equilibrium.connections import Bilinear, Connection
from clep.specs.network import Order

_ROUNDS = 11
_LR = 0.05


@dataclass(frozen=True)
class Timing:
    """One line of `clep bench`; the fields of its JSON.

    Attributes:
        sweeps: steps of the free phase; asynchronous relaxation takes half as many.
        ratio: `images_per_second` over `baseline_images_per_second`; the baseline always takes all steps,
            synchronously.
        floor_fraction: seconds of the matrix products that every update needs, over the seconds of an update.
        max_relative_update_difference: largest difference of a parameter's update from the baseline's, relative to the
            largest update. Asynchronous relaxation takes another path, so its updates differ until both sides converge.
        peak_bytes: memory that one update allocates temporarily.
        spread: (smallest, largest) images per second over the rounds.
    """

    case: str
    relaxation: str
    sweeps: int
    images_per_second: float
    baseline_images_per_second: float
    ratio: float
    floor_fraction: float
    max_relative_update_difference: float
    peak_bytes: int
    spread: tuple[float, float]


def format_updates(timings: Sequence[Timing]) -> str:
    """The timings as a table for terminals."""
    head = f"{'case':10} {'relaxation':13} {'sweeps':>6} {'images/s':>10} {'autograd':>10} {'ratio':>6} {'floor':>6} "
    lines = [head + f"{'update diff':>11} {'peak MB':>8}"]
    for t in timings:
        lines.append(
            f"{t.case:10} {t.relaxation:13} {t.sweeps:6d} {t.images_per_second:10.0f} "
            f"{t.baseline_images_per_second:10.0f} {t.ratio:6.2f} {t.floor_fraction:6.2f} "
            f"{t.max_relative_update_difference:11.1e} {t.peak_bytes / 1e6:8.1f}"
        )
    return "\n".join(lines)


def network_of(case: Case, relaxation: Order = "synchronous") -> Network:
    """The network of a case: dt = 1 and biases, as in the public code; asynchronous sweeps half as often."""
    halve = 2 if relaxation == "asynchronous" else 1
    return Network(
        case.sizes,
        bias=True,
        free_steps=case.free_steps // halve,
        nudged_steps=case.nudged_steps // halve,
        time_step=TimeStep("scalar", mean=1.0),
        relaxation=relaxation,
    )


def explicit_update(network: Network, case: Case, x: Tensor, y: Tensor) -> None:
    """One update by clep: explicit relaxation, the drive computed once, delivered through autograd."""
    network.zero_grad()
    gradient = CostNudging(case.beta)
    gradient.loss(gradient.predict(network, x), y, SquaredError()).backward()
    _descend(network)


def autograd_update(network: Network, case: Case, x: Tensor, y: Tensor) -> None:
    """The same update as in public code: every step differentiates Phi, including the product with the input."""
    target = torch.nn.functional.one_hot(y, case.sizes[-1]).to(x.dtype)

    def phi(states: Sequence[Tensor], beta: float) -> Tensor:
        layers = zip(network.connections, [x, *states[:-1]], states, strict=True)
        first, *others = ((_up(connection, below) * above).flatten(1).sum(1) for connection, below, above in layers)
        value = sum(others, first)
        return value - beta * 0.5 * (states[-1] - target).square().sum(1) if beta else value

    def relax(states: list[Tensor], steps: int, beta: float) -> list[Tensor]:
        for _ in range(steps):
            gradients = torch.autograd.grad(phi(states, beta).sum(), states)
            states = [gradient.clamp(0.0, 1.0).requires_grad_() for gradient in gradients]
        return states

    start = [torch.zeros(len(x), *shape, dtype=x.dtype, requires_grad=True) for shape in network.shapes[1:]]
    free = relax(start, case.free_steps, 0.0)
    up, down = (relax(list(free), case.nudged_steps, sign * case.beta) for sign in (1, -1))
    network.zero_grad()
    difference = phi([s.detach() for s in up], 0.0) - phi([s.detach() for s in down], 0.0)
    (-difference.sum() / (2.0 * case.beta * len(x))).backward()
    _descend(network)


def _up(connection: Connection, below: Tensor) -> Tensor:
    """dphi/dabove with only torch's functions, in torch's default memory layout, as in public code."""
    if isinstance(connection, Convolution):
        layer, weight = connection.layer, connection.weight.contiguous()
        convolved = functional.conv2d(below, weight, connection.bias, layer.stride, layer.padding)
        return functional.max_pool2d(convolved, layer.pool)
    assert isinstance(connection, Dense)
    return functional.linear(below.flatten(1), connection.weight, connection.bias)


@torch.no_grad()
def _descend(network: Network) -> None:
    for parameter in network.parameters():
        assert parameter.grad is not None
        parameter.sub_(parameter.grad, alpha=_LR)


def _products(case: Case, relaxation: Order) -> Iterator[tuple[int, Callable[[], object]]]:
    """(how often, call) of each product that every update needs, with our layouts and kernels."""
    network = network_of(case, relaxation)
    steps = network.spec.free_steps + 2 * network.spec.nudged_steps
    states = [torch.rand(case.batch, *shape) for shape in network.shapes]
    for i, link in enumerate(network.links):
        low, high = states[link.below], states[link.above]
        if low.dim() == 4:
            low = low.contiguous(memory_format=torch.channels_last)
        connection = link.connection
        assert isinstance(connection, Bilinear)
        value, route = connection.up(low)
        unpooled = connection.unpool(torch.rand_like(value), route)
        base = torch.zeros_like(low)
        yield 1 if i == 0 else steps, partial(connection.up, low)
        if i > 0:
            yield steps, partial(connection.add_down, base, high, route, base)
        yield 1 if i == 0 else 2, partial(connection.outer, low, unpooled)


def time_updates(name: str) -> Iterator[Timing]:
    """Time the updates of a case of `cases.UPDATES`, synchronous and asynchronous."""
    case = cases.UPDATES[name]
    shape = (case.sizes[0],) if isinstance(case.sizes[0], int) else case.sizes[0]
    x, y = torch.rand(case.batch, *shape), torch.randint(case.sizes[-1], (case.batch,))
    for relaxation in ORDERS:
        ours, theirs = network_of(case, relaxation), network_of(case)
        update, baseline = partial(explicit_update, ours, case, x, y), partial(autograd_update, theirs, case, x, y)
        with torch.no_grad():
            products = list(_products(case, relaxation))
        seconds: dict[str, list[float]] = {"ours": [], "theirs": [], "floor": []}
        difference = update_difference(case, relaxation, x, y)
        for _ in range(_ROUNDS):
            seconds["ours"].append(_warm_seconds(update))
            seconds["theirs"].append(_warm_seconds(baseline))
            with torch.no_grad():
                seconds["floor"].append(sum(n * seconds_of(product) for n, product in products))
        median = {side: statistics.median(values) for side, values in seconds.items()}
        ours.zero_grad()
        yield Timing(
            case=name,
            relaxation=relaxation,
            sweeps=ours.spec.free_steps,
            images_per_second=case.batch / median["ours"],
            baseline_images_per_second=case.batch / median["theirs"],
            ratio=median["theirs"] / median["ours"],
            floor_fraction=median["floor"] / median["ours"],
            max_relative_update_difference=difference,
            peak_bytes=peak_bytes(update),
            spread=(case.batch / max(seconds["ours"]), case.batch / min(seconds["ours"])),
        )


def update_difference(case: Case, relaxation: Order, x: Tensor, y: Tensor) -> float:
    """Largest difference between the two sides' updates from equal weights, relative to the largest update."""
    ours, theirs = network_of(case, relaxation).to(x.dtype), network_of(case).to(x.dtype)
    start = [p.detach().clone() for p in ours.parameters()]
    explicit_update(ours, case, x, y)
    autograd_update(theirs, case, x, y)
    sides = zip(ours.parameters(), theirs.parameters(), start, strict=True)
    moves = [(a.detach() - s, b.detach() - s) for a, b, s in sides]
    return float(max((a - b).abs().max() for a, b in moves) / max(b.abs().max() for _, b in moves))


def _warm_seconds(call: Callable[[], object]) -> float:
    """Seconds of a call right after another one, as in training, when the caches hold its own data."""
    call()
    return seconds_of(call)


def peak_bytes(call: Callable[[], object]) -> int:
    """Largest sum of live allocations during a call, from the profiler's record of all allocations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    live = peak = 0
    for _, size in sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"):
        live += size
        peak = max(peak, live)
    return peak
