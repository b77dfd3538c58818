"""The whole configuration: its sections, how to make one from plain values, and what it refuses.

The specs hold neutral values, `configs/` holds tuned ones. Nothing here reads files or imports torch.
"""

import dataclasses
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from clep import parts
from clep.checks import one_of, problem, repeats, unknown
from clep.datasets import names
from clep.errors import ConfigError, within
from clep.renames import renamed
from clep.specs.learner import LearnerSpec
from clep.specs.network import NetworkSection
from clep.specs.options import Spec, hints_of, option
from clep.specs.refusals import Setup, idle, refuse
from clep.specs.stream import StreamSpec

T = TypeVar("T")


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)


ALONE = {"naive", "joint"}  # the references: these cannot be combined with other strategies
_CELLS = "naive awake_rehearsal sleep_replay awake_rehearsal+sleep_replay neuronal_adaptation"
_CELLS += " neuronal_adaptation+sleep_replay joint"
CONTROLS = ("naive", "joint", "class_means", "slda", "ridge")
"""The usual controls of a comparison."""


def named_controls(given: Any) -> Any:
    """Controls as a list, also where they are given as one name, or as `none`; anything else is left as it is.

    Args:
        given: as in a configuration or a claim.

    Example:
        >>> named_controls("none"), named_controls("ridge"), named_controls(["joint", "ridge"])
        ([], ['ridge'], ['joint', 'ridge'])
    """
    if not isinstance(given, str) or "${" in given:
        return given
    return [] if given == "none" else [given]


NOT_OF_A_RESULT = frozenset(
    {
        "data",
        "tracking",
        "workers",
        "engine",
        "population",
        "seeds",
        "cells",
        "controls",
        "grid",
        "baseline",
        "tune",
        "checkpoint",
    }
    | {"metrics", "metric", "columns"}
)
"""Keys that no result of a run depends on."""

AS_BEFORE = {"learner.conv_lr_scale": "1.0", "strategy.orthogonal.protects": "samples"}
"""Keys that are newer than tables in `docs/results` -> the value with which everything is as it was without them.

A key that is added to the configuration, or to a strategy, has a row here (`"learner.new": "False"`,
`"strategy.dreams.new": "1"`), so that the runs of these tables can still be carried; see `clep.build.settings`.
"""


@dataclass(frozen=True)
class DataSection(Spec):
    """Where data sets are stored."""

    root: str | None = option(None, "folder of the image files; null for the user's cache directory")
    download: bool = option(True, "whether missing files may be downloaded")


@dataclass(frozen=True)
class TrackingSection(Spec):
    """Where MLflow records."""

    uri: str | None = option(
        None, "MLflow store; null for MLFLOW_TRACKING_URI, or else an SQLite file in the working directory"
    )
    experiment: str | None = option(None, "MLflow experiment; null for MLFLOW_EXPERIMENT_NAME, or else `clep`")
    name: str | None = option(
        None, "name of the run or the comparison; null for MLFLOW_RUN_NAME, or else one that says it"
    )
    register: str | None = option(None, "registered model that the learner becomes the newest version of")
    tags: dict[str, Any] = option({}, "more tags for every run, as in tracking.tags.project=thesis")
    note: str = option("", "text above the description of the run or the comparison")
    reuse: Literal["same", "any_code"] = option(
        "same",
        "which stored results count as done where a command goes on: those of the `same` data, plug-ins and code of "
        "clep, or with `any_code` also those of another version or commit of clep",
    )


@dataclass(frozen=True)
class CheckpointSection(Spec):
    """What a run keeps on disk to go on after it was stopped: in `clep-state` beside an SQLite store."""

    every_minutes: float | None = option(
        5.0,
        "minutes between checkpoints within an experience, at the start of an epoch; null for none. There is "
        "always one after each experience that takes longer than writing it",
        "[0, inf)",
    )
    keep: Literal["latest", "all", "none"] = option(
        "latest",
        "`latest`, the last two, until the run has finished; `all`, one for each experience, also of finished runs, "
        "so that `clep fork` need not train again; `none` writes none",
    )


@dataclass(frozen=True)
class TrainerSection(Spec):
    """One learner on several devices."""

    devices: int = option(
        1, "processes that train the learner together, each on a CPU thread or a GPU of its own", "[1, 1024]"
    )
    strategy: Literal["ddp"] = option(
        "ddp", "how they share the work: with `ddp` each has the whole network, and a part of every batch"
    )


@dataclass(frozen=True)
class EngineSection(Spec):
    """What runs the cells of a comparison or a claim, and the seeds of a trial."""

    name: Literal["local", "ray"] = option(
        "local", "`local`, processes on this machine (`workers`), or `ray`, tasks of a Ray cluster (the extra `ray`)"
    )
    address: str | None = option(
        None, "Ray cluster, as in ray://head:10001 or auto; null starts one on this machine with room for `workers`"
    )
    cpus: float = option(1.0, "CPUs that each task reserves; `threads` is how many it uses", "(0, inf)")
    gpus: float = option(0.0, "GPUs that each task reserves; 0.25 puts four on one", "[0, inf)")
    retries: int = option(1, "how often a task is started again if its process or its node is lost", "[0, inf)")


@dataclass(frozen=True)
class TuneSection(Spec):
    """The search of `clep tune`, on validation data."""

    trials: int = option(40, "number of trials", "[1, inf)")
    seeds: list[int] = option([100, 101, 102], "seeds of each trial; keep them out of reports", "[0, inf)")
    space: dict[str, Any] = option({}, "more keys to search, as in {learner.lr: {low: 0.001, high: 0.1, log: true}}")
    storage: str | None = option(None, "Optuna's store; null for optuna.db next to MLflow's")


@dataclass(frozen=True)
class Config(Spec):
    """Everything that a pipeline reads; the fields are the keys of the YAML."""

    stream: StreamSpec = option(StreamSpec(), "the data set and its experiences")
    network: NetworkSection = option(NetworkSection(), "the network between the inputs and the classes of the stream")
    learner: LearnerSpec = option(LearnerSpec(), "gradient, optimiser and length of training")
    strategies: list[str] = option(
        [], "the set of strategies to train with, as in [awake_rehearsal,sleep_replay]; [] means [naive]"
    )
    strategy: dict[str, dict[str, Any]] = option({}, "parameters of each strategy, by its name")
    metrics: list[str] = option(
        [], "further numbers of a run, computed at its end: names of `clep list metrics`, or import paths"
    )
    metric: dict[str, dict[str, Any]] = option({}, "parameters of each of these metrics, by its name")
    columns: list[str] = option(
        [],
        "more columns for the table of `clep compare`: metrics, what a strategy logs (`dream/hits`), and the columns "
        "of claims",
    )
    seed: int = option(0, "seed for everything random in a run", "[0, inf)")
    device: Literal["auto", "cpu", "cuda"] = option("auto", "where tensors live; `auto` uses a GPU if there is one")
    threads: int = option(1, "threads of torch in each run", "[1, 1024]")
    trainer: TrainerSection = option(TrainerSection(), "one learner on several devices")
    data: DataSection = option(DataSection(), "where data sets are stored")
    tracking: TrackingSection = option(TrackingSection(), "where MLflow records")
    checkpoint: CheckpointSection = option(CheckpointSection(), "what a run keeps on disk to go on")
    cells: list[Any] = option(
        [cell.split("+") for cell in _CELLS.split()],
        "what `clep compare` compares, one row each: sets of strategies, or {label: ..., set: [key=value, ...]}",
    )
    controls: list[str] = option(
        list(CONTROLS),
        "strategies that `clep compare` adds as cells of their own where they are missing, so that every table has "
        "them; `none` leaves them out",
    )
    grid: Any = option(
        {}, "axes and their alternatives, as in {network: [ep, hts_ep]}; every combination is a cell of `clep compare`"
    )
    baseline: str = option("", "label of the cell that the others are compared with; empty for the best one")
    seeds: list[int] = option([0, 1, 2], "seeds for each cell of `clep compare`", "[0, inf)")
    workers: int = option(
        2, "number of processes that run cells or trials in parallel; 0 runs them in this one, one by one", "[0, inf)"
    )
    engine: EngineSection = option(EngineSection(), "what runs cells and trials")
    population: Literal["auto", "off"] = option(
        "off",
        "`auto`: `clep compare` trains runs of one architecture in one pass, as one batched network; faster, and equal "
        "to runs of their own up to rounding. Cells that cannot join run alone, and are named. `clep tune` likewise "
        "trains several trials, with all of their seeds, in one pass",
    )
    tune: TuneSection = option(TuneSection(), "the search of `clep tune`")


def construct(kind: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Make a spec from plain values; missing values take their defaults.

    Args:
        kind: class of the spec.
        values: plain values by name, sections as mappings.
        path: path of the spec in the configuration, for messages.

    Raises:
        ConfigError: for a value of the wrong type or out of range; the message begins with its path.
    """
    hints, made = hints_of(kind), {}
    for name, value in values.items():
        hint = hints[name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            made[name] = construct(hint, value, f"{path}.{name}".lstrip("."))
        else:
            made[name] = _as_meant(_as_floats(value, hint), hint)
    if not path:
        return kind(**made)
    with within(path):
        return kind(**made)


def _as_meant(value: Any, kind: Any) -> Any:
    """The word `off` where it is one of the values: YAML reads it as false."""
    return "off" if value is False and "off" in get_args(kind) else value


def _as_floats(value: Any, kind: Any) -> Any:
    """Integers become floats if numbers are expected, so that 1 and 1.0 are the same configuration."""
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if float in options and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if list[float] in options and isinstance(value, list):
        return [_as_floats(entry, float) for entry in value]
    return value


def misfits(value: Any, kind: Any = Config, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each part of a layer's plain `value` that does not fit the type `kind`, and why.

    Values with `${...}` are checked once they are resolved.
    """
    if isinstance(value, str) and "${" in value:
        return
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = hints_of(kind)
        for name, part in value.items():
            path = f"{key}.{name}".lstrip(".")
            if name in hints:
                yield from misfits(part, hints[name], path)
            else:
                yield _unknown_key(path, str(name), part, hints)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield key, f"expected a mapping with keys of {', '.join(hints_of(kind))}, got {value!r}"
    elif kind == dict[str, dict[str, Any]]:
        yield from _misfits_of_parts(value, key)
    elif get_origin(kind) is list and isinstance(value, list):
        for i, entry in enumerate(value):
            yield from misfits(entry, get_args(kind)[0], f"{key}[{i}]")
    elif not _holds_interpolation(value) and (found := problem(_as_meant(value, kind), kind)) is not None:
        yield key, found


_EXAMPLES = {
    "strategy": "parameters by the name of a strategy, as in strategy.ewc.ewc_lambda=1 (`strategies` selects them)",
    "metric": "parameters by the name of a metric, as in metric.max_forgetting.i=1 (`metrics` selects them)",
}


def _misfits_of_parts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield key, f"expected {_EXAMPLES[key]}, got {value!r}"
        return
    for name, part in value.items():
        if not isinstance(name, str):
            yield key, f"expected the name of a {key}, got {name!r}"
        elif not (isinstance(part, Mapping) or _holds_interpolation([part])):
            yield f"{key}.{name}", f"expected a mapping of parameters to values, got {part!r}"
        elif isinstance(part, Mapping) and (wrong := [inner for inner in part if not isinstance(inner, str)]):
            yield f"{key}.{name}", f"expected names of parameters, got {wrong[0]!r}"


def _holds_interpolation(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any((isinstance(part, str) and "${" in part) or _holds_interpolation(part) for part in parts)


def _unknown_key(path: str, name: str, value: Any, siblings: Iterable[str]) -> tuple[str, str]:
    """Return the full path of an unknown key and a message; suggests the same name elsewhere in the schema first."""
    elsewhere = next((known for known in key_paths() if known.rpartition(".")[2] == name), None)
    while isinstance(value, dict) and len(value) == 1:
        [(part, value)] = value.items()
        path = f"{path}.{part}"
    return path, unknown(name, siblings, "key", nearest=elsewhere)


def key_paths(schema: Any = Config, prefix: str = "") -> list[str]:
    """The path of every key of a configuration, sections included."""
    paths: list[str] = []
    for name, kind in hints_of(schema).items():
        paths.append(prefix + name)
        if dataclasses.is_dataclass(kind):
            paths += key_paths(kind, f"{prefix}{name}.")
    return paths


def is_key(path: str) -> bool:
    """Whether a path is that of a key, or lies within one that holds any names, such as the options of a part.

    Args:
        path: of a key.

    Example:
        >>> is_key("network.options.width"), is_key("network.optoins.width")
        (True, False)
    """
    return path in key_paths() or any(path.startswith(f"{name}.") for name in _open_keys())


def _open_keys(schema: Any = Config, prefix: str = "") -> Iterator[str]:
    for name, kind in hints_of(schema).items():
        if dataclasses.is_dataclass(kind):
            yield from _open_keys(kind, f"{prefix}{name}.")
        elif get_origin(kind) is dict:
            yield prefix + name


def parts_of(key: str) -> list[str]:
    """Split a key path at its dots, except within an import path: `strategy.package.module:Class.steps` has 3 parts.

    The name of a grid's axis is one part, as in `grid.learner.lr`.
    """
    if key.startswith("grid."):
        return key.split(".", 1)
    return re.split(r"(?<=^strategy)\.|(?<=^metric)\.|\.(?![^:]*:)", key)


def meaning(path: str) -> str:
    """What a key means, in the words of its option.

    Args:
        path: of a key, sections included.

    Raises:
        ConfigError: for an unknown key, with the nearest one.

    Example:
        >>> meaning("learner.batch_size")
        'samples per batch'
    """
    kind: Any = Config
    text = ""
    for name in path.split("."):
        is_section = isinstance(kind, type) and issubclass(kind, Spec)
        options = {field.name: field for field in kind.declared()} if is_section else {}
        one_of(path, name, options, "key")
        kind, text = hints_of(kind)[name], options[name].metadata["meaning"]
    return text


def label(strategies: Sequence[str]) -> str:
    """Return the name of a strategy set in tables, tags and plots."""
    return "+".join(strategies) or "naive"


def label_of(cell: Any) -> str:
    """The label of a cell as a configuration keeps it; see `clep.cells`."""
    return label(cell) if isinstance(cell, list) else str(cell["label"])


def check(config: Config) -> None:
    """Refuse values that make no sense together.

    Raises:
        ConfigError: with the path of a key, the reason, and what to set instead.
    """
    with within("stream"):
        names.check(config.stream.name, config.stream.path)
        parts.check_name("stream", config.stream.scenario, "scenario")
    for section, part in _parts(config):
        with within(section):
            refuse(part, _setup(config))
    for name in config.metrics:
        parts.check_name("metric", name)
    for name in config.metric:
        one_of("metric", name, {*config.metrics, *config.columns}, "metric")
    if config.columns:
        from clep.columns import check_names  # which needs NumPy

        check_names(config.columns)
    _check_set("strategies", config.strategies)
    for i, cell in enumerate(config.cells):
        _check_set(f"cells[{i}]", cell if isinstance(cell, list) else cell.get("strategies") or [])
    repeats("controls", config.controls)
    lists: dict[str, list[Any]] = {"cells": [label_of(cell) for cell in config.cells], "seeds": config.seeds}
    lists["tune.seeds"] = config.tune.seeds
    for key, entries in lists.items():
        if not entries:
            raise ConfigError(f"{key}: expected at least one entry, got []")
        repeats(key, entries)


def unused(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the path of every option that changes nothing in a configuration, and why; see `clep.specs.idle`."""
    for _, part in _parts(config):
        yield from idle(part, _setup(config))


def _setup(config: Config) -> Setup:
    network = config.network
    layers = len(network.channels) + len(network.hidden) + 1
    return Setup(network, network.convolutions, config.learner, layers)


def _parts(config: Config) -> list[tuple[str, str]]:
    """(section, part of the table of refusals) of what the configuration describes."""
    if config.network.model == "equilibrium":
        return [("network", "network"), ("learner", "gradient"), ("learner", "learner"), ("learner", "optimization")]
    part = "feedforward" if config.network.model == "feedforward" else "module"
    return [("network", part), ("learner", "autograd"), ("learner", "optimization")]


def _check_set(key: str, names: Sequence[str]) -> None:
    repeats(key, names)
    for name in names if len(names) > 1 else []:
        if name in ALONE:
            raise ConfigError(f"{key}: `{name}` stands alone, got {'+'.join(names)}; remove `{name}` or the others")
