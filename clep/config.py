"""Compose a configuration from YAML and `key=value`; the keys are in `clep.schema`.

    dataclass defaults <- configs/strategy/<name>.yaml <- CONFIG <- key=value

`stream=name` picks a data set and `network=name` a file of `configs/network/`, or a network by its registered name or
import path; both also take the path of a YAML file with keys of their section. The file ranks just below the layer that
names it: `network=ep` beats what CONFIG says about the same keys, `network.bias=true` beats both.
The file of a network may have a `learner` section with what its learning rule needs.
"""

import copy
import dataclasses
import functools
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clep import parts
from clep.cells import Cell, expand, names_in, normal, read_cells
from clep.checks import one_of, unknown
from clep.documents import line_of, refuse_ambiguous, text_of, why
from clep.errors import ConfigError, UnusedWarning
from clep.imports import is_import_path
from clep.masking import masked
from clep.renames import branches_without_feedback, renamed, with_new_keys
from clep.schema import (
    Config,
    TrackingSection,
    check,
    construct,
    label,
    misfits,
    named_controls,
    parts_of,
    unused,
)
from clep.specs.network import NetworkSection
from clep.specs.stream import StreamSpec

__all__ = [
    "Config",
    "builtin",
    "cells_of",
    "compose",
    "find",
    "given",
    "label",
    "override",
    "parts_of",
    "replace",
    "seeded",
    "to_dict",
    "to_yaml",
    "tracking_in",
]

_UNREADABLE = (yaml.YAMLError, OmegaConfBaseException, RecursionError, ValueError)  # ValueError: bytes, endless digits
DEFAULT_PIPELINE = "class_incremental"
# The sections that a name can stand for, and their default names.
_GROUPS = {"stream": StreamSpec.name, "network": NetworkSection.name}


class _Layer(NamedTuple):
    """The values of one source; `origin` is its file, None for the command line and for Python."""

    origin: str | None
    values: dict[str, Any]


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)


def compose(config: str | Path | Mapping[str, Any] | Config | None = None, overrides: Sequence[str] = ()) -> Config:
    """Compose and check a configuration.

    Args:
        config: The name of a built-in pipeline, the path of a YAML file (such as a run's `config.yaml`), a mapping or a
            Config; None for the class-incremental pipeline on digits. Paths start at the working directory.
        overrides: `key=value` texts with values in YAML; their order matters only if they set the same key.

    Returns:
        The complete configuration, free of any mistake that shows without data.

    Raises:
        ConfigError: An unknown key or name, a wrong type, a value out of range; the message begins with the key's path.
    """
    changed = _Layer(None, _merged_changes(map(_change, overrides)))
    composed = _composed(_source(config), changed)
    for key, reason in unused(composed):
        if _says(changed.values, key.split(".")):
            raise ConfigError(f"{key}: {reason}")
        warnings.warn(f"{key}: {reason}", UnusedWarning, stacklevel=2)
    return composed


def replace(config: Config, **changes: Any) -> Config:
    """Return a checked copy with `changes` merged in, as in `replace(config, seed=1, learner={"lr": 0.1})`."""
    return _composed(_Layer(None, to_dict(config)), _Layer(None, changes))


def seeded(config: Config, seed: int) -> Config:
    """Return a checked copy with another seed.

    It equals `replace(config, seed=seed)`, which is too slow (0.1 s) for each run of a large comparison.

    Raises:
        ConfigError: for a seed that is none.

    Example:
        >>> from clep.config import compose, seeded
        >>> seeded(compose(), 3).seed
        3
    """
    for key, problem in misfits({"seed": seed}):
        raise ConfigError(f"{key}: {problem}")
    return dataclasses.replace(copy.deepcopy(config), seed=seed)  # two configurations share no list


def cells_of(config: Config) -> list[tuple[Cell, Config]]:
    """Every cell of a comparison with its configuration; imports no strategy.

    Raises:
        ConfigError: for a cell with an unknown strategy, named as `cells[i]`, and for a baseline that is no cell.

    Example:
        >>> from clep.config import compose
        >>> config = compose(None, ["cells=[naive, {label: ep, set: [network=ep]}]"])
        >>> [(cell.label, composed.network.name) for cell, composed in cells_of(config)]
        [('naive', 'hts_ep'), ('ep', 'ep')]
    """
    base = _Layer(None, to_dict(config) | {"cells": Config.default("cells"), "baseline": ""})
    found = []
    for i, cell in enumerate(read_cells(config.cells)):
        composed = _composed(base, _Layer(None, _merged_changes(map(_change, cell.set))))
        for name in composed.strategies:
            parts.check_name("strategy", name, f"cells[{i}]")
        found.append((cell, composed))
    if config.baseline:
        one_of("baseline", config.baseline, [cell.label for cell, _ in found], "cell")
    return found


def tracking_in(overrides: Sequence[str]) -> TrackingSection:
    """The section `tracking` that changes alone make, to find a stored run whose configuration is not yet known.

    Args:
        overrides: `key=value` texts; those of other sections are left out.

    Raises:
        ConfigError: as `compose`.

    Example:
        >>> tracking_in(["tracking.uri=sqlite:///mine.db", "seed=3"]).uri
        'sqlite:///mine.db'
    """
    return compose({}, [text for text in overrides if text.partition("=")[0].startswith("tracking.")]).tracking


def given(config: str | Path | Mapping[str, Any] | Config | None, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """What a user says: the values of CONFIG, none for a built-in name, and those of the changes, as plain containers.

    Raises:
        ConfigError: as `compose`.

    Example:
        >>> from clep.config import given
        >>> given("mnist", ["strategies=ewc", "strategy.ewc.ewc_lambda=1"])
        [{}, {'strategies': ['ewc'], 'strategy': {'ewc': {'ewc_lambda': 1}}}]
    """
    shipped = config is None or str(config) in _names("pipeline")
    return [{} if shipped else _plain(*_source(config)).values, _merged_changes(map(_change, overrides))]


def to_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as plain containers."""
    return dataclasses.asdict(config)


def public(config: Config) -> Config:
    """The configuration as others may see it: without credentials in the addresses of its stores.

    Example:
        >>> from clep.config import compose
        >>> public(compose(None, ["tracking.uri=http://me:secret@host"])).tracking.uri
        'http://me:***@host'
    """
    section, tune = config.tracking, config.tune
    return dataclasses.replace(
        config,
        tracking=dataclasses.replace(section, uri=section.uri and masked(section.uri)),
        tune=dataclasses.replace(tune, storage=tune.storage and masked(tune.storage)),
    )


def to_yaml(config: Config) -> str:
    """Return the configuration as YAML; `compose` makes an equal one from it."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def builtin(group: str) -> dict[str, str]:
    """Return the names of the YAML files in `configs/<group>/`, sorted, and the first line of each."""
    folder = resources.files("clep.configs") / group
    texts = {name: (folder / f"{name}.yaml").read_text(encoding="utf-8") for name in _names(group)}
    return {name: text.partition("\n")[0].lstrip("# ") for name, text in texts.items()}


def _names(group: str) -> list[str]:
    """The names of `builtin`; no file is read."""
    folder = resources.files("clep.configs") / group
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return sorted(name[:-5] for name in names if name.endswith(".yaml"))


def find(group: str, name: str) -> Path:
    """The file of a built-in name or of a path that ends in .yaml, for groups that no configuration contains.

    Raises:
        ConfigError: for an unknown name.
    """
    if _is_path(name):
        if not Path(name).is_file():
            raise ConfigError(f"{group}: there is no file {name}")
        return Path(name)
    if name not in _names(group):
        raise ConfigError(f"{group}: {unknown(name, builtin(group), group)}, or a path that ends in .yaml")
    with resources.as_file(resources.files("clep.configs") / group / f"{name}.yaml") as path:
        return path


def _source(config: str | Path | Mapping[str, Any] | Config | None) -> _Layer:
    """Read CONFIG."""
    if isinstance(config, Config | Mapping):
        return _Layer(None, to_dict(config) if isinstance(config, Config) else dict(config))
    name = DEFAULT_PIPELINE if config is None else str(config)
    if name in _names("pipeline"):
        return _shipped("pipeline", name)
    if _is_path(name):
        return _read(Path(name), name)
    raise ConfigError(f"config: {unknown(name, builtin('pipeline'), 'config')}, or a path that ends in .yaml")


def override(text: str) -> dict[str, Any]:
    """Turn a text `a.b=value`, with its value in YAML, into nested values; their keys are not checked.

    Raises:
        ConfigError: for a text that is not `key=value`, or a value that is not YAML, or that YAML reads as another.

    Example:
        >>> override("learner.lr=0.01")
        {'learner': {'lr': 0.01}}
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text}: expected key=value, for example learner.lr=0.01")
    try:
        refuse_ambiguous(value, key)
        return _nested(parts_of(key), _container(OmegaConf.from_dotlist([f"value={value}"]))["value"])
    except ConfigError:
        raise
    except _UNREADABLE as error:
        cut = value if len(value) <= 100 else f"{value[:97]}..."
        raise ConfigError(f"{key}: `{cut}` is not YAML: {why(error)}") from error


def _change(text: str) -> dict[str, Any]:
    """The values of a `key=value` text, checked."""
    return _plain(None, override(text)).values


def _merged_changes(changes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return cast(dict[str, Any], _container(_merge({}, list(changes))))


def _merge(base: dict[str, Any], values: Sequence[dict[str, Any]]) -> Any:
    """Merge values over others. A grid that is a list replaces a mapping; nothing can be added to it."""
    lists = [i for i, layer in enumerate(values) if isinstance(layer.get("grid"), list)]
    if lists:
        if any("grid" in layer for layer in values[lists[-1] + 1 :]):
            raise ConfigError("grid: expected axes for a grid that is a list in each of its parts, not beside it")
        base, *values = (
            layer if i == lists[-1] + 1 else {key: value for key, value in layer.items() if key != "grid"}
            for i, layer in enumerate([base, *values])
        )
    return OmegaConf.merge(base, *values)


def _container(config: Any) -> Any:
    """Return plain containers; `${...}` stays as it is."""
    return OmegaConf.to_container(config)


def _nested(keys: Sequence[str], value: Any) -> Any:
    return functools.reduce(lambda inner, key: {key: inner}, reversed(keys), value)


def _is_path(name: Any) -> bool:
    return isinstance(name, str) and name.endswith((".yaml", ".yml"))


def _shipped(group: str, name: str, *keys: str) -> _Layer:
    return _read(resources.files("clep.configs") / group / f"{name}.yaml", f"configs/{group}/{name}.yaml", *keys)


def _read(file: Traversable, origin: str, *keys: str) -> _Layer:
    """Read a YAML file; its values belong under `keys`, and `origin` names it in errors."""
    try:
        values = copy.deepcopy(_parsed(text_of(file)))
    except ConfigError as error:
        raise ConfigError(f"{error} (set in {origin})") from error
    except (OSError, *_UNREADABLE) as error:
        raise ConfigError(f"{origin}{line_of(error)}: cannot be read as YAML: {why(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{origin}: expected keys and their values, got {values!r}")
    learner = values.pop("learner", None) if keys == ("network",) else None
    return _Layer(origin, _nested(keys, values) | ({} if learner is None else {"learner": learner}))


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """What a YAML document says: a comparison reads the same files for each of its cells."""
    refuse_ambiguous(text)
    return _container(OmegaConf.load(io.StringIO(text)))


def _plain(origin: str | None, values: Any) -> _Layer:
    """Return a layer of plain containers, `stream: mnist` and `strategies: ewc` written out, types checked."""
    try:
        plain = _container(OmegaConf.create(values))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {why(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{origin or 'config'}: {why(error)}") from error
    picks = {group: {"name": plain[group]} for group in _GROUPS if isinstance(plain.get(group), str)}
    names = {"strategies": [plain["strategies"]]} if isinstance(plain.get("strategies"), str) else {}
    if "controls" in plain:
        names["controls"] = named_controls(plain["controls"])
    cells = {"cells": _cells(origin, plain["cells"])} if "cells" in plain else {}
    layer = _Layer(origin, with_new_keys(plain | picks | names | cells))
    for key, problem in misfits(layer.values):
        raise ConfigError(f"{key}: {problem}{_set_in([layer], key)}")
    return layer


def _cells(origin: str | None, values: Any) -> Any:
    """The cells of a layer as a configuration keeps them; a refusal says which file they come from."""
    try:
        return values if isinstance(values, str) and "${" in values else normal(values)
    except ConfigError as error:
        raise ConfigError(f"{error} (set in {origin})" if origin else str(error)) from error


def _composed(*sources: _Layer) -> Config:
    """Merge the sources over the defaults and check the result."""
    layers = [_Layer(None, {group: {"name": name} for group, name in _GROUPS.items()})]
    layers += [_named_by_model(layer) for source in sources for layer in _with_files(_plain(*source))]
    for group in _GROUPS:
        at = max(i for i, layer in enumerate(layers) if "name" in layer.values.get(group, {}))
        name = layers[at].values[group]["name"]
        if group == "stream":  # a data set has no values besides its name
            with _placed(layers):
                parts.check_name("dataset", name)
        elif name in _names(group):
            layers.insert(at, _shipped_network(name))
        elif (reason := parts.refusal(group, name, builtin(group))) is None:
            layers.insert(at, _Layer(None, {"network": {"model": name}}))
        else:
            text = f"{group}.name: {reason.removesuffix('.')}, or a path that ends in .yaml"
            raise ConfigError(text + _set_in(layers, f"{group}.name"))
    _drop_options_of_others(layers)
    if branches_without_feedback([layer.values for layer in layers]):
        layers.append(_Layer(None, {"network": {"feedback": "dendritic"}}))
    config = _merged(layers)
    named = {*config.strategies, *names_in(config.cells)}
    _check_strategy_names(config.strategy.keys() - named)
    used = named.intersection(_names("strategy"))
    defaults = {name: _shipped("strategy", name).values for name in sorted(used)}
    config = dataclasses.replace(config, strategy=_container(OmegaConf.merge(defaults, config.strategy)))
    with _placed(layers):
        check(config)
        if config.grid or any(isinstance(cell, dict) for cell in config.cells):
            given = any("cells" in layer.values for layer in layers)
            config = dataclasses.replace(config, cells=_expanded(config, given, sources), grid={})
            check(config)
    return config


def _shipped_network(name: str) -> _Layer:
    """The file of a network; it says which model it is, also where a lower layer has another."""
    layer = _shipped("network", name, "network")
    return layer._replace(values=layer.values | {"network": {"model": NetworkSection.model} | layer.values["network"]})


def _named_by_model(layer: _Layer) -> _Layer:
    """A layer in which a network of another package, given as `model`, has a name too: no file has values for it."""
    network = _inside(layer, "network")
    model = network.get("model")
    if not isinstance(model, str) or "name" in network or model in parts.own("network") or "${" in model:
        return layer
    if parts.refusal("network", model) is None:
        return layer._replace(values=layer.values | {"network": network | {"name": model}})
    return layer


def _drop_options_of_others(layers: Sequence[_Layer]) -> None:
    """Where a layer names another part than those below, the options that they give to theirs are not for it."""
    for kind in parts.KINDS.values():
        (section, _, key), options = kind.key.partition("."), kind.options.partition(".")[2]
        known: str | None = None
        for i, layer in enumerate(layers if options else ()):
            name = _inside(layer, section).get(key)
            if name is not None and known not in (None, name):
                for lower in layers[:i]:
                    _inside(lower, section).pop(options, None)
            known = known if name is None else name


def _inside(layer: _Layer, section: str) -> dict[str, Any]:
    """The values of a layer for a section; {} if it stands for another (`${...}`)."""
    values = layer.values.get(section)
    return values if isinstance(values, dict) else {}


def _expanded(config: Config, given: bool, sources: Sequence[_Layer]) -> list[Any]:
    """The cells that differ in more than their strategies: each is what `clep run` would compose with its changes."""
    *lower, last = [_without_cells(_plain(*source)) for source in sources]

    def changed(changes: Sequence[str]) -> Config:
        return _composed(*lower, _Layer(None, _merged_changes([last.values, *map(_change, changes)])))

    def keys_of_network(name: str) -> set[str]:
        return set(_paths(_shipped("network", name, "network").values)) if name in _names("network") else set()

    return expand(config, given=given, compose=changed, keys_of_network=keys_of_network)


def _without_cells(layer: _Layer) -> _Layer:
    apart = ("cells", "grid", "baseline")
    return _Layer(layer.origin, {key: value for key, value in layer.values.items() if key not in apart})


def _paths(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield from _paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]


def _check_strategy_names(names: Iterable[str]) -> None:
    """Refuse parameters of a strategy that does not exist: they would change nothing in silence."""
    for name in sorted(names):
        known = {*_names("strategy"), *parts.names("strategy")}
        if not is_import_path(name) and name not in known:
            raise ConfigError(f"strategy.{name}: {unknown(name, known, 'strategy')}, or an import path `module:Class`")


def _with_files(layer: _Layer) -> Iterator[_Layer]:
    """Yield the files whose paths a layer gives as stream or network, then the rest of the layer."""
    for group in _GROUPS:
        if _is_path(path := layer.values.get(group, {}).get("name")):
            yield _plain(*_read(Path(path), path, group))
            del layer.values[group]["name"]
    yield layer


def _merged(layers: Sequence[_Layer]) -> Config:
    """Merge the layers over the defaults of the schema and resolve `${...}`."""
    try:
        merged = _merge(to_dict(Config()), [layer.values for layer in layers])
        values = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {why(error)}") from error
    with _placed(layers):
        for key, problem in misfits(values):  # what `${...}` stood for
            raise ConfigError(f"{key}: {problem}")
        return construct(Config, cast(dict[str, Any], values))


@contextmanager
def _placed(layers: Sequence[_Layer]) -> Iterator[None]:
    """Add to an error which file set its key."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error}{_set_in(layers, str(error).partition(': ')[0])}") from error


def _set_in(layers: Sequence[_Layer], key: str) -> str:
    """Say which file set `key` last, if a file did."""
    parts = parts_of(re.sub(r"\[\d+]", "", key))
    origin = next((layer.origin for layer in reversed(layers) if _says(layer.values, parts)), None)
    return f" (set in {origin})" if origin else ""


def _says(values: Any, parts: Sequence[str]) -> bool:
    """Whether nested values hold a key."""
    return not parts or (isinstance(values, dict) and parts[0] in values and _says(values[parts[0]], parts[1:]))
