"""From a configuration to objects: its stream, learner and strategies."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from avalanche.core import BasePlugin
from torch import nn

from clep import named_parts, registry, streams, tracking
from clep.checks import shown
from clep.config import Config, label, replace, to_dict
from clep.datasets import digests
from clep.datasets.files import user_path
from clep.equilibrium import Network
from clep.equilibrium.gradients import check_options, gradient_class, gradient_from
from clep.errors import ConfigError, DataError, within
from clep.feedforward import Feedforward
from clep.identity import NONE, UNREADABLE, Identity, digest_of
from clep.learner import Learner, criterion_of
from clep.randomness import seed_for
from clep.ranks import Ranks
from clep.schema import AS_BEFORE, NOT_OF_A_RESULT
from clep.sources import own_code, plugin_code
from clep.specs.layers import ConvLayer
from clep.specs.learner import LearnerSpec, TrainingSpec
from clep.specs.network import NetworkSpec
from clep.specs.optimization import Optimization
from clep.specs.stream import StreamSpec
from clep.streams import Stream
from clep.training import Training

_PART_LENGTH, _CELL_LENGTH = 12, 8  # characters of the hash of a configuration, alone and in the name of a cell


def build_stream(config: Config) -> Stream:
    """The stream of `config.stream`."""
    root = None if config.data.root is None else str(user_path(config.data.root, "data.root"))
    with within("stream"):
        return streams.stream(
            seed=config.seed, root=root, download=config.data.download, **config.stream.part(StreamSpec)
        )


def build_learner(config: Config, stream: Stream) -> Learner:
    """The learner of `config.learner` around the network of `config.network`, sized for the stream."""
    section, spec = config.network, config.learner
    shape, classes = tuple(stream.samples.x[0].shape), len(stream.class_order)
    layers = section.layers(shape, classes)
    seed = seed_for(config.seed, "network")
    optimization = spec.part(Optimization)
    if section.model == "feedforward":
        with within("network"), _fitting(layers):
            network: nn.Module = Feedforward(
                layers, activation=section.neuron, bias=section.bias, init=section.init, seed=seed
            )
        with within("learner"):
            return Learner(network, **optimization)
    if section.model != "equilibrium":
        with within("learner"):
            criterion_of(spec.loss, spec.loss_options)  # what is wrong with it has another key than the network
        arguments = {"model": section.model, "options": section.options, "input_shape": shape, "classes": classes}
        return Learner({**arguments, "seed": seed}, **optimization)
    with within("network"), _seeing(stream.axes if section.channels else ""), _fitting(layers):
        network = Network(layers, seed=seed, **section.part(NetworkSpec))
    with within("learner"):
        cls = gradient_class(spec.gradient)
        options = {name: getattr(spec, name) for name in cls.option_names() if name in LearnerSpec.names()}
        with within("gradient_options"):
            for name in spec.gradient_options:
                if name in options:
                    raise ConfigError(f"{name}: it has its own key; set learner.{name}")
            check_options(cls, spec.gradient_options)
        gradient = gradient_from({"name": spec.gradient, **options, **spec.gradient_options})
        return Learner(network, gradient=gradient, **optimization)


@contextmanager
def _seeing(axes: str) -> Iterator[None]:
    """Add to an error what the axes of the inputs are: a wrong order looks like a wrong kernel."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error}; {axes}" if axes else str(error)) from error


@contextmanager
def _fitting(layers: Sequence[Any]) -> Iterator[None]:
    """Refuse layers whose weights do not fit into memory; asked for one by one, the system would kill the process."""
    dense = [below * above for below, above in pairwise(layers) if isinstance(below, int) and isinstance(above, int)]
    key = "channels" if any(isinstance(layer, ConvLayer) for layer in layers) else "hidden"
    message = f"{key}: the weights of layers of {shown(list(layers))} units do not fit into memory; use fewer units"
    if 4 * sum(dense) > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise ConfigError(message)
    try:
        yield
    except (MemoryError, OverflowError) as error:
        raise ConfigError(message) from error
    except RuntimeError as error:  # torch's allocator has no exception of its own
        if "memory" in str(error) or "overflow" in str(error):
            raise ConfigError(message) from error
        raise


def resolved(config: Config) -> Config:
    """The configuration with all parameters of its strategies and of parts from other packages.

    So a stored copy survives a change of their defaults.
    """
    names = config.strategies or ["naive"]
    parameters = {name: registry.defaults(registry.find(name)) | config.strategy.get(name, {}) for name in names}
    return replace(config, strategies=names, strategy=parameters, **named_parts.options(config))


def identity(config: Config, *further: Any, data: str | None = None, plugins: str | None = None) -> Identity:
    """What the result of a resolved configuration is of: two runs of one identity give the same numbers.

    Args:
        config: the configuration, with every parameter of its strategies. Values equal to the defaults do not count, so
            old results stay valid when keys are added; nor do keys that no result depends on, such as paths, since the
            contents of the data count instead.
        further: plain values that count as part of the configuration.
        data: `data_of` the configuration, if it is known.
        plugins: `plugins_of` the configuration, if they are known.

    Raises:
        ConfigError: if a plug-in cannot be imported.

    Example:
        >>> from clep.build import resolved
        >>> from clep.config import compose
        >>> one, other = (identity(resolved(compose(None, [f"seed={seed}"]))) for seed in (1, 2))
        >>> one.changed(other), one.plugins
        (['configuration'], 'none')
    """
    return Identity(
        digest_of([_values(config), *further])[:_PART_LENGTH],
        data_of(config) if data is None else data,
        plugins_of(config) if plugins is None else plugins,
        own_code(),
        source=str(config.stream.path or config.stream.name),
    )


def fingerprint(config: Config, *further: Any) -> str:
    """What identifies the result of a resolved configuration, 32 characters; see `identity`."""
    return identity(config, *further).digest


def data_of(config: Config) -> str:
    """The part `data` of an identity: the contents of the stream's samples, read only if their files have changed.

    Data that are not there, or cannot be read, are like no data that a result was ever made of.
    """
    try:
        with within("stream"):
            spec = config.stream
            found = digests(
                spec.name, root=config.data.root, download=False, path=spec.path, options=spec.dataset_options
            )
            return "+".join(found)
    except DataError:
        return UNREADABLE


def plugins_of(config: Config) -> str:
    """The part `plugins` of an identity: the source of every part from outside clep."""
    found = plugin_code([*(("strategy", name) for name in config.strategies), *named_parts.named(config)])
    return ", ".join(f"{module}={code}" for module, code in sorted(found.items())) or NONE


@cache
def _defaults() -> dict[str, str]:
    return tracking.flatten(to_dict(Config()))


def _values(config: Config) -> dict[str, str]:
    """The flat values that a result depends on and that are not the defaults."""
    defaults = {name: registry.defaults(registry.find(name)) for name in config.strategies}
    neutral = _defaults() | tracking.flatten({"strategy": defaults} | named_parts.defaults(config))
    return {key: value for key, value in _all_values(config).items() if neutral.get(key) != value}


def _all_values(config: Config) -> dict[str, str]:
    """The flat values that a result depends on."""
    return {
        key: value
        for key, value in tracking.flatten(to_dict(config)).items()
        if key.partition(".")[0] not in NOT_OF_A_RESULT and key != "stream.path"
    }


def settings(config: Config, *, data: str | None = None, plugins: str | None = None) -> str:
    """What a result is of apart from clep's code, in 12 characters.

    Unlike in `identity`, defaults count as well: there the code counts, which has them; a published number is kept over
    changes of code, and must not outlive the change of a default. A key that is newer than published numbers does not
    count at its value of `clep.schema.AS_BEFORE`.

    Args:
        config: a resolved configuration.
        data: `data_of` the configuration, if it is known.
        plugins: `plugins_of` the configuration, if they are known.

    Example:
        >>> from clep.build import resolved
        >>> from clep.config import compose
        >>> changes = [], ["workers=3"], ["seed=1"], ["learner.lr=0.1"]
        >>> one, same, *others = (settings(resolved(compose(None, each))) for each in changes)
        >>> one == same, one in others, len(one)
        (True, False, 12)
    """
    values = {key: value for key, value in _all_values(config).items() if AS_BEFORE.get(key) != value}
    data = data_of(config) if data is None else data
    plugins = plugins_of(config) if plugins is None else plugins
    return digest_of([values, data, plugins])[:_PART_LENGTH]


LABEL_TAG, CELL_TAG = "clep.label", "clep.cell"
"""Tags of a run: the label of its cell, and what all its seeds and nothing else have in common."""


def cell_tags(config: Config, name: str = "", known: Identity | None = None) -> dict[str, str]:
    """The tags of a run that say which cell it belongs to, whatever its seed: what MLflow groups runs by.

    Other data or another plug-in make another cell; another version of clep does not.

    Args:
        config: a resolved configuration.
        name: label of the cell; empty for that of the strategies.
        known: the `identity` of the configuration, if it is known.

    Example:
        >>> from clep.build import resolved
        >>> from clep.config import compose
        >>> one, other = (cell_tags(resolved(compose(None, [f"seed={seed}"]))) for seed in (1, 2))
        >>> one == other, one["clep.cell"][:26]
        (True, 'naive | digits | hts_ep | ')
    """
    name = name or label(config.strategies)
    whole = known or identity(config)
    hashed = digest_of([_values(dataclasses.replace(config, seed=0)), whole.data, whole.plugins])[:_CELL_LENGTH]
    return {LABEL_TAG: name, CELL_TAG: f"{name} | {config.stream.name} | {config.network.name} | {hashed}"}


def build_strategies(config: Config) -> list[BasePlugin]:
    """The composed set of strategies; an empty set is `naive`."""
    return registry.build(config.strategies or ["naive"], config.strategy, seed=config.seed)


def build_training(config: Config, stream: Stream, ranks: Ranks | None = None) -> Training:
    """Learner and strategies, ready to run on the stream.

    Args:
        config: the configuration.
        stream: what is to be learned.
        ranks: the place of this process among those that train the learner together; None for the first.

    Raises:
        ConfigError: if a strategy that stands alone is combined with others, or needs something that the learner lacks.
    """
    strategies = build_strategies(config)
    _refuse_company(strategies, config)
    return Training(
        build_learner(config, stream),
        strategies,
        seed=config.seed,
        device=device_of(config),
        **config.learner.part(TrainingSpec),
        trainer={"gradient_clip_val": config.learner.gradient_clip},
        ranks=ranks or Ranks(0, config.trainer.devices),
    )


def _refuse_company(strategies: Sequence[BasePlugin], config: Config) -> None:
    alone = [s for s in strategies if getattr(s, "stands_alone", False)]
    if alone and len(strategies) > 1:
        raise ConfigError(
            f"strategies: `{label(config.strategies)}`: {type(alone[0]).__name__} stands alone and cannot be combined."
        )
    idle = [name for name, s in zip(config.strategies, strategies, strict=False) if not getattr(s, "trains", True)]
    if idle and len(strategies) > 1:
        raise ConfigError(
            f"strategies: `{label(config.strategies)}`: `{idle[0]}` needs no training of the network, so nothing would "
            "be trained and the others would do nothing; leave one of them out."
        )


def check(config: Config) -> None:
    """Refuse what a run would refuse before it trains anything; nothing is downloaded.

    Where the data are not there yet, only what needs none of them is checked.

    Args:
        config: a configuration of one set of strategies.

    Raises:
        ConfigError: as a run would.
        StrategyError: if a strategy cannot be made, or fails to say what it refuses.

    Example:
        >>> from clep.config import compose
        >>> check(compose(None, ["strategies=[gem]", "learner.gradient=cost"]))
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: learner.gradient: CostNudging cannot be used with GEM, which differentiates ...
    """
    try:
        stream = build_stream(replace(config, data={"download": False}))
    except DataError:
        _refuse_company(build_strategies(config), config)
        device_of(config)
        return
    build_training(config, stream)


def device_of(config: Config) -> str:
    """`cpu` or `cuda`.

    Raises:
        ConfigError: if CUDA was asked for and is not available.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("device: `cuda` was asked for but torch finds no CUDA device; use device=auto or device=cpu.")
    found = "cuda" if available and config.device != "cpu" else "cpu"
    if found == "cuda" and config.trainer.devices > (count := torch.cuda.device_count()):
        raise ConfigError(
            f"trainer.devices: {config.trainer.devices} were asked for and torch finds {count} CUDA devices; use "
            "fewer, or device=cpu"
        )
    return found
