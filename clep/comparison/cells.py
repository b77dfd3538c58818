"""The cells of a comparison, and its jobs: each cell with each seed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from clep.build import build_stream, build_training, data_of, identity, plugins_of, resolved, settings
from clep.cells import Cell
from clep.config import Config, seeded
from clep.errors import ConfigError
from clep.identity import Identity
from clep.streams import Stream

Look = Callable[[Config], tuple[str, str]]


def _look(config: Config) -> tuple[str, str]:
    return data_of(config), plugins_of(config)


def _look_once() -> Look:
    """A look that reads each data set and each set of plug-ins once: a folder may hold many files, a plan many jobs."""
    found: dict[Any, tuple[str, str]] = {}

    def look(config: Config) -> tuple[str, str]:
        parts = config.network, config.learner, config.strategies
        key = str((config.stream, config.data, parts))
        if key not in found:
            found[key] = _look(config)
        return found[key]

    return look


@dataclass(frozen=True)
class Job:
    """A cell with one seed: one run.

    Attributes:
        cell: label of the cell.
        config: its configuration with this seed and with every parameter of its strategies.
        look: tells the data and the plug-ins of a configuration, as parts of an identity.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.config import compose
        >>> job = plan([(Cell("naive"), compose())], seeds=[3])[0]
        >>> job.cell, job.config.seed, len(job.fingerprint)
        ('naive', 3, 32)
    """

    cell: str
    config: Config
    look: Look = field(default=_look, compare=False, repr=False)

    @cached_property
    def identity(self) -> Identity:
        """What the result is of; see `clep.build.identity`."""
        data, plugins = self.look(self.config)
        return identity(self.config, data=data, plugins=plugins)

    @property
    def fingerprint(self) -> str:
        """The identity in 32 characters."""
        return self.identity.digest

    @cached_property
    def settings(self) -> str:
        """What the result is of apart from code; see `clep.build.settings`."""
        data, plugins = self.look(self.config)
        return settings(self.config, data=data, plugins=plugins)

    @property
    def place(self) -> tuple[str, int]:
        """Cell and seed."""
        return self.cell, self.config.seed


def plan(cells: Iterable[tuple[Cell, Config]], seeds: Sequence[int]) -> list[Job]:
    """Every cell with each of its seeds, seed by seed, so that every cell has a first number early.

    Args:
        cells: the cells with their configurations.
        seeds: seeds of the comparison; a cell may have fewer.

    Example:
        >>> from clep.config import compose
        >>> from clep.comparison.cells import Cell
        >>> cells = [(Cell("naive"), compose()), (Cell("joint", seeds=(1,)), compose(None, ["strategies=joint"]))]
        >>> [(job.cell, job.config.seed) for job in plan(cells, [0, 1])]
        [('naive', 0), ('naive', 1), ('joint', 1)]
    """
    cells = [(cell, resolved(config)) for cell, config in cells if {*(cell.seeds or seeds)} & {*seeds}]
    look = _look_once()
    return [
        Job(cell.label, seeded(config, seed), look)
        for seed in seeds
        for cell, config in cells
        if seed in (cell.seeds or seeds)
    ]


def varying(jobs: Iterable[Job]) -> set[str]:
    """Which of `network` and `stream` differ among the jobs, so that names of runs must tell them."""
    names = {"network": {job.config.network.name for job in jobs}, "stream": {job.config.stream.name for job in jobs}}
    return {key for key, found in names.items() if len(found) > 1}


def check(jobs: Sequence[Job]) -> int:
    """Load the data and build the training of every cell, so that a bad one is found before anything is trained.

    Args:
        jobs: at least one.

    Returns:
        The number of classes in the first cell.

    Raises:
        ConfigError, DataError: for anything that cannot be loaded or trained; a `ConfigError` names the cell.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.config import compose
        >>> check(plan([(Cell("naive"), compose())], seeds=[0]))
        10
    """
    streams: dict[str, Stream] = {}
    for job in {job.cell: job for job in reversed(jobs)}.values():  # the first job of each cell
        source = str(job.config.stream)
        try:
            streams[source] = streams.get(source) or build_stream(job.config)
            build_training(job.config, streams[source])
        except ConfigError as error:
            raise ConfigError(f"{error} (in the cell `{job.cell}`)") from error
    return len(streams[str(jobs[0].config.stream)].class_order)
