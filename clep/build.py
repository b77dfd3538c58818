"""From a configuration to objects: the stream, the learner and the strategies that it describes."""

import hashlib
import json
import math
from typing import Any

import torch
from avalanche.core import BasePlugin
from torch import nn

from clep import strategy, streams, tracking
from clep.config import Config, LearnerConfig, NetworkConfig, label, replace, to_dict
from clep.equilibrium import ConvLayer, Network, TimeStep
from clep.errors import ConfigError, within
from clep.estimates import gradient_from
from clep.feedforward import Feedforward
from clep.learner import Learner
from clep.randomness import seed_for
from clep.streams import Stream
from clep.training import Training

_NETWORK_KEYS = [
    "neuron",
    "bias",
    "init",
    "dynamics",
    "readout",
    "feedback",
    "feedback_scale",
    "rule",
    "inhibition",
    "residual_links",
    "free_steps",
    "nudged_steps",
    "relaxation",
    "tolerance",
    "precision",
    "firing",
    "average_steps",
]
_IRRELEVANT = {"data", "tracking", "workers", "seeds", "cells", "tune"}  # to a result
_PHASES = ["beta", "phases", "points", "start"]
_GRADIENT_KEYS = {
    "linear": _PHASES,
    "cost": [*_PHASES, "nudge"],
    "continual": [*_PHASES, "nudge"],
    "clamped": [],
    "bptt": [],
}


def build_stream(config: Config) -> Stream:
    """The class-incremental stream of `config.stream`."""
    c = config.stream
    with within("stream"):
        return streams.stream(
            c.name,
            experiences=c.experiences,
            seed=config.seed,
            class_order=c.class_order,
            validation_fraction=c.validation_fraction,
            evaluate_on=c.evaluate_on,
            samples_per_experience=c.samples_per_experience,
            evaluation_samples=c.evaluation_samples,
            root=config.data.root,
            download=config.data.download,
            path=c.path,
            standardize=c.standardize,
        )


def build_learner(config: Config, stream: Stream) -> Learner:
    """The learner of `config.learner` around the network of `config.network`, sized for the stream."""
    c, n = config.learner, config.network
    shape, classes = tuple(stream.samples.x[0].shape), len(stream.class_order)
    layers: list[Any] = [shape, *_convolutions(n)] if n.channels else [math.prod(shape)]
    seed = seed_for(config.seed, "network")
    if n.model == "feedforward":
        network: nn.Module = Feedforward([*layers, *n.hidden, classes], activation=n.neuron, bias=n.bias, seed=seed)
        return Learner(network, **_optimization(c))
    network = Network(
        [*layers, *n.hidden, classes],
        time_step=TimeStep(**vars(n.time_step)),
        dendrites=None if n.dendrites is None else vars(n.dendrites),
        seed=seed,
        **{key: getattr(n, key) for key in _NETWORK_KEYS},
    )
    arguments = {key: getattr(c, key) for key in _GRADIENT_KEYS[c.nudging]}
    if c.nudging == "bptt":
        arguments = {"steps": c.bptt_steps}
    gradient = gradient_from({"nudging": c.nudging, **arguments}, c.loss)
    return Learner(network, gradient=gradient, lr_scale=c.lr_scale, **_optimization(c))


def _optimization(learner: LearnerConfig) -> dict[str, Any]:
    """What every learner is told of its loss and optimiser."""
    keys = ("lr", "loss", "optimizer", "momentum", "weight_decay", "schedule")
    return {key: getattr(learner, key) for key in keys}


def _convolutions(network: NetworkConfig) -> list[ConvLayer]:
    """The convolutional layers; a list of one value serves all of them."""
    n, given = len(network.channels), (network.kernel, network.stride, network.padding, network.pool)
    lists = (values * n if len(values) == 1 else values for values in given)
    return [
        ConvLayer(channels, kernel, stride, padding, network.pooling, pool)
        for channels, kernel, stride, padding, pool in zip(network.channels, *lists, strict=True)
    ]


def resolved(config: Config) -> Config:
    """The configuration with all parameters of its strategies, so that a stored copy outlives changed defaults."""
    names = config.strategies or ["naive"]
    parameters = {name: strategy.defaults(strategy.find(name)) | config.strategy.get(name, {}) for name in names}
    return replace(config, strategies=names, strategy=parameters)


def fingerprint(config: Config, *further: Any) -> str:
    """What identifies the result of a resolved configuration, 32 characters.

    What equals the defaults is left out, so that keys added later do not make old results new; so is what a result
    does not depend on. The version of clep and `further` plain values count as well.
    """
    defaults = {name: strategy.defaults(strategy.find(name)) for name in config.strategies}
    neutral = tracking.flatten(to_dict(Config())) | tracking.flatten({"strategy": defaults})
    values = {key: value for key, value in tracking.flatten(to_dict(config)).items() if neutral.get(key) != value}
    values = {key: value for key, value in values.items() if key.partition(".")[0] not in _IRRELEVANT}
    text = json.dumps([values, tracking.provenance()["version"], *further], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def build_strategies(config: Config) -> list[BasePlugin]:
    """The composed set of strategies; an empty set is `naive`."""
    return strategy.build(config.strategies or ["naive"], config.strategy, seed=config.seed)


def build_training(config: Config, stream: Stream) -> Training:
    """Learner and strategies, ready to run on the stream.

    Raises:
        ConfigError: if a strategy stands alone but is combined, or needs what the learner does not give.
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
        epochs=config.learner.epochs,
        batch_size=config.learner.batch_size,
        seed=config.seed,
        device=device_of(config),
        reset_optimizer=config.learner.reset_optimizer,
        evaluate_epochs=config.learner.evaluate_epochs,
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
