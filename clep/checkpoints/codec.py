"""Python objects as plain values and tensors, and back: what checkpoints consist of. Nothing is pickled.

Numbers, texts, containers, tensors, generators and stored samples have a form each. Objects of Avalanche, of clep and
of a strategy's own package are written as their attributes, or as their `state_dict`. Reading such an object back calls
nothing of it but `load_state_dict`, and only if its class comes from one of these packages, whose code a run executes
anyway.
"""

import copy
import importlib
import math
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import length_hint
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clep.checkpoints.samples import Store
from clep.errors import DataError

Plain = Any
"""None, bool, int, float, str, and lists and mappings of these."""

KIND, NUMBER = "is", "id"
OWN_PACKAGES = frozenset({"avalanche", "clep"})
"""Packages whose classes may be made anew, besides the strategies' own ones."""

_PLAIN = (type(None), bool, int, str)
_CONTAINERS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_MAPPINGS: dict[str, Any] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_FACTORIES: dict[str, type] = {kind.__name__: kind for kind in (list, dict, set, int, float, Counter)}
_FUNCTIONS: dict[str, Any] = {
    "torch.zeros": torch.zeros,
    "torch.ones": torch.ones,
    "torch.empty": torch.empty,
    "torch.zeros_like": torch.zeros_like,
    "torch.ones_like": torch.ones_like,
}
_MOST_PATHS = 20  # to one object: parts that refer to each other have endlessly many
_STATELESS = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


class UnsavableError(Exception):
    """A value has no form in a checkpoint; the text says where it is and what it is."""


@dataclass
class Kept:
    """An object that exists once training is set up.

    Attributes:
        value: the object.
        paths: where it is.
    """

    value: Any
    paths: set[str] = field(default_factory=set)


@dataclass
class World:
    """What exists in the process that writes as well as in the one that reads: it is named, not copied.

    Attributes:
        network: the learner's network.
        objects: further objects by name, such as the template.
        samples: how stored samples are written.
        packages: top-level packages of the strategies.
        kept: ids of objects that were there when training was set up, and where: they are there again.
    """

    network: nn.Module
    objects: Mapping[str, Any]
    samples: Store
    packages: frozenset[str] = frozenset()
    kept: Mapping[int, Kept] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The network's parameters and buffers by name."""
        return {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}

    def network_copy(self) -> nn.Module:
        """A new module like the network."""
        return copy.deepcopy(self.network)

    def may_make(self, cls: type) -> bool:
        """Whether an object of a class may be made from a file."""
        return cls.__module__.partition(".")[0] in self.packages | OWN_PACKAGES


class Encoder:
    """Writes objects; one that is met twice is written once.

    Args:
        world: what is named instead of written.

    Attributes:
        tensors: name -> tensor on the CPU, of all that was written.

    Example:
        >>> import torch
        >>> from clep.checkpoints.codec import Decoder, Encoder, World
        >>> from clep.checkpoints.samples import Store
        >>> world = World(torch.nn.Linear(2, 2), {}, Store())
        >>> encoder = Encoder(world)
        >>> plain = encoder.encode({"mean": torch.ones(3), 4: (1, None)}, "statistics")
        >>> Decoder(world, encoder.tensors).decode(plain)
        {'mean': tensor([1., 1., 1.]), 4: (1, None)}
    """

    def __init__(self, world: World) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._world = world
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is unique only while its object lives
        self._named = {id(value): name for name, value in world.objects.items()}
        self._parameters = {id(value): name for name, value in world.parameters.items()}
        self._storages = {_place(value): name for name, value in world.parameters.items() if value.numel()}

    def encode(self, value: Any, path: str) -> Plain:
        """Write an object.

        Args:
            value: the object.
            path: where it is, for messages.

        Raises:
            UnsavableError: if it, or a part of it, has no form in a checkpoint.
        """
        if type(value) is float:
            return value if math.isfinite(value) else {KIND: "float", "value": str(value)}
        if type(value) in _PLAIN:
            return value
        if (known := self._known(value)) is not None:
            return known
        if (number := self._numbers.get(id(value))) is not None:
            return {KIND: "again", NUMBER: number}
        self._numbers[id(value)] = number = len(self._numbers)
        self._alive.append(value)
        return {NUMBER: number} | self._form(value, path)

    def tensor(self, value: Tensor) -> str:
        """Keep a tensor; returns its name."""
        name = f"t{len(self.tensors)}"
        self.tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return name

    def _known(self, value: Any) -> Plain:
        if value is self._world.network:
            return {KIND: "network"}
        if id(value) in self._named:
            return {KIND: "named", "name": self._named[id(value)]}
        if id(value) in self._parameters:
            return {KIND: "parameter", "name": self._parameters[id(value)]}
        for name, known in _FUNCTIONS.items():
            if value is known:
                return {KIND: "function", "name": name}
        return None

    def _form(self, value: Any, path: str) -> dict[str, Plain]:
        if isinstance(value, Tensor):
            return self._of_tensor(value)
        if isinstance(value, np.ndarray | np.generic):
            return self._of_array(value, path)
        if isinstance(value, torch.Generator):
            return {KIND: "generator", "state": self.tensor(value.get_state()), "device": str(value.device)}
        if isinstance(value, np.random.Generator):
            return {KIND: "numpy generator", "state": self.encode(value.bit_generator.state, path)}
        if isinstance(value, random.Random):
            return {KIND: "random", "state": self.encode(value.getstate(), path)}
        if isinstance(value, torch.Size):
            return {KIND: "size", "value": list(value)}
        if isinstance(value, torch.device | torch.dtype):
            return {KIND: "device" if isinstance(value, torch.device) else "dtype", "value": str(value)}
        if (
            form := self._world.samples.encode(value, lambda part, name: self.encode(part, f"{path}.{name}"))
        ) is not None:
            return form
        if (container := self._of_container(value, path)) is not None:
            return container
        if isinstance(value, nn.Module):
            return self._of_module(value, path)
        if self._world.may_make(type(value)) and hasattr(value, "load_state_dict"):
            return {KIND: "stateful", "class": _path_of(type(value)), "state": self.encode(value.state_dict(), path)}
        if isinstance(value, _STATELESS) or (hasattr(value, "__next__") and length_hint(value) == 0):
            return self._kept(value, path)
        if isinstance(value, torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler) and self._is_kept(
            value, path
        ):
            return {KIND: "stateful", "class": "", "state": self.encode(value.state_dict(), path)}
        return self._of_object(value, path)

    def _of_tensor(self, value: Tensor) -> dict[str, Plain]:
        if value.numel() and (name := self._storages.get(_place(value))) is not None:
            return {KIND: "data of", "name": name}  # as plug-ins that keep `parameter.data`
        return {
            KIND: "tensor",
            "name": self.tensor(value),
            "parameter": isinstance(value, nn.Parameter),
            "requires_grad": value.requires_grad and value.is_leaf,
            "cpu": value.device.type == "cpu",
        }

    def _of_array(self, value: Any, path: str) -> dict[str, Plain]:
        if value.dtype.kind not in "biuf":
            raise UnsavableError(f"{path} is an array of {value.dtype}")
        plain = np.ascontiguousarray(value)
        return {
            KIND: "array",
            "name": self.tensor(torch.from_numpy(plain.view(np.uint8).reshape(-1).copy())),
            "dtype": plain.dtype.str,
            "shape": list(np.shape(value)),
            "scalar": isinstance(value, np.generic),
        }

    def _of_container(self, value: Any, path: str) -> dict[str, Plain] | None:
        for kind, cls in _CONTAINERS.items():
            if type(value) is cls:
                return {KIND: kind, "values": [self.encode(entry, f"{path}[{i}]") for i, entry in enumerate(value)]}
        if type(value) is deque:
            values = [self.encode(entry, f"{path}[{i}]") for i, entry in enumerate(value)]
            return {KIND: "deque", "values": values, "maxlen": value.maxlen}
        for kind, cls in _MAPPINGS.items():
            if type(value) is cls:
                return {KIND: kind, "items": self._items(value, path)}
        if type(value) is defaultdict:
            factory = next((name for name, kind in _FACTORIES.items() if value.default_factory is kind), None)
            if factory is None and not self._is_kept(value, path):
                raise UnsavableError(f"{path} is a defaultdict of {value.default_factory!r}")
            return {KIND: "defaultdict", "factory": factory, "items": self._items(value, path)}
        return None

    def _items(self, value: Mapping[Any, Any], path: str) -> list[Plain]:
        return [
            [self.encode(key, f"{path}[{key!r}]"), self.encode(entry, f"{path}[{key!r}]")]
            for key, entry in value.items()
        ]

    def _of_module(self, value: nn.Module, path: str) -> dict[str, Plain]:
        if not (self._is_kept(value, path) or self._is_copy_of_network(value)):
            raise UnsavableError(
                f"{path} is a {type(value).__name__} made during training, unlike the learner's network"
            )
        return {
            KIND: "module",
            "copy": not self._is_kept(value, path),
            "state": self.encode(value.state_dict(), path),
            "training": value.training,
            "gradients": [parameter.requires_grad for parameter in value.parameters()],
            "generators": self.encode(generators_in(value), path),
        }

    def _is_copy_of_network(self, value: nn.Module) -> bool:
        own = self._world.network
        return type(value) is type(own) and _shapes(value) == _shapes(own)

    def _of_object(self, value: Any, path: str) -> dict[str, Plain]:
        cls = type(value)
        if not self._world.may_make(cls) and not self._is_kept(value, path):
            raise UnsavableError(f"{path} is a {cls.__module__}.{cls.__qualname__}")
        attributes = getattr(value, "__dict__", None)
        if (
            attributes is None
            or hasattr(value, "__next__")
            or ("<locals>" in cls.__qualname__ and not self._is_kept(value, path))
        ):
            raise UnsavableError(f"{path} is a {cls.__module__}.{cls.__qualname__}")
        form = {KIND: "object", "class": _path_of(cls)}
        return form | {"attributes": {name: self.encode(v, f"{path}.{name}") for name, v in attributes.items()}}

    def _kept(self, value: Any, path: str) -> dict[str, Plain]:
        """Nothing: it is there again when training is set up again."""
        if not self._is_kept(value, path):
            raise UnsavableError(f"{path} is a {type(value).__name__} made during training")
        return {KIND: "kept"}

    def _is_kept(self, value: Any, path: str) -> bool:
        kept = self._world.kept.get(id(value))
        return kept is not None and path in kept.paths


class Decoder:
    """Reads what an `Encoder` wrote.

    Args:
        world: the same as that of the encoder, in this process.
        tensors: those of the encoder.
        written: all that the encoder wrote, if parts of it are read in another order.

    Raises:
        DataError: for a form that no encoder writes.
    """

    def __init__(self, world: World, tensors: Mapping[str, Tensor], written: Plain = None) -> None:
        self._world, self._tensors = world, tensors
        self._made: dict[int, Any] = {}
        self._changed: dict[int, Any] = {}
        self._forms = {form[NUMBER]: form for form in _forms(written) if form[KIND] != "again"}
        self._readers: dict[str, Callable[[dict[str, Any], Any], Any]] = {
            "float": lambda form, _: float(form["value"]),
            "named": lambda form, _: world.objects[form["name"]],
            "network": lambda form, _: world.network,
            "parameter": lambda form, _: world.parameters[form["name"]],
            "data of": lambda form, _: world.parameters[form["name"]].data,
            "function": lambda form, _: _FUNCTIONS[form["name"]],
            "again": self._again,
            "kept": lambda form, existing: existing,
            "size": lambda form, _: torch.Size(form["value"]),
            "device": lambda form, _: torch.device(form["value"]),
            "dtype": lambda form, _: getattr(torch, form["value"].removeprefix("torch.")),
            "tensor": self._tensor,
            "array": self._array,
            "generator": self._generator,
            "numpy generator": self._numpy_generator,
            "random": self._random,
            "deque": lambda form, _: deque(map(self.decode, form["values"]), form["maxlen"]),
            "defaultdict": self._defaultdict,
            "module": self._module,
            "stateful": self._stateful,
            "object": self._object,
        }
        self._readers |= dict.fromkeys(_CONTAINERS, self._container) | dict.fromkeys(_MAPPINGS, self._mapping)

    def decode(self, plain: Plain, existing: Any = None) -> Any:
        """Read an object.

        Args:
            plain: what the encoder returned.
            existing: the object in its place, to be changed if it is of the same class.
        """
        if not isinstance(plain, dict):
            return plain
        if plain.get(NUMBER) in self._made:
            return self._made[plain[NUMBER]]
        if plain[KIND] != "kept":
            existing = self._once(existing)
        if (read := self._readers.get(plain[KIND])) is not None:
            value = read(plain, existing)
        else:
            value = self._world.samples.decode(plain, self.decode)
        return self._note(plain, value) if plain[KIND] != "again" else value

    def _once(self, existing: Any) -> Any:
        """An object to change in place, or None if that was done: what is one object now may have been two."""
        if existing is None or id(existing) in self._changed:
            return None
        self._changed[id(existing)] = existing
        return existing

    def _note(self, form: Mapping[str, Any], value: Any) -> Any:
        if NUMBER in form:
            self._made[form[NUMBER]] = value
        return value

    def _again(self, form: dict[str, Any], existing: Any) -> Any:
        number = form[NUMBER]
        return self._made[number] if number in self._made else self.decode(self._forms[number], existing)

    def _tensor(self, form: dict[str, Any], existing: Any) -> Tensor:
        value = self._tensors[form["name"]].clone()
        if not form["cpu"]:
            value = value.to(next(iter(self._world.parameters.values())).device)
        if form["parameter"]:
            return nn.Parameter(value, requires_grad=form["requires_grad"])
        return value.requires_grad_(form["requires_grad"]) if form["requires_grad"] else value

    def _array(self, form: dict[str, Any], existing: Any) -> Any:
        raw = self._tensors[form["name"]].numpy()
        value = raw.copy().view(np.dtype(form["dtype"])).reshape(form["shape"])
        return value[()] if form["scalar"] else value

    def _generator(self, form: dict[str, Any], existing: Any) -> torch.Generator:
        generator = existing if isinstance(existing, torch.Generator) else torch.Generator(form["device"])
        return generator.set_state(self._tensors[form["state"]])

    def _numpy_generator(self, form: dict[str, Any], existing: Any) -> np.random.Generator:
        state = self.decode(form["state"])
        if not isinstance(existing, np.random.Generator):
            kinds = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
            if state["bit_generator"] not in kinds:
                raise DataError(f"the checkpoint names an unknown generator, `{state['bit_generator']}`")
            existing = np.random.Generator(getattr(np.random, state["bit_generator"])())
        existing.bit_generator.state = state
        return existing

    def _random(self, form: dict[str, Any], existing: Any) -> random.Random:
        generator = existing if isinstance(existing, random.Random) else random.Random()
        generator.setstate(self.decode(form["state"]))
        return generator

    def _container(self, form: dict[str, Any], existing: Any) -> Any:
        cls = _CONTAINERS[form[KIND]]
        if cls is list:
            values = self._note(form, [])
            values.extend(map(self.decode, form["values"]))
            return values
        return cls(map(self.decode, form["values"]))

    def _mapping(self, form: dict[str, Any], existing: Any) -> Any:
        value = self._note(form, _MAPPINGS[form[KIND]]())
        previous = existing if isinstance(existing, Mapping) else {}
        for key, entry in form["items"]:
            name = self.decode(key)
            value[name] = self.decode(entry, previous.get(name))
        return value

    def _defaultdict(self, form: dict[str, Any], existing: Any) -> Any:
        if form["factory"] is None:
            value = self._note(form, existing)
            value.clear()
        else:
            value = self._note(form, defaultdict(_FACTORIES[form["factory"]]))
        value.update((self.decode(key), self.decode(entry)) for key, entry in form["items"])
        return value

    def _module(self, form: dict[str, Any], existing: Any) -> nn.Module:
        module = self._world.network_copy() if form["copy"] else existing
        module.load_state_dict(self.decode(form["state"]))
        module.train(form["training"])
        for parameter, requires_grad in zip(module.parameters(), form["gradients"], strict=True):
            parameter.requires_grad_(requires_grad)
        self.decode(form["generators"], generators_in(module))
        return module

    def _stateful(self, form: dict[str, Any], existing: Any) -> Any:
        if form["class"] and _path_of(type(existing)) != form["class"]:
            existing = object.__new__(self._class(form["class"]))
        self._note(form, existing).load_state_dict(self.decode(form["state"]))
        return existing

    def _object(self, form: dict[str, Any], existing: Any) -> Any:
        if _path_of(type(existing)) == form["class"]:
            value = existing
        else:
            cls = self._class(form["class"])
            value = object.__new__(cls)
        self._note(form, value)
        previous = dict(vars(value))
        # Not by setattr: that could be the object's own code, and specs are frozen.
        value.__dict__.clear()
        value.__dict__.update(
            {name: self.decode(entry, previous.get(name)) for name, entry in form["attributes"].items()}
        )
        return value

    def _class(self, path: str) -> type:
        module, _, name = path.partition(":")
        if module.partition(".")[0] in self._world.packages | OWN_PACKAGES:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part, None)
            if isinstance(found, type) and self._world.may_make(found) and not issubclass(found, nn.Module):
                return found
        raise DataError(f"the checkpoint holds a `{path}`, which no strategy of this run brings")


def _forms(written: Plain) -> Iterator[dict[str, Any]]:
    """All numbered forms within what an encoder wrote."""
    if isinstance(written, dict) and NUMBER in written:
        yield written
    for part in written.values() if isinstance(written, dict) else written if isinstance(written, list) else ():
        yield from _forms(part)


def generators_in(root: Any) -> dict[str, Any]:
    """The random generators within an object of clep, of a module or of their parts, by where they are.

    Args:
        root: the object.

    Example:
        >>> import clep
        >>> network = clep.Network([64, 16, 10], dynamics="bernoulli")
        >>> len(generators_in(network)) > 0
        True
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def search(value: Any, path: str) -> None:
        if id(value) in seen or isinstance(value, Tensor):
            return
        seen.add(id(value))
        if isinstance(value, torch.Generator | np.random.Generator | random.Random):
            found[path] = value
            return
        for name, part in _parts(value):
            search(part, f"{path}.{name}".lstrip("."))

    search(root, "")
    return found


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(enumerate(value))
    if isinstance(value, nn.Module) or type(value).__module__.partition(".")[0] in OWN_PACKAGES:
        return list(getattr(value, "__dict__", {}).items())
    return []


def kept_in(attributes: Mapping[str, Any], path: str, found: dict[int, Kept]) -> None:
    """Note the objects in the attributes of a plug-in, and where they are.

    Args:
        attributes: of the plug-in.
        path: its name.
        found: id -> object, to add to.
    """
    for name, value in attributes.items():
        _note_kept(value, f"{path}.{name}", found)


def _note_kept(value: Any, path: str, found: dict[int, Kept]) -> None:
    if type(value) in (*_PLAIN, float) or isinstance(value, Tensor):
        return
    kept = found.setdefault(id(value), Kept(value))
    if path in kept.paths or len(kept.paths) > _MOST_PATHS:
        return
    kept.paths.add(path)
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _note_kept(entry, f"{path}[{key!r}]", found)
    elif not isinstance(value, (*_STATELESS, nn.Module)):
        for name, entry in getattr(value, "__dict__", {}).items():
            _note_kept(entry, f"{path}.{name}", found)


def _path_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _shapes(module: nn.Module) -> dict[str, Any]:
    return {name: getattr(value, "shape", None) for name, value in module.state_dict().items()}


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor's values are: two tensors of one place are two views of the same memory."""
    return (
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
    )
