"""From a configuration to objects: its stream, learner and strategies."""

import dataclasses
import hashlib
import json
from typing import Any

import torch
from avalanche.core import BasePlugin
from torch import nn

from clep import __version__, registry, streams, tracking
from clep.checks import one_of
from clep.config import Config, label, replace, to_dict
from clep.equilibrium import Network
from clep.equilibrium.gradients import gradient_class, gradient_from
from clep.errors import ConfigError, within
from clep.feedforward import Feedforward
from clep.learner import Learner
from clep.randomness import seed_for
from clep.specs.learner import LearnerSpec, TrainingSpec
from clep.specs.network import NetworkSpec
from clep.specs.optimization import Optimization
from clep.specs.stream import StreamSpec
from clep.streams import Stream
from clep.training import Training

_IRRELEVANT = {"data", "tracking", "workers", "seeds", "cells", "tune"}  # a result does not depend on these


def build_stream(config: Config) -> Stream:
    """The class-incremental stream of `config.stream`."""
    with within("stream"):
        return streams.stream(
            seed=config.seed, root=config.data.root, download=config.data.download, **config.stream.part(StreamSpec)
        )


def build_learner(config: Config, stream: Stream) -> Learner:
    """The learner of `config.learner` around the network of `config.network`, sized for the stream."""
    section, spec = config.network, config.learner
    layers = section.layers(tuple(stream.samples.x[0].shape), len(stream.class_order))
    seed = seed_for(config.seed, "network")
    optimization = spec.part(Optimization)
    if section.model == "feedforward":
        network: nn.Module = Feedforward(layers, activation=section.neuron, bias=section.bias, seed=seed)
        return Learner(network, **optimization)
    with within("network"):
        network = Network(layers, seed=seed, **section.part(NetworkSpec))
    with within("learner"):
        known = gradient_class(spec.gradient).option_names()
        options = {name: getattr(spec, name) for name in known if name in LearnerSpec.names()}
        with within("gradient_options"):
            for name in spec.gradient_options:
                if name in options:
                    raise ConfigError(f"{name}: it has its own key; set learner.{name}")
                one_of(name, name, known, "option")
        gradient = gradient_from({"name": spec.gradient, **options, **spec.gradient_options})
        return Learner(network, gradient=gradient, **optimization)


def resolved(config: Config) -> Config:
    """The configuration with all parameters of its strategies, so a stored copy survives a change of defaults."""
    names = config.strategies or ["naive"]
    parameters = {name: registry.defaults(registry.find(name)) | config.strategy.get(name, {}) for name in names}
    return replace(config, strategies=names, strategy=parameters)


def fingerprint(config: Config, *further: Any) -> str:
    """What identifies the result of a resolved configuration, 32 characters.

    Values equal to the defaults are left out, so old results stay valid when keys are added. So are keys that do not
    affect a result. The version of clep and `further` plain values count too.
    """
    defaults = {name: registry.defaults(registry.find(name)) for name in config.strategies}
    neutral = tracking.flatten(to_dict(Config())) | tracking.flatten({"strategy": defaults})
    values = {key: value for key, value in tracking.flatten(to_dict(config)).items() if neutral.get(key) != value}
    values = {key: value for key, value in values.items() if key.partition(".")[0] not in _IRRELEVANT}
    text = json.dumps([values, __version__, *further], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


LABEL_TAG, CELL_TAG = "clep.label", "clep.cell"
"""Tags of a run: the label of its cell, and what all its seeds and nothing else have in common."""


def cell_tags(config: Config, name: str = "") -> dict[str, str]:
    """The tags of a run that say which cell it belongs to, whatever its seed: what MLflow groups runs by.

    Args:
        config: a resolved configuration.
        name: label of the cell; empty for that of the strategies.

    Example:
        >>> from clep.build import resolved
        >>> from clep.config import compose
        >>> one, other = (cell_tags(resolved(compose(None, [f"seed={seed}"]))) for seed in (1, 2))
        >>> one == other, one["clep.cell"][:26]
        (True, 'naive | digits | hts_ep | ')
    """
    name = name or label(config.strategies)
    identity = fingerprint(dataclasses.replace(config, seed=0))[:8]
    return {LABEL_TAG: name, CELL_TAG: f"{name} | {config.stream.name} | {config.network.name} | {identity}"}


def build_strategies(config: Config) -> list[BasePlugin]:
    """The composed set of strategies; an empty set is `naive`."""
    return registry.build(config.strategies or ["naive"], config.strategy, seed=config.seed)


def build_training(config: Config, stream: Stream) -> Training:
    """Learner and strategies, ready to run on the stream.

    Raises:
        ConfigError: if a strategy that stands alone is combined with others, or needs something that the learner lacks.
    """
    strategies = build_strategies(config)
    alone = [s for s in strategies if getattr(s, "stands_alone", False)]
    if alone and len(strategies) > 1:
        raise ConfigError(
            f"strategies: `{label(config.strategies)}`: {type(alone[0]).__name__} stands alone and cannot be combined."
        )
    return Training(
        build_learner(config, stream),
        strategies,
        seed=config.seed,
        device=device_of(config),
        **config.learner.part(TrainingSpec),
        trainer={"gradient_clip_val": config.learner.gradient_clip},
    )


def device_of(config: Config) -> str:
    """`cpu` or `cuda`.

    Raises:
        ConfigError: if CUDA was asked for and is not available.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("device: `cuda` was asked for but torch finds no CUDA device; use device=auto or device=cpu.")
    return "cuda" if available and config.device != "cpu" else "cpu"
