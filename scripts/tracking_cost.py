"""What tracking costs: CPU time of the runs of `make run` with and without it, in turn.

    python scripts/tracking_cost.py [--rounds 3] [--cells naive,joint]

Prints the CPU seconds of both, child processes included, and the share that tracking adds. Neither writes checkpoints,
which are not tracking. On a busy machine the shares of the rounds differ by several points: take more rounds.
"""

import argparse
import gc
import resource
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from clep.pipelines import class_incremental

from clep import tracking
from clep.build import build_stream, build_training, resolved
from clep.comparison.running import PRELOAD
from clep.config import Config, compose, replace
from clep.randomness import reproducible
from clep.workers import run_jobs


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table, a row per cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each cell runs with and without tracking")
    parser.add_argument("--cells", default="", help="labels of cells, with commas (default: all)")
    parser.add_argument("changes", nargs="*", help="key=value changes of the configuration")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        base = compose(
            None, ["checkpoint.keep=none", *arguments.changes, f"tracking.uri=sqlite:///{Path(folder) / 'mlflow.db'}"]
        )
        uri, experiment_id = tracking.open_store(base.tracking)  # creating a store takes seconds, once
        with tracking.Run(uri, experiment_id, "parent", tags={}, params={}) as parent:
            pass
        chosen = [name.split("+") for name in arguments.cells.split(",") if name] or base.cells
        configs = {"+".join(names): resolved(replace(base, strategies=names)) for names in chosen}
        print(f"{'cell':34}{'without':>9}{'with':>9}{'added':>9}   CPU seconds, medians; the share in each round")
        totals = [0.0, 0.0]
        for label, config in configs.items():
            pairs = [("", ""), (parent.run_id, experiment_id)]
            jobs = [(*place, config) for _ in range(arguments.rounds) for place in pairs]
            found = {message.job: message.value for message in run_jobs(_seconds, jobs, workers=1, preload=PRELOAD)}
            sides = [[found[job] for job in range(first, len(jobs), 2)] for first in (0, 1)]
            without, with_it = map(median, sides)
            totals = [totals[0] + without, totals[1] + with_it]
            shares = [high / low - 1 for low, high in zip(*sides, strict=True)]
            _print(label, without, with_it, f"   {min(shares):.1%} to {max(shares):.1%}")
        _print("all", totals[0], totals[1])


def _without(config: Config) -> None:
    """What a run does when it is recorded nowhere."""
    with reproducible(config.seed, config.threads):
        config = resolved(config)
        stream = build_stream(config)
        build_training(config, stream).run(stream)
    gc.collect()  # a run frees its data, recorded or not


def _seconds(job: tuple[str, str, Config], report: Callable[[object], None]) -> float:
    """The CPU seconds of a run in a process of its own, as `clep compare` makes them; untracked without a parent."""
    parent_id, experiment_id, config = job
    before = _cpu()
    if parent_id:
        class_incremental.run(config, parent_run_id=parent_id, experiment_id=experiment_id)
    else:
        _without(config)
    return _cpu() - before


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _print(label: str, without: float, with_it: float, spread: str = "") -> None:
    print(f"{label:34}{without:9.2f}{with_it:9.2f}{with_it / without - 1:9.1%}{spread}", flush=True)


if __name__ == "__main__":
    main()
