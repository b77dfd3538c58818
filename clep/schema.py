"""The schema of a configuration: its keys, their types and defaults, and what makes a value wrong.

Neutral values live here; `configs/` holds tuned ones. Nothing here reads a file or builds an object.
"""

import dataclasses
import difflib
import functools
import re
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

ALONE = {"naive", "joint"}  # the references: strategies that no other can be combined with
_CELLS = "naive awake_rehearsal sleep_replay awake_rehearsal+sleep_replay neuronal_adaptation"
_CELLS += " neuronal_adaptation+sleep_replay joint"


@dataclass(frozen=True)
class StreamConfig:
    """The data set and how it is cut into experiences."""

    name: str = "digits"  # a file of configs/stream/
    experiences: int = 5
    class_order: Any = "shuffled"  # shuffled (by the seed), fixed (0, 1, 2, ...) or the list of classes
    validation_fraction: float = 0.0  # of the training data, never trained on
    samples_per_experience: int | None = None  # null takes them all
    evaluate_on: Literal["test", "validation"] = "test"
    evaluation_samples: int | None = None  # of each experience, the same for every seed; null takes them all
    path: str | None = None  # the file of the npz stream, the folder of the folder stream
    standardize: bool = False  # by statistics of all classes: looks ahead in the stream


@dataclass(frozen=True)
class TimeStepConfig:
    """The time steps dt of the neurons; `mean` is their mean after clipping to [`min`, `max`]."""

    distribution: Literal["scalar", "lognormal", "gamma", "normal", "uniform"] = "lognormal"
    mean: float = 0.6
    spread: float = 0.5
    min: float = 0.05
    max: float = 1.0
    per: Literal["neuron", "layer"] = "neuron"  # layer: one draw for all neurons of a layer


@dataclass(frozen=True)
class DendritesConfig:
    """The branches of every unit."""

    basal: int = 8  # per unit, for what comes from below
    apical: int = 2  # per hidden unit, for what comes from above
    density: float = 0.5  # share of its inputs that a branch keeps
    gain: float = 0.2  # on what comes from above
    apical_dense: bool = False  # whether apical branches keep all inputs


@dataclass(frozen=True)
class NetworkConfig:
    """The equilibrium network between the inputs and the classes of the stream."""

    name: str = "hts_ep"  # a file of configs/network/
    model: Literal["equilibrium", "feedforward"] = "equilibrium"  # feedforward: ordinary layers, backpropagation
    channels: list[int] = field(default_factory=list)  # feature maps of convolutional layers, lowest first
    kernel: list[int] = field(default_factory=lambda: [3])  # of these layers: one value for all, or one each
    stride: list[int] = field(default_factory=lambda: [1])
    padding: list[int] = field(default_factory=lambda: [0])
    pooling: Literal["max", "average", "none"] = "max"
    pool: list[int] = field(default_factory=lambda: [2])
    hidden: list[int] = field(default_factory=lambda: [256])  # units of dense layers, above the convolutional ones
    neuron: str = "hard_sigmoid"
    bias: bool = False
    init: Literal["fan_in", "glorot"] = "fan_in"
    dynamics: Literal["prototypical", "energy"] = "prototypical"
    readout: Literal["state", "linear"] = "state"  # linear: outside the dynamics
    feedback: Literal["tied", "untied"] = "tied"
    feedback_scale: float = 1.0
    rule: Literal["contrast", "vector_field", "predictive"] = "contrast"
    inhibition: float = 0.0  # mean inhibition among the units of a hidden layer
    residual_links: int = 0  # n: a further link from every n-th hidden layer to the one n above it
    dendrites: DendritesConfig | None = None  # null: units without branches
    free_steps: int = 20
    nudged_steps: int = 6
    relaxation: Literal["synchronous", "asynchronous"] = "synchronous"
    tolerance: float = 0.0  # residual at which the free phase stops before free_steps; 0 never does
    precision: Literal["full", "bfloat16"] = "full"  # of relaxation; updates are always in full precision
    firing: Literal["rate", "bernoulli"] = "rate"  # bernoulli: hidden neurons send spikes, states are probabilities
    average_steps: int = 1  # the last steps of each phase of spikes whose mean state counts
    time_step: TimeStepConfig = field(default_factory=TimeStepConfig)


@dataclass(frozen=True)
class LearnerConfig:
    """How equilibrium propagation estimates the gradient, and the optimiser that follows it."""

    nudging: Literal["linear", "cost", "continual", "clamped", "bptt"] = "linear"  # C-EP, CHL, the BPTT twin
    nudge: Literal["inside", "outside"] = "inside"  # of the activation
    phases: Literal["one_sided", "random_sign", "centered", "holomorphic"] = "centered"
    points: int = 4  # betas on the circle of `holomorphic`
    start: Literal["free", "mirrored"] = "free"  # of the second of two centered phases
    beta: float = 0.5
    bptt_steps: int | None = None  # the last free steps that bptt differentiates; null for all
    loss: Literal["mse", "cross_entropy"] = "mse"
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 0.01
    lr_scale: list[float] = field(default_factory=list)  # one factor per layer, lowest first; [] means all 1
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"  # per experience, as `epochs`
    batch_size: int = 32
    epochs: int = 5
    hidden_states: bool = False  # record size and dimensions of hidden states in a free phase after training
    evaluate_epochs: bool = False  # measure accuracy after every epoch too, which costs an evaluation each
    reset_optimizer: bool = True  # its momentum, at each experience; Avalanche keeps it
    gradient_clip: float | None = None  # the largest norm; null clips nothing


@dataclass(frozen=True)
class DataConfig:
    """Where data sets lie; `root: null` is the user's cache directory."""

    root: str | None = None
    download: bool = True


@dataclass(frozen=True)
class TrackingConfig:
    """Where MLflow records; `uri: null` is MLFLOW_TRACKING_URI, else an SQLite store in the working directory."""

    uri: str | None = None
    experiment: str = "clep"


@dataclass(frozen=True)
class TuneConfig:
    """The search of `clep tune`, on validation data."""

    trials: int = 40
    seeds: list[int] = field(default_factory=lambda: [100, 101, 102])  # class orders that no report uses
    space: dict[str, Any] = field(default_factory=dict)  # more keys: {learner.lr: {low: 0.001, high: 0.1, log: true}}
    storage: str | None = None  # of Optuna; null is optuna.db beside MLflow's store


@dataclass(frozen=True)
class Config:
    """Everything that a pipeline reads; the fields are the keys of the YAML."""

    stream: StreamConfig = field(default_factory=StreamConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    strategies: list[str] = field(default_factory=list)  # one composed set; [] means [naive]
    strategy: dict[str, dict[str, Any]] = field(default_factory=dict)  # parameters of each strategy
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    data: DataConfig = field(default_factory=DataConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    cells: list[list[str]] = field(default_factory=lambda: [cell.split("+") for cell in _CELLS.split()])  # of compare
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])  # of compare, for each cell
    workers: int = 2
    tune: TuneConfig = field(default_factory=TuneConfig)


_RANGES = {
    "[1, inf)": "stream.experiences stream.samples_per_experience stream.evaluation_samples network.channels "
    "network.kernel network.stride network.pool network.hidden network.free_steps network.nudged_steps "
    "network.average_steps network.dendrites.basal network.dendrites.apical learner.bptt_steps learner.batch_size "
    "learner.epochs threads workers tune.trials",
    "[0, inf)": "network.padding network.inhibition network.residual_links network.tolerance network.time_step.spread "
    "network.dendrites.gain learner.lr_scale learner.weight_decay seed seeds tune.seeds",
    "(0, inf)": "learner.lr learner.gradient_clip network.feedback_scale",
    "[2, inf)": "learner.points",
    "[0, 1)": "stream.validation_fraction learner.momentum",
    "(0, 1]": "network.time_step.mean network.time_step.min network.time_step.max network.dendrites.density",
    "(-inf, inf)": "learner.beta",
}
_PATHS = {  # stream -> what its path names, and an example
    "npz": ("the file of the npz stream, with x_train, y_train, x_test and y_test", "FILE.npz"),
    "folder": ("the folder of the images, with train/CLASS/IMAGE and test/CLASS/IMAGE", "FOLDER"),
}
_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    list[int]: "a list of integers, as in [2, 1]",
    list[float]: "a list of numbers, as in [1.0, 0.5]",
    list[str]: "a list of names, as in [ewc, sleep_replay]",
    list[list[str]]: "a list of strategy sets, as in [[naive], [ewc, sleep_replay]]",
    dict[str, Any]: "a mapping of parameters to values",
    dict[str, dict[str, Any]]: "parameters, as in strategy.ewc.ewc_lambda=1 (it is `strategies` that selects)",
}


def unknown(name: str, valid: Iterable[str], what: str, *, nearest: str | None = None) -> str:
    """Return "unknown <what> `name`; did you mean `nearest`? Valid <what>s: ..."; by default one of `valid` is near."""
    valid = sorted(valid)
    nearest = nearest or next(iter(difflib.get_close_matches(name, valid, n=1)), None)
    guess = f"; did you mean `{nearest}`?" if nearest else "."
    plural = re.sub("([^aeiou])y$", r"\1ie", what) + "s"
    return f"unknown {what} `{name}`{guess} Valid {plural}: {', '.join(valid)}"


def misfits(value: Any, kind: Any = Config, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each part of `value` that does not fit the type `kind`, and why."""
    if value is not None:
        kind = _section(kind)
    form, inner = get_origin(kind), get_args(kind)
    if kind is Any or (isinstance(value, str) and "${" in value) or (value is None and types.NoneType in inner):
        return
    if form is types.UnionType:
        if not _fits(value, inner[0]):
            yield key, f"expected {_WORDS[inner[0]]} or null, got {value!r}"
    elif not _fits(value, kind):
        choice = "one of " if form is Literal else "a mapping with keys of "
        yield key, f"expected {_WORDS.get(kind) or choice + ', '.join(inner or get_type_hints(kind))}, got {value!r}"
    elif form is Literal and value not in inner:
        yield key, unknown(value, inner, "value")
    elif form is list:
        for i, part in enumerate(value):
            yield from misfits(part, inner[0], f"{key}[{i}]")
    elif isinstance(value, dict):
        hints = get_type_hints(kind) if dataclasses.is_dataclass(kind) else dict.fromkeys(value, inner[1])
        for name, part in value.items():
            path = f"{key}.{name}".lstrip(".")
            if name in hints:
                yield from misfits(part, hints[name], path)
            else:
                yield _unknown_key(path, str(name), part, hints)


def _section(kind: Any) -> Any:
    """The dataclass of a section that may be null; any other type as it is."""
    first = next(iter(get_args(kind)), None)
    return first if get_origin(kind) is types.UnionType and dataclasses.is_dataclass(first) else kind


def _fits(value: Any, kind: Any) -> bool:
    """Say whether `value` has the plain type of `kind`: an integer is a number, a boolean is neither."""
    form = get_origin(kind) or kind
    plain: Any = {float: int | float, Literal: str}.get(form, dict if dataclasses.is_dataclass(kind) else form)
    return isinstance(value, plain) and (kind is bool or not isinstance(value, bool))


def _unknown_key(path: str, name: str, value: Any, siblings: Iterable[str]) -> tuple[str, str]:
    """Return the full path of an unknown key and a message; the same name elsewhere in the schema is the nearest."""
    elsewhere = next((known for known in _paths(Config) if known.rpartition(".")[2] == name), None)
    while isinstance(value, dict) and len(value) == 1:
        [(part, value)] = value.items()
        path = f"{path}.{part}"
    return path, unknown(name, siblings, "key", nearest=elsewhere)


def key_paths() -> list[str]:
    """The path of every key of a configuration, sections included."""
    return list(_paths(Config))


def _paths(schema: Any, prefix: str = "") -> Iterator[str]:
    """Yield the path of every key of the schema."""
    for name, kind in get_type_hints(schema).items():
        yield prefix + name
        kind = _section(kind)
        if dataclasses.is_dataclass(kind):
            yield from _paths(kind, f"{prefix}{name}.")


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the key of each value that is out of range or does not go with another, and why."""
    for interval, keys in _RANGES.items():
        for key in keys.split():
            value: Any = functools.reduce(_entry, key.split("."), config)
            for number in value if isinstance(value, list) else [value]:
                if number is not None and not _inside(number, interval):
                    yield key, f"expected a number in {interval}, got {number}"
    yield from _stream_problems(config.stream)
    yield from _network_problems(config.network)
    yield from _learner_problems(config.learner, config.network)
    yield from _set_problems("strategies", config.strategies)
    for i, cell in enumerate(config.cells):
        yield from _set_problems(f"cells[{i}]", cell)
    lists: dict[str, list[Any]] = {"cells": ["+".join(cell) or "naive" for cell in config.cells], "seeds": config.seeds}
    lists["tune.seeds"] = config.tune.seeds
    for key, entries in lists.items():
        if not entries:
            yield key, "expected at least one entry, got []"
        yield from _repeats(key, entries)


def _entry(section: Any, name: str) -> Any:
    """An entry of a section; None of one that is null."""
    return None if section is None else getattr(section, name)


def _inside(number: float, interval: str) -> bool:
    """Say whether a number lies in an interval such as `(0, 1]`; NaN lies in none."""
    low, high = map(float, interval[1:-1].split(","))
    at_ends = (number != low or interval[0] == "[") and (number != high or interval[-1] == "]")
    return low <= number <= high and at_ends


def _stream_problems(stream: StreamConfig) -> Iterator[tuple[str, str]]:
    order = stream.class_order
    if isinstance(order, list):
        yield from _repeats("stream.class_order", order)
        for wrong in [entry for entry in order if not _fits(entry, int) or entry < 0]:
            yield "stream.class_order", f"expected classes as integers from 0, got {wrong!r}"
    elif order not in ("shuffled", "fixed"):
        text = unknown(str(order), ["shuffled", "fixed"], "value")
        yield "stream.class_order", f"{text}, or a list of classes, as in [0, 1, 2]"
    if stream.evaluate_on == "validation" and stream.validation_fraction == 0:
        text = "`validation` has no samples while stream.validation_fraction is 0"
        yield "stream.evaluate_on", f"{text}; set stream.validation_fraction=0.1, say, or evaluate on `test`"
    if stream.name in _PATHS and not stream.path:
        what, example = _PATHS[stream.name]
        yield "stream.path", f"expected {what}, got null; set stream.path={example}"


def _network_problems(network: NetworkConfig) -> Iterator[tuple[str, str]]:
    step = network.time_step
    if not (network.hidden or network.channels):
        yield "network.hidden", "expected the size of at least one hidden layer, as in [256], got []"
    for key in ("kernel", "stride", "padding", "pool") if network.channels else ():
        if len(values := getattr(network, key)) not in (1, len(network.channels)):
            text = f"expected 1 value for all layers, or {len(network.channels)}, one for each of network.channels"
            yield f"network.{key}", f"{text}, got {values}"
    if network.model == "feedforward" and network.channels:
        yield "network.channels", "the feedforward network has dense layers alone; leave it []"
    if network.model == "feedforward" and network.dendrites:
        yield "network.dendrites", "the feedforward network has no dendrites; leave it null"
    if not step.min <= step.mean <= step.max:
        yield "network.time_step.mean", f"expected min <= mean <= max, got {step.min} <= {step.mean} <= {step.max}"


def _learner_problems(learner: LearnerConfig, network: NetworkConfig) -> Iterator[tuple[str, str]]:
    layers = len(network.channels) + len(network.hidden) + 1
    if learner.beta == 0:
        text = "expected a number other than 0 (the contrast of the two phases is divided by it)"
        yield "learner.beta", f"{text}, got {learner.beta}; published runs use 0.1 to 1"
    if learner.nudge == "outside" and learner.nudging == "linear":
        text = "`outside` cannot be had with learner.nudging=linear: outside the activation the nudged phase is not the"
        yield "learner.nudge", f"{text} vector-Jacobian product, it loses rho'; use `inside`, or learner.nudging=cost"
    if learner.nudging == "cost" and learner.loss != "mse" and network.readout != "linear":
        text = f"cost nudging of the states supports only `mse`, got `{learner.loss}`"
        yield "learner.loss", f"{text}; set network.readout=linear, or learner.nudging=linear, which takes any loss"
    if learner.nudging == "continual" and (learner.optimizer, learner.momentum, learner.weight_decay) != ("sgd", 0, 0):
        text = "`continual` (C-EP) moves the weights at every nudged step, by plain SGD alone"
        text += "; set learner.optimizer=sgd learner.momentum=0 learner.weight_decay=0"
        yield "learner.nudging", text
    if len(learner.lr_scale) not in (0, layers):
        text = f"expected {layers} factors, one per layer (those of network.hidden and the output), lowest first"
        yield "learner.lr_scale", f"{text}, or [] for all 1, got {learner.lr_scale}"


def _set_problems(key: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from _repeats(key, names)
    for name in names if len(names) > 1 else []:
        if name in ALONE:
            yield key, f"`{name}` stands alone, got {'+'.join(names)}; remove `{name}` or the others"


def _repeats(key: str, entries: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Yield each entry that comes more than once."""
    for entry, times in Counter(map(str, entries)).items():
        if times > 1:
            yield key, f"expected each entry once, got `{entry}` {times} times"
