"""Milliseconds of one update on the CPU and on the GPU, as a table: what `scripts/gpu_check.sh` prints."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from clep.bench import updates
from clep.bench.cases import UPDATES, Case

CASES = {"digits": Case((64, 256, 10), batch=64)} | {name: UPDATES[name] for name in ("mlp1", "mlp2", "conv4")}
_ROUNDS = 7


def milliseconds(call: Callable[[], object], device: str) -> float:
    """Median of some calls, each waited for."""
    found = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(1e3 * (time.perf_counter() - start))
    return statistics.median(found[1:])


def main() -> None:
    """Print a line for each case."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    print(f"| case | batch | {' | '.join(devices)} |\n|---|---|{'---|' * len(devices)}")
    for name, case in CASES.items():
        shape = case.sizes[0] if isinstance(case.sizes[0], tuple) else (case.sizes[0],)
        x, y = torch.rand(case.batch, *shape), torch.randint(case.sizes[-1], (case.batch,))
        found = []
        for device in devices:
            network = updates.network_of(case).to(device)
            call = partial(updates.explicit_update, network, case, x.to(device), y.to(device))
            found.append(f"{milliseconds(call, device):.1f}")
        print(f"| {name} | {case.batch} | {' | '.join(found)} |")


if __name__ == "__main__":
    main()
