"""Which jobs of a comparison train in one pass, as one batched network; see `clep.population`."""

import math
import warnings
from collections.abc import Hashable, Sequence

from clep.build import build_stream, build_training
from clep.comparison.cells import Job
from clep.errors import UnusedWarning
from clep.population.admission import kind, reasons
from clep.streams import Stream

LARGEST = 16
"""Jobs in one process at most: more are hardly faster together, and whatever ends a process ends all of its jobs."""

TAG = "clep.population"
"""Tag of a run that was trained in one pass with others: how many they were."""


def together(jobs: Sequence[Job], workers: int, *, called: str = "cell") -> list[list[int]]:
    """Group jobs whose updates can be computed as one, where their configurations ask for it.

    Args:
        jobs: what is to be run.
        workers: number of processes; jobs of one kind are spread over all.
        called: what the user calls a cell.

    Returns:
        Positions of the jobs, those of one process each, in the order of their first ones.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.config import compose
        >>> jobs = plan([(Cell("naive"), compose(None, ["population=auto"]))], seeds=[0, 1, 2])
        >>> together(jobs, workers=0), together(jobs[:1], workers=0)
        ([[0, 1, 2]], [[0]])
    """
    kinds: dict[Hashable, list[int]] = {}
    cells: dict[str, Hashable] = {}
    streams: dict[str, Stream] = {}
    for position, job in enumerate(jobs):
        if job.config.population == "off":
            kinds[position] = [position]
            continue
        if job.cell not in cells:
            cells[job.cell] = _kind(job, streams, called)
        known = cells[job.cell]
        kinds.setdefault(position if known is None else known, []).append(position)
    groups = [group for members in kinds.values() for group in _dealt(members, workers)]
    return sorted(groups)


def _dealt(members: Sequence[int], workers: int) -> list[list[int]]:
    """Members of one kind in groups of nearly one size: one for each worker, more if they would be too large."""
    n = max(1, min(workers, len(members) // 2), math.ceil(len(members) / LARGEST))
    return [list(members[i::n]) for i in range(n)]


def _kind(job: Job, streams: dict[str, Stream], called: str) -> Hashable | None:
    """What the jobs of a cell have in common with those that they can join; None if they run alone."""
    source = str(job.config.stream)
    if source not in streams:
        streams[source] = build_stream(job.config)
    template = build_training(job.config, streams[source]).template
    reason = next(reasons(template.learner, template.trainer_arguments), None)
    if reason is not None:
        warnings.warn(f"population: the {called} `{job.cell}` trains alone: {reason}", UnusedWarning, stacklevel=3)
        return None
    return kind(template.learner), job.config.threads, job.config.device
