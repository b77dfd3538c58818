"""What a comparison tells while it runs: which cells are running, and each run's numbers as it ends."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from clep import progress
from clep.comparison.cells import Job
from clep.results import Result

_NAMED = 3  # running cells that a line can hold


class Watch:
    """The progress of a comparison's jobs, as a context manager.

    Args:
        jobs: what is to be run.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.comparison.watching import Watch
        >>> from clep.config import compose
        >>> with Watch(plan([(Cell("naive"), compose())], seeds=[0])) as watch:
        ...     watch.started(0)
        ...     print(watch.status)
        0/1 runs: naive 0
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._names = [f"{job.cell} {job.config.seed}" for job in jobs]
        self._experiences = [job.config.stream.experiences for job in jobs]
        self._running: dict[int, None] = {}
        self._ended = 0
        self._lines = progress.Lines()

    def __enter__(self) -> Self:
        self._bar = progress.bar(total=sum(self._experiences), desc="starting", unit="exp", lines=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    @property
    def status(self) -> str:
        """How many runs have ended, and the cell and seed of those that are running."""
        names = [self._names[index] for index in self._running]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{self._ended}/{len(self._names)} runs: {', '.join(names[:_NAMED])}{more}".rstrip(": ")

    def started(self, index: int, experiences: int | None = None) -> None:
        """A job has begun.

        Args:
            index: its number.
            experiences: how many its stream has, if that is known: some scenarios decide it themselves.
        """
        self._running[index] = None
        if experiences is not None:
            self._bar.total += experiences - self._experiences[index]
            self._experiences[index] = experiences
        self._bar.set_description(self.status)

    def reported(self, report: dict[str, Any]) -> None:
        """A job has sent a report."""
        self._bar.update("experience" in report)

    def ended(self, index: int, result: Result) -> None:
        """A job has ended: tell its numbers."""
        self._running.pop(index, None)
        self._ended += 1
        self._lines.tell(f"clep: {self._ended}/{len(self._names)} runs; {_told(self._names[index], result)}")
        self._bar.set_description(self.status)


def _told(name: str, result: Result) -> str:
    if result.failed:
        return f"{name}: {result.status.lower()}"
    forgotten = result.forgetting_since_training
    first = "" if forgotten is None else f"forgetting {forgotten:.3f}, "
    return f"{name}: {first}accuracy {result.accuracy:.3f}, {result.seconds['total']:.0f} s"
