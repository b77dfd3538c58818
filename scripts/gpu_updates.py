"""Milliseconds of one update on the CPU, on the GPU, and as a CUDA graph: the table of `scripts/gpu_check.sh`."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

import clep
from clep.bench import updates
from clep.bench.cases import UPDATES, Case
from clep.graphs import Graphs
from clep.update import Batch

DIGITS = Case((64, 256, 10))
CASES = {f"digits {batch}": replace(DIGITS, batch=batch) for batch in (64, 256)}
CASES |= {name: UPDATES[name] for name in ("mlp1", "mlp2", "conv4")}
_ROUNDS, _EACH = 5, 5


def update_of(case: Case, device: str, graphs: Graphs | None = None) -> Callable[[], None]:
    """An update of a case as training makes it, with SGD and its momentum.

    Args:
        case: the network and the phases.
        device: `cpu` or `cuda`.
        graphs: records the update; None to compute it as usual.
    """
    learner = clep.Learner(updates.network_of(case), gradient=clep.CostNudging(case.beta)).to(device)
    optimizer, first = learner.make_optimizer(), case.sizes[0]
    shape = first if isinstance(first, tuple) else (first,)
    x = torch.rand(case.batch, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    y = (torch.arange(case.batch) % case.sizes[-1]).to(device)

    def update() -> None:
        optimizer.zero_grad()
        learner.step(Batch(x, y, loss=torch.zeros((), device=device)), "a timing", graphs).backward()
        optimizer.step()

    return update


def milliseconds(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median of an update for each of some sides, which take turns.

    Args:
        calls: by name.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(_EACH):
                call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found[name].append(1e3 * (time.perf_counter() - start) / _EACH)
    return {name: statistics.median(times[1:]) for name, times in found.items()}  # the first one records


def sides(case: Case) -> dict[str, Callable[[], None]]:
    """The updates of a case to compare on this machine."""
    calls = {"cpu": update_of(case, "cpu")}
    if torch.cuda.is_available():
        calls |= {"cuda": update_of(case, "cuda"), "cuda graph": update_of(case, "cuda", Graphs(required=True))}
    return calls


def main() -> None:
    """Print a line for each case."""
    for row, (name, case) in enumerate(CASES.items()):
        found = milliseconds(sides(case))
        if row == 0:
            print(f"| case | batch | {' | '.join(found)} | graph is so many times as fast |")
            print(f"|---|---|{'---|' * len(found)}---|")
        times = f"{found['cuda'] / found['cuda graph']:.1f}" if "cuda graph" in found else "not run"
        print(f"| {name} | {case.batch} | {' | '.join(f'{value:.2f}' for value in found.values())} | {times} |")


if __name__ == "__main__":
    main()
