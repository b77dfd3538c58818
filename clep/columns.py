"""Columns of tables, for `clep compare`, claims and CSV files: a number of a cell, and how to write it.

A `Column` is a function of a `Row`, and a row is a cell with the runs of its seeds. To add a column to the table of
`clep compare`, append it to `COMPARISON`, and `--json` has it too; to make it available to claims, add it to `COLUMNS`.
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clep import computed, parts
from clep.checks import one_of, repeats
from clep.errors import ConfigError, UnusedWarning
from clep.imports import is_import_path
from clep.metrics import mean_std

LAST_EPOCHS = 5
_LABEL_BYTES, _VALUE_BYTES = 8, 4  # of a stored sample
_EPOCHS = "learner.evaluate_epochs"

Run = Mapping[str, Any]
"""A run as `Result.to_json` gives it, or as a table tells of it.

A run that a table tells of has under `TOLD` its numbers by the names of their columns, and under `OF_CELL` the names of
those of which the table has only the mean over the cell: they stand for the run, so that the mean comes out as it was.
A run of a claim's table has also its `code` and its `settings`.
"""
TOLD, OF_CELL = "told", "of_cell"

Number = Callable[[Run], Any]


@dataclass(frozen=True)
class Row:
    """A cell of a comparison and the runs of its seeds.

    Attributes:
        label: name of the cell.
        runs: one per seed, including runs whose training diverged.
        published: the number in a paper, as a fraction, if one is known.
        source: where that number comes from.
        note: if the cell was not run, why.
        at: labels of the cell on the axes of its grid; empty if it does not come from one.

    Example:
        >>> row = Row("naive", [{"status": "FINISHED", "seed": 0, "accuracy": 0.25}])
        >>> row.by_seed, row.status
        ({0: 0.25}, 'FINISHED')
    """

    label: str
    runs: Sequence[Run]
    published: float | None = None
    source: str = ""
    note: str = ""
    at: tuple[str, ...] = ()

    @property
    def finished(self) -> list[Run]:
        """The runs that have a final accuracy."""
        return [run for run in self.runs if run["status"] == "FINISHED" and run["accuracy"] is not None]

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed -> final accuracy, of the runs that finished."""
        return {run["seed"]: run["accuracy"] for run in self.finished}

    @property
    def status(self) -> str:
        """`FINISHED`, or the first other status of a run."""
        return next((run["status"] for run in self.runs if run["status"] != "FINISHED"), "FINISHED")

    @property
    def remark(self) -> str:
        """Why accuracies are missing; empty if all are there."""
        diverged = sum(bool(run.get("diverged")) for run in self.runs)
        failed = len(self.runs) - len(self.finished) - diverged
        counted = [f"{n} {what}" for n, what in ((failed, "failed"), (diverged, "diverged")) if n]
        return self.note or ", ".join(counted) or ("" if self.finished else "not run")

    def over_seeds(self, of_run: Callable[[Run], float | None]) -> dict[str, Any]:
        """`mean`, `std` (ddof 1) and `n` of a number over the runs that finished; runs without that number do not
        count."""
        return mean_std(of_run(run) for run in self.finished)


@dataclass(frozen=True)
class Column:
    """A number of a cell.

    Attributes:
        name: its name in claims and in JSON, and its heading in CSV files.
        title: its heading in tables; empty to leave it out of them.
        of_cell: its value, None if it is undefined.
        form: format specification of the value.
        write: replaces `form` to write more than the value, e.g. a standard deviation beside it.
        detail: replaces the value in JSON, for the same purpose.
        of_run: its value in one run, if it has one.
        higher_is_better: whether the higher of two values is better.
        needs: the key of the configuration that switches its measurement on.

    Example:
        >>> from clep.columns import Row
        >>> column = Column("runs", "finished runs", lambda row: len(row.finished), form="d")
        >>> column.text(Row("naive", [{"status": "FINISHED", "seed": 0, "accuracy": 0.25}]))
        '1'
    """

    name: str
    title: str
    of_cell: Callable[[Row], Any]
    form: str = ".4f"
    write: Callable[[Row], str] | None = None
    detail: Callable[[Row], Any] | None = None
    of_run: Callable[[Run], float | None] | None = None
    higher_is_better: bool = False
    needs: str = ""

    def text(self, row: Row) -> str:
        """The column's entry in the row of a table.

        Example:
            >>> from clep.columns import COLUMNS, Row
            >>> row = Row("naive", [{"status": "FINISHED", "seed": 0, "accuracy": 0.25}])
            >>> COLUMNS["worst"].text(row), COLUMNS["residual"].text(row)
            ('0.250', '-')
        """
        return self.write(row) if self.write else self.format(self.of_cell(row))

    def json(self, row: Row) -> Any:
        """The column's entry in JSON, as plain containers.

        Example:
            >>> from clep.columns import COLUMNS, Row
            >>> COLUMNS["worst"].json(Row("naive", [{"status": "FINISHED", "seed": 0, "accuracy": 0.25}]))
            0.25
        """
        return self.detail(row) if self.detail else self.of_cell(row)

    def format(self, value: float | None) -> str:
        """A value as the table shows it, `-` for None."""
        return "-" if value is None else format(value, self.form)


def told(name: str) -> Callable[[Number], Number]:
    """Make a number of a run that of the table which tells of the run, if one does.

    Args:
        name: of the number's column.

    Example:
        >>> from clep.columns import TOLD
        >>> @told("epochs")
        ... def epochs(run):
        ...     return len(run["accuracy_epochs"])
        >>> epochs({"accuracy_epochs": [0.5, 0.75]}), epochs({TOLD: {"epochs": 3}})
        (2, 3)
    """

    def decorated(of_run: Number) -> Number:
        @functools.wraps(of_run)
        def number(run: Run) -> Any:
            return run[TOLD].get(name) if TOLD in run else of_run(run)

        return number

    return decorated


def of(key: str) -> Callable[[Run], float | None]:
    """A function that reads a number of a run; it returns None if the run did not measure it.

    Args:
        key: name of a field of `Result`.

    Example:
        >>> of("residual")({"status": "FINISHED", "residual": 0.01})
        0.01
    """
    return told(key)(lambda run: run.get(key))


def mean(of_run: Callable[[Run], float | None]) -> Callable[[Row], float | None]:
    """The mean over the seeds that finished.

    Args:
        of_run: the number of a run.

    Example:
        >>> from clep.columns import Row, of
        >>> runs = [{"status": "FINISHED", "seed": i, "accuracy": 0.2, "residual": i} for i in (1, 3)]
        >>> mean(of("residual"))(Row("naive", runs))
        2.0
    """
    return lambda row: row.over_seeds(of_run)["mean"]


def total(of_run: Callable[[Run], float | None]) -> Callable[[Row], float | None]:
    """The sum over all runs; None without any.

    Args:
        of_run: the number of a run.

    Example:
        >>> from clep.columns import Row, of
        >>> runs = [{"status": "FINISHED", "seed": i, "accuracy": 0.2, "residual": i} for i in (1, 3)]
        >>> total(of("residual"))(Row("naive", runs))
        4.0
    """
    return lambda row: float(sum(of_run(run) or 0.0 for run in row.runs)) if row.runs else None


def plus_minus(over_seeds: Mapping[str, Any], sign: str) -> str:
    """A mean and its standard deviation as text.

    Args:
        over_seeds: `mean` and `std`, either may be None.
        sign: what to write between the two, spaces included.

    Example:
        >>> from clep.metrics import mean_std
        >>> plus_minus(mean_std([0.1, 0.3]), " ± "), plus_minus(mean_std([0.2]), "+-"), plus_minus(mean_std([]), "+-")
        ('0.200 ± 0.141', '0.200', '-')
    """
    if over_seeds["mean"] is None:
        return "-"
    return f"{over_seeds['mean']:.3f}" + ("" if over_seeds["std"] is None else f"{sign}{over_seeds['std']:.3f}")


def std(row: Row) -> float | None:
    """Standard deviation (ddof 1) of the final accuracy over the seeds that finished; None for fewer than two.

    Args:
        row: a cell and its runs.

    Example:
        >>> from clep.columns import Row
        >>> runs = [{"status": "FINISHED", "seed": i, "accuracy": i / 4} for i in (1, 3)]
        >>> round(std(Row("naive", runs)), 4)
        0.3536
    """
    return row.over_seeds(of("accuracy"))["std"]


def worst(row: Row) -> float | None:
    """Lowest final accuracy of any seed; a run that diverged counts as 0.

    Args:
        row: a cell and its runs.

    Example:
        >>> from clep.columns import Row
        >>> runs = [{"status": "FINISHED", "seed": i, "accuracy": i / 4} for i in (1, 3)]
        >>> round(worst(Row("naive", runs)), 4)
        0.25
    """
    accuracies = [0.0 if run.get("diverged") else run["accuracy"] for run in row.runs]
    return min((value for value in accuracies if value is not None), default=None)


@told("std_last_epochs")
def std_last_epochs(run: Run) -> float | None:
    """Standard deviation (ddof 1) of the accuracy after each of the last `LAST_EPOCHS` epochs, or of all if fewer.

    It includes the trend of a run that is still improving, so it measures stability only once training has levelled
    out.

    Args:
        run: one run of a cell.

    Example:
        >>> std_last_epochs({"status": "FINISHED", "accuracy_epochs": [0.5, 0.5, 0.5]})
        0.0
    """
    return mean_std((run.get("accuracy_epochs") or [])[-LAST_EPOCHS:])["std"]


@told("oscillated")
def oscillated(run: Run) -> float | None:
    """1 if the free phase of any training batch did not settle, else 0; None for a run that did not finish.

    Args:
        run: one run of a cell.

    Example:
        >>> oscillated({"status": "FINISHED", "unsettled": 0.02})
        1.0
    """
    share = run.get("unsettled")
    return None if share is None else float(share > 0.0)


@told("accuracy_of_means")
def accuracy_of_means(run: Run) -> float | None:
    """Final accuracy if the answer were the nearest class mean of hidden states; None if it was not measured.

    Args:
        run: one run of a cell.

    Example:
        >>> accuracy_of_means({"status": "FINISHED", "accuracy_of_means": [1.0, 0.75]})
        0.75
    """
    return (run.get("accuracy_of_means") or [None])[-1]


def diverged(run: Run) -> float:
    """1 if training ended in a `DivergenceError`, else 0.

    Args:
        run: one run of a cell.

    Example:
        >>> diverged({"status": "FAILED", "diverged": True})
        1.0
    """
    return float(bool(run.get("diverged")))


def bytes_kept(row: Row) -> int | None:
    """Bytes of exemplars and statistics kept of the past when the run ended, in the first seed; None if not recorded.

    Args:
        row: a cell and its runs.
    """
    return bytes_of(row.finished[0]) if row.finished else None


@told("bytes")
def bytes_of(run: Run) -> int | None:
    """Bytes of exemplars and statistics kept of the past when a run ended; None if not recorded.

    Args:
        run: one run of a cell.

    Example:
        >>> bytes_of({"memory": {"exemplars": 1, "exemplar_bytes": 256, "statistics_bytes": 8}})
        264
    """
    memory = run.get("memory")
    return memory.get("exemplar_bytes", 0) + memory.get("statistics_bytes", 0) if memory else None


@told("bytes_in_8_bits")
def bytes_in_8_bits(run: Run) -> int | None:
    """The same if a stored sample took a byte for each of its values, as images do in a file.

    A run keeps samples as 32-bit numbers, so that training need not convert them. They are counted with a byte for the
    label; statistics count as they are.

    Args:
        run: one run of a cell.

    Example:
        >>> bytes_in_8_bits({"memory": {"exemplars": 2, "exemplar_bytes": 2 * (784 * 4 + 8), "statistics_bytes": 8}})
        1578
    """
    memory = run.get("memory")
    if not memory:
        return None
    count = memory.get("exemplars", 0)
    values = (memory.get("exemplar_bytes", 0) - _LABEL_BYTES * count) // _VALUE_BYTES
    return int(values + count + memory.get("statistics_bytes", 0))


def _bytes(row: Row) -> str:
    return "-" if (kept := bytes_kept(row)) is None else f"{kept:,}".replace(",", " ")


def in_bytes(count: int | None) -> str:
    """A number of bytes for readers, in at most 7 characters; `-` for None.

    Args:
        count: the number.

    Example:
        >>> in_bytes(0), in_bytes(296), in_bytes(25_600), in_bytes(1_254_400)
        ('0', '296 B', '25.6 kB', '1.3 MB')
    """
    if count is None:
        return "-"
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}" if count >= 100 * size else f"{count / size:.1f} {unit}"
    return f"{count} B" if count else "0"


def _each_seed(row: Row) -> str:
    return " ".join(f"{value:.3f}" for value in row.by_seed.values()) or row.remark


def _published(row: Row) -> str:
    number = "-" if row.published is None else f"{row.published:.3f}"
    return number + (f" ({row.source})" if row.source else "")


def _accuracy(row: Row) -> str:
    return plus_minus(row.over_seeds(of("accuracy")), " ± ")


def _accuracy_or_remark(row: Row) -> str:
    return _accuracy(row) if row.finished else row.remark


def _over_seeds(key: str, title: str = "", *, spread: bool = False) -> Column:
    return Column(
        key,
        title,
        mean(of(key)),
        ".3f",
        write=(lambda row: plus_minus(row.over_seeds(of(key)), "+-")) if spread else None,
        detail=lambda row: row.over_seeds(of(key)),
        of_run=of(key),
    )


def _by_run(key: str, title: str, *, higher_is_better: bool = False) -> Column:
    return Column(key, title, mean(of(key)), ".3f", of_run=of(key), higher_is_better=higher_is_better)


COMPARISON = (
    _over_seeds("forgetting_since_training", "forgetting", spread=True),
    _over_seeds("forgetting", "Aval."),
    _over_seeds("accuracy", "accuracy", spread=True),
    _over_seeds("learned_in_training", "learned"),
    Column("bytes", "kept", bytes_kept, write=lambda row: in_bytes(bytes_kept(row))),
    Column("status", "n", lambda row: row.status, write=lambda row: str(len(row.finished))),
    _over_seeds("updates"),
    _over_seeds("backward_transfer"),
    _over_seeds("learned_accuracy"),
)
"""Columns of `clep compare`, after the cell's name, in its table and in its JSON; those without a title are only in
JSON. `clep run` prints those of a single run. `status` says in JSON how the runs ended, in the table how many count.
"""

LEGEND = (
    "forgetting: of what training taught; Aval.: of what was left after consolidation, as Avalanche counts it; "
    "kept: of the past; n: seeds; +-: standard deviation"
)
"""What the titles of the table mean."""

_STD = Column("std", "std over seeds", std)
_FORGETTING = Column("forgetting", "forgetting", mean(of("forgetting")), ".3f")
_LEARNED = Column("learned_accuracy", "learned", mean(of("learned_accuracy")), ".3f", higher_is_better=True)
_PUBLISHED = Column("published", "published", lambda row: row.published, write=_published)
_BYTES = Column("bytes", "bytes of the past", bytes_kept, write=_bytes)


@told("seconds")
def _seconds(run: Run) -> float | None:
    return (run.get("seconds") or {}).get("total")


SECONDS = Column("seconds", "seconds", mean(_seconds), ".0f")

CLAIM = (
    Column("accuracy", "accuracy", mean(of("accuracy")), write=_accuracy),
    Column("each_seed", "each seed", lambda row: list(row.by_seed.values()), write=_each_seed),
    _FORGETTING,
    _LEARNED,
    _PUBLISHED,
    _BYTES,
    SECONDS,
)
"""Columns of every claim's table; those it asks for follow."""

ACCURACY_OR_REMARK = Column("accuracy", "accuracy", mean(of("accuracy")), write=_accuracy_or_remark)
"""The accuracy in the table of a grid; it also says why a value is missing, since no other column does."""

CSV = (Column("mean", "mean", mean(of("accuracy"))), _STD, _FORGETTING, _LEARNED, _PUBLISHED, _BYTES, SECONDS)
"""Columns of a claim's CSV file that are about the cell, in full precision."""


def _own(name: str, of_run: Number) -> Number:
    return lambda run: None if name in run.get(OF_CELL, ()) else of_run(run)


MEANS = {"forgetting": of("forgetting"), "learned_accuracy": of("learned_accuracy"), "seconds": _seconds}
"""Columns of `CSV` that are means over runs, and their number in a run; its own column is `of_its_own(name)`."""


def of_its_own(name: str) -> str:
    """The heading of a number of a run, beside that of its mean over the cell.

    Example:
        >>> of_its_own("forgetting")
        'run_forgetting'
    """
    return f"run_{name}"


RUN: dict[str, Number] = {of_its_own(name): _own(name, of_run) for name, of_run in MEANS.items()}
"""Columns of a claim's CSV file that are about the run, beside its seed and accuracy."""
ORIGIN = ("code", "settings")
"""Where a run is from: version and commit, and what it is of apart from code; see `clep.build.settings`."""

COLUMNS = {
    column.name: column
    for column in (
        _STD,
        _by_run("forgetting_since_training", "forgetting since training"),
        _by_run("learned_in_training", "learned in training", higher_is_better=True),
        Column(
            "accuracy_of_means",
            "by hidden means",
            mean(accuracy_of_means),
            ".3f",
            of_run=accuracy_of_means,
            higher_is_better=True,
        ),
        Column("bytes_in_8_bits", "bytes, samples in 8 bits", mean(bytes_in_8_bits), ".0f", of_run=bytes_in_8_bits),
        Column("worst", "worst seed", worst, ".3f", higher_is_better=True),
        Column(
            "std_last_epochs",
            f"std, last {LAST_EPOCHS} epochs",
            mean(std_last_epochs),
            of_run=std_last_epochs,
            needs=_EPOCHS,
        ),
        Column("diverged", "diverged runs", total(diverged), ".0f", of_run=diverged),
        Column("oscillated", "unsettled runs", total(oscillated), ".0f", of_run=oscillated),
        Column("unsettled", "unsettled free phases", mean(of("unsettled")), ".3f", of_run=of("unsettled")),
        Column("residual", "residual at T1", mean(of("residual")), ".1e", of_run=of("residual")),
    )
}
"""The columns a claim can ask for, by name."""


def chosen(names: Sequence[str], options: computed.Options | None = None) -> tuple[Column, ...]:
    """The columns of these names.

    Args:
        names: keys of `COLUMNS`, metrics, and names under which strategies log.
        options: parameters of metrics by their names.

    Raises:
        ConfigError: for an unknown name, with the nearest one.

    Example:
        >>> [column.title for column in chosen(["worst", "max_forgetting", "dream/hits"])]
        ['worst seed', 'max_forgetting', 'dream/hits']
    """
    check_names(names)
    return tuple(_chosen(name, options or {}) for name in names)


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are no columns; nothing is imported.

    What a strategy logs is known only when it has run, so every name with a slash may be one.

    Args:
        names: as `chosen` takes them.

    Raises:
        ConfigError: for an unknown name, with the nearest one.

    Example:
        >>> check_names(["wrost"])
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: columns: unknown column `wrost`; did you mean `worst`? Valid columns: ...
    """
    repeats("columns", names)
    for name in names:
        if _is_logged(name):
            continue
        if is_import_path(name):
            parts.check_name("metric", name, "columns")
        else:
            one_of("columns", name, {*COLUMNS, *parts.names("metric")}, "column")


def of_stored(names: Sequence[str], options: computed.Options) -> tuple[Column, ...]:
    """The columns of these names in a stored comparison; one whose metric is not there any more is named and left out.

    Args:
        names: as `chosen` takes them.
        options: parameters of metrics by their names.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     [column.name for column in of_stored(["worst", "gone:metric"], {})]
        ['worst']
    """
    found: list[Column] = []
    for name in names:
        try:
            found += chosen([name], options)
        except ConfigError as error:
            warnings.warn(f"{error}; the table is shown without it", UnusedWarning, stacklevel=2)
    return tuple(found)


def metrics_in(names: Sequence[str]) -> list[str]:
    """Which columns are computed by a metric.

    Args:
        names: as `chosen` takes them.

    Example:
        >>> metrics_in(["worst", "max_forgetting", "dream/hits"])
        ['max_forgetting']
    """
    return [name for name in names if name not in COLUMNS and not _is_logged(name)]


def _is_logged(name: str) -> bool:
    return "/" in name and ":" not in name


def _chosen(name: str, options: computed.Options) -> Column:
    if name in COLUMNS:
        return COLUMNS[name]
    if _is_logged(name):
        return _of_run(name, name, told(name)(functools.partial(_latest, name)))
    return _of_run(name, computed.label(name), told(name)(computed.of_run(name, options)))


def _of_run(name: str, title: str, value: Callable[[Run], float | None]) -> Column:
    return Column(
        name,
        title,
        mean(value),
        ".3f",
        write=lambda row: plus_minus(row.over_seeds(value), "+-"),
        detail=lambda row: row.over_seeds(value),
        of_run=value,
    )


def _latest(name: str, run: Run) -> float | None:
    """What a strategy logged last under a name."""
    values = [value for value in (run.get("logged") or {}).get(name, []) if value is not None]
    return values[-1] if values else None


def check_needs(columns: Sequence[Column], config: Any) -> None:
    """Refuse a configuration whose runs do not measure what the columns need.

    Args:
        columns: the columns.
        config: a `Config`.

    Raises:
        ConfigError: with the key to set.

    Example:
        >>> from clep.columns import COLUMNS
        >>> from clep.config import compose
        >>> check_needs([COLUMNS["std_last_epochs"]], compose())
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: learner.evaluate_epochs: required by the column `std_last_epochs`; set it to true
    """
    for column in columns:
        if column.needs and not functools.reduce(getattr, column.needs.split("."), config):
            raise ConfigError(f"{column.needs}: required by the column `{column.name}`; set it to true")
