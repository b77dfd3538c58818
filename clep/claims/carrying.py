"""Runs that a published table tells of, carried into the table that takes its place.

The CSV file of a table has a line per run. A run whose `settings` are those of its cell and seed today needs no store:
it counts in the new table as it did in the old one.
"""

import csv
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clep.columns import CSV, MEANS, OF_CELL, TOLD, Column, Run, of_its_own
from clep.comparison import Job
from clep.errors import ConfigError
from clep.tables import heading

Place = tuple[str, int]
"""Cell and seed."""

_OF_ALL = ["cell", "seed", "accuracy"]  # columns that the files of all versions have
_SETTINGS = re.compile(r"([0-9a-f]{12})?")
_SAME = 1e-9  # a mean, as a file has it and as its accuracies have it
_ADVICE = "take the file back from version control, or remove it to begin without its runs"


@dataclass(frozen=True)
class Published:
    """A published table, as its CSV file tells of it.

    Attributes:
        path: the file.
        runs: the runs that finished, and those that diverged where the claim counts them.
        lacks: columns of the claim that the file has not.
        dated: whether the file is of a version that wrote no `settings`.

    Example:
        >>> from pathlib import Path
        >>> from clep.claims import read_published
        >>> read_published(Path("absent.csv"), ()).runs
        {}
    """

    path: Path
    runs: Mapping[Place, Run] = field(default_factory=dict)
    lacks: Sequence[str] = ()
    dated: bool = False

    def carried(self, jobs: Iterable[Job]) -> dict[Place, Run]:
        """The runs that have the settings of a job.

        Args:
            jobs: those of the claim.
        """
        jobs = [job for job in jobs if job.place in self.runs]
        return {job.place: run for job in jobs if (run := self.runs[job.place])["settings"] == job.settings}

    def left(self, jobs: Iterable[Job], kept: Container[Place]) -> Iterator[str]:
        """What is not carried: a text for each reason, with the cells and their numbers of runs.

        Args:
            jobs: those of the claim.
            kept: cells and seeds that the new table has all the same.
        """
        known = {job.place for job in jobs}
        counted: dict[str, Counter[str]] = {}
        for place in self.runs:
            if place not in kept:
                counted.setdefault(self._reason(place, known), Counter())[place[0]] += 1
        for reason, cells in counted.items():
            named = ", ".join(f"`{cell}` ({count})" for cell, count in cells.items())
            total = cells.total()
            yield f"{self.path}: {total} run{'s are' if total > 1 else ' is'} not carried, since {reason}: {named}"

    def _reason(self, place: Place, known: Container[Place]) -> str:
        if self.dated:
            return "the file is of an earlier version, which wrote no settings"
        if place not in known:
            return "the claim no longer has the cell or the seed"
        if not self.runs[place]["settings"]:
            return "the file does not say of which settings"
        return "settings changed: the claim, a default, the data or a plug-in"


def read_published(path: Path, columns: Sequence[Column]) -> Published:
    """The runs of a published table; none if there is no file.

    Args:
        path: the CSV file.
        columns: the columns that the claim asks for.

    Raises:
        ConfigError: if the file was damaged or edited, with the line.
    """
    if not path.exists():
        return Published(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            numbered = [(reader.line_num, values) for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV: {error}; {_ADVICE}") from error
    names = numbered[0][1] if numbered else []
    dated = "settings" not in names
    if lost := [name for name in (_OF_ALL if dated else heading(())) if name not in names]:
        raise ConfigError(f"{path}, line 1: the columns {', '.join(lost)} are missing; {_ADVICE}")
    cells: dict[str, dict[int, _Line]] = {}
    for number, values in numbered[1:]:
        line = _Line(path, number, names, values)
        if line.of_run:
            of_cell = cells.setdefault(line.values["cell"], {})
            if line.seed in of_cell:
                raise line.wrong(f"`{line.values['cell']}` has seed {line.seed} twice")
            of_cell[line.seed] = line
    runs = {
        (cell, seed): run for cell, lines in cells.items() for seed, run in _runs(list(lines.values()), columns, dated)
    }
    lacks = [column.name for column in columns if column.of_run and column.name not in names]
    return Published(path, runs, lacks, dated)


class _Line:
    """A line of the file."""

    def __init__(self, path: Path, number: int, names: Sequence[str], values: Sequence[str]) -> None:
        self._where = f"{path}, line {number}"
        if len(values) != len(names):
            raise self.wrong(f"expected {len(names)} values, got {len(values)}")
        self.values = dict(zip(names, values, strict=True))
        if not _SETTINGS.fullmatch(settings := self.values.get("settings", "")):
            raise self.wrong(f"settings: expected 12 characters of 0 to 9 and a to f, or none, got `{settings}`")
        if settings and not self.values["code"]:
            raise self.wrong("code: expected a version, got nothing")

    def wrong(self, what: str) -> ConfigError:
        """What is wrong with the line."""
        return ConfigError(f"{self._where}: {what}; {_ADVICE}")

    @property
    def of_run(self) -> bool:
        """Whether it is that of a run; a cell without runs has a line, too."""
        return bool(self.values["seed"] or self.values["accuracy"])

    @property
    def seed(self) -> int:
        """The seed."""
        if not (seed := self.values["seed"]).isdecimal():
            raise self.wrong(f"seed: expected a whole number, got `{seed}`")
        return int(seed)

    @property
    def accuracy(self) -> float | None:
        """The final accuracy; None for a run that did not finish."""
        accuracy = self.number("accuracy")
        if accuracy is not None and not 0.0 <= accuracy <= 1.0:
            raise self.wrong(f"accuracy: expected a number from 0 to 1, got {accuracy}")
        return accuracy

    def number(self, name: str) -> float | None:
        """The number in a column, whole if it is written so; None if there is none."""
        text = self.values.get(name, "")
        try:
            return int(text) if text.isdecimal() else float(text) if text else None
        except ValueError:
            raise self.wrong(f"{name}: expected a number, got `{text}`") from None


def _runs(lines: Sequence[_Line], columns: Sequence[Column], dated: bool) -> Iterator[tuple[int, Run]]:
    """Seed and run of each line of a cell that has a result."""
    finished = [line for line in lines if line.accuracy is not None]
    if not dated:
        _check_mean(finished)
    means = {name: _mean_of_the_others(finished, name) for name in MEANS}
    for line in lines:
        own = {name: line.number(of_its_own(name)) for name in MEANS}
        of_cell = [name for name, value in own.items() if value is None]
        numbers = {name: line.number(name) for name in (column.name for column in (*CSV, *columns))}
        told = numbers | own | {name: means[name] for name in of_cell} | {"accuracy": line.accuracy}
        diverged = line.accuracy is None and bool(numbers.get("diverged"))
        if line.accuracy is not None or diverged:
            yield (
                line.seed,
                {
                    "seed": line.seed,
                    "status": "FAILED" if diverged else "FINISHED",
                    "accuracy": line.accuracy,
                    "diverged": diverged,
                    "code": line.values.get("code", ""),
                    "settings": line.values.get("settings", ""),
                    TOLD: told,
                    OF_CELL: of_cell,
                },
            )


def _check_mean(finished: Sequence[_Line]) -> None:
    """Refuse accuracies that are not those of which the file has the mean."""
    if not finished:
        return
    accuracies = [line.accuracy or 0.0 for line in finished]
    mean = sum(accuracies) / len(accuracies)
    for line in finished:
        written = line.number("mean")
        if written is None or abs(written - mean) > _SAME:
            cell = line.values["cell"]
            raise line.wrong(f"mean: expected that of the accuracies of `{cell}`, {mean}, got {written}")


def _mean_of_the_others(finished: Sequence[_Line], name: str) -> float | None:
    """The mean of a number over the runs of a cell that have none of their own, from that of all."""
    mean = finished[0].number(name) if finished else None
    known = [own for line in finished if (own := line.number(of_its_own(name))) is not None]
    others = len(finished) - len(known)
    if mean is None or not known or not others:
        return mean
    return (len(finished) * mean - sum(known)) / others
