"""The state of a training as a checkpoint: the weights, everything random, and what each plug-in remembers."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins import EvaluationPlugin
from torch import Tensor

from clep.bridge import LightningTemplate
from clep.checkpoints.codec import Decoder, Encoder, Kept, Plain, UnsavableError, World, generators_in, kept_in
from clep.checkpoints.samples import Store
from clep.errors import ConfigError
from clep.strategy import Strategy
from clep.streams import Stream


class Snapshot(NamedTuple):
    """A state that is no longer changed by training.

    Attributes:
        plain: what JSON can hold.
        tensors: by name, on the CPU.
    """

    plain: dict[str, Any]
    tensors: dict[str, Tensor]


class State:
    """Takes and restores the state of a training.

    Make it before anything is trained: what a plug-in holds by then is there again in another process, and only what
    has changed since is written.

    Args:
        template: the training template, with its learner and plug-ins.
        stream: what is learned.

    Attributes:
        plugins: the plug-ins by name.
    """

    def __init__(self, template: LightningTemplate, stream: Stream) -> None:
        self._template = template
        self.plugins = {
            f"{type(plugin).__name__}{number or ''}": plugin
            for number, plugin in _numbered(p for p in template.plugins if not isinstance(p, EvaluationPlugin))
        }
        packages = {type(plugin).__module__.partition(".")[0] for plugin in self.plugins.values()}
        kept: dict[int, Kept] = {}
        for name, plugin in self.plugins.items():
            kept_in(_attributes(plugin), name, kept)
        learner = template.learner
        objects = {"template": template, "learner": learner, "criterion": learner.criterion, **self.plugins}
        objects["own network"] = learner.network  # strategies put views of it in its place
        self._world = World(learner.network, objects, Store(stream), frozenset(packages), kept)
        self._original = {
            name: {a: self._alone(v, f"{name}.{a}") for a, v in _attributes(plugin).items()}
            for name, plugin in self.plugins.items()
        }

    def take(self, *, epoch: int | None = None, schedule: Any = None, **more: Any) -> Snapshot:
        """Take the state.

        Args:
            epoch: within an experience, the epoch that begins; None after an experience.
            schedule: within an experience, the schedule of the learning rate.
            **more: further objects to keep, by name.

        Raises:
            UnsavableError: if a plug-in remembers something that has no form in a checkpoint.
        """
        template, learner = self._template, self._template.learner
        encoder = Encoder(self._world_now())
        parts: dict[str, Any] = {
            "generators": generators_in(learner),
            "optimizer": template.optimizer.state_dict(),
            "optimizes": template.optimized_param_id is not None,
            "schedule": None if schedule is None else schedule.state_dict(),
            "noticed": {"unsettled": learner.unsettled, "spike_meter": learner.spike_meter},
            "batches": template.generator,
            "globals": _global_states(template.device),
        }
        plain = {name: encoder.encode(part, name) for name, part in (parts | more).items()}
        plain["network"] = {name: encoder.tensor(value) for name, value in learner.network.state_dict().items()}
        plain["plugins"] = {name: self._of_plugin(name, encoder, whole=epoch is not None) for name in self.plugins}
        return Snapshot(plain | {"epoch": epoch}, encoder.tensors)

    def restore(self, snapshot: Snapshot, *, schedule: Any = None, optimizer: bool = True) -> None:
        """Put a state in place of the present one.

        Args:
            snapshot: the state.
            schedule: within an experience, the schedule of the learning rate.
            optimizer: whether the optimiser goes on with its momentum; otherwise it stays as it is.

        Raises:
            ConfigError: if the network or the plug-ins are not those of the state.
            DataError: if the state holds what no strategy brings.
        """
        template, learner, plain = self._template, self._template.learner, snapshot.plain
        self._check(plain["plugins"])
        decoder = Decoder(self._world_now(), *reversed(snapshot))
        try:
            learner.network.load_state_dict({name: snapshot.tensors[held] for name, held in plain["network"].items()})
        except RuntimeError as error:
            misfit = str(error).splitlines()[-1].strip()
            raise ConfigError(f"network: the weights in the checkpoint do not fit this network ({misfit})") from error
        decoder.decode(plain["generators"], generators_in(learner))
        if optimizer:
            template.optimizer.load_state_dict(decoder.decode(plain["optimizer"]))
            if plain["optimizes"]:
                template.optimized_param_id = dict(learner.network.named_parameters())
        if schedule is not None:
            schedule.load_state_dict(decoder.decode(plain["schedule"]))
        decoder.decode(plain["noticed"], {"unsettled": learner.unsettled, "spike_meter": learner.spike_meter})
        decoder.decode(plain["batches"], template.generator)
        for name, attributes in plain["plugins"].items():
            plugin = self.plugins[name]
            present = _attributes(plugin)
            _load(plugin, {a: decoder.decode(entry, present.get(a)) for a, entry in attributes.items()})
        _set_global_states(decoder.decode(plain["globals"]), template.device)

    def read(self, snapshot: Snapshot, name: str) -> Any:
        """An object that `take` was asked to keep."""
        return Decoder(self._world_now(), *reversed(snapshot)).decode(snapshot.plain[name])

    def _world_now(self) -> World:
        """The world with the network that trains: a plug-in may have put another in its place."""
        return replace(self._world, network=self._template.learner.network)

    def differences(self, other: "State") -> dict[str, set[str]]:
        """Which attributes of plug-ins are made differently in another training, by the name of the plug-in."""
        return {
            name: {a for a in {*mine, *other._original[name]} if not _same(mine.get(a), other._original[name].get(a))}
            for name, mine in self._original.items()
            if name in other._original
        }

    def _check(self, plugins: Mapping[str, Any]) -> None:
        if [*plugins] != [*self.plugins]:
            saved, here = (", ".join(sorted(names)) for names in (plugins, self.plugins))
            raise ConfigError(f"strategies: the checkpoint is of a training with {saved}; this one has {here}")

    def _of_plugin(self, name: str, encoder: Encoder, *, whole: bool) -> dict[str, Plain]:
        """What a plug-in remembers, without what it holds since it was made, unless `whole`."""
        attributes, original = _attributes(self.plugins[name]), self._original[name]
        return {
            attribute: encoder.encode(value, f"{name}.{attribute}")
            for attribute, value in attributes.items()
            if whole or not _same(self._alone(value, f"{name}.{attribute}"), original.get(attribute))
        }

    def _alone(self, value: Any, path: str) -> Snapshot | None:
        """An attribute by itself, to tell whether it changes; None if it has no form."""
        encoder = Encoder(self._world)
        try:
            return Snapshot(encoder.encode(value, path), encoder.tensors)
        except UnsavableError:
            return None


def _numbered(plugins: Iterable[BasePlugin]) -> list[tuple[int, BasePlugin]]:
    """Each plug-in with the number of those of its class before it."""
    taken: dict[type, int] = {}
    numbered = []
    for plugin in plugins:
        taken[type(plugin)] = taken.get(type(plugin), -1) + 1
        numbered.append((taken[type(plugin)], plugin))
    return numbered


def _attributes(plugin: BasePlugin) -> dict[str, Any]:
    """What is kept of a plug-in; `Strategy.state` always, whatever a strategy makes of its `state_dict`."""
    return {"state": plugin.state} | plugin.state_dict() if isinstance(plugin, Strategy) else dict(vars(plugin))


def _load(plugin: BasePlugin, state: dict[str, Any]) -> None:
    if isinstance(plugin, Strategy):
        if "state" in state:
            plugin.state = state["state"]
        plugin.load_state_dict(state)
    else:
        plugin.__dict__.update(state)


def _same(one: Snapshot | None, other: Snapshot | None) -> bool:
    if one is None or other is None or json.dumps(one.plain) != json.dumps(other.plain):
        return False
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def _global_states(device: torch.device) -> dict[str, Any]:
    states = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}  # noqa: NPY002
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_global_states(states: Mapping[str, Any], device: torch.device) -> None:
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    random.setstate(states["python"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
