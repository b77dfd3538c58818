"""The plug-in API: a thin base for strategies, and the registry that finds and builds them by name.

A strategy is an Avalanche plugin. In a hook, `self` is the strategy and the argument `strategy` is the training
template (Avalanche's name, kept): `strategy.mb_x`, `mb_y`, `mb_output`, `loss`, `model`, `optimizer`, `dataloader`,
`experience`.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.templates.base import BaseTemplate
from torch import Tensor, nn

from clep.errors import ConfigError
from clep.randomness import seed_for
from clep.schema import unknown

__all__ = [
    "GROUP",
    "Memory",
    "Strategy",
    "build",
    "defaults",
    "find",
    "in_range",
    "memory_of",
    "memory_of_buffer",
    "names",
    "one_of",
    "parameters",
    "touches_loss",
]

GROUP = "clep.strategies"
"""Entry-point group that installed packages register strategies in."""

_HOOKS = {name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))}
_LOSS_HOOKS = {
    f"{when}_{what}" for when in ("before", "after") for what in ("training_iteration", "forward", "backward", "update")
}


@dataclass(frozen=True)
class Memory:
    """What a strategy keeps of the past.

    Attributes:
        exemplars: number of stored samples.
        exemplar_bytes: their size.
        statistics_bytes: size of everything else (means, maxima, importances, earlier models).
    """

    exemplars: int = 0
    exemplar_bytes: int = 0
    statistics_bytes: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(
            self.exemplars + other.exemplars,
            self.exemplar_bytes + other.exemplar_bytes,
            self.statistics_bytes + other.statistics_bytes,
        )


class Strategy(SupervisedPlugin):
    """Base of clep's strategies; override Avalanche's hooks (`before_training_exp`, `before_backward`, ...).

    The typed, keyword-only `__init__` is the parameter schema: `strategy.<name>.<parameter>` of a config is checked
    against it. A strategy also works inside a plain Avalanche strategy such as `Naive`.

    Attributes:
        stands_alone: cannot be combined with other strategies.
        trains_jointly: learns all experiences at once instead of one after another.
        consolidates: changes weights after an experience was trained (accuracy is then measured before and after).
        touches_loss: adds to the loss or calls the model in the training iteration; None: found out from its hooks.
        search_space: parameter -> range that `clep tune` searches; see `clep.search`.
        generator: this strategy's own source of randomness.
    """

    stands_alone: ClassVar[bool] = False
    trains_jointly: ClassVar[bool] = False
    consolidates: ClassVar[bool] = False
    touches_loss: ClassVar[bool | None] = None
    search_space: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith(("before_", "after_")) and name not in _HOOKS:
                raise TypeError(f"{cls.__name__}.{name}: {unknown(name, sorted(_HOOKS), 'hook')}")

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()
        self.seed_with(0)
        self._logged: dict[str, float] = {}

    def seed_with(self, seed: int) -> None:
        """Restart this strategy's generator; done by the pipeline with a seed of its own for each strategy."""
        self.generator.manual_seed(seed)

    def draw(self, n: int, k: int) -> list[int]:
        """`k` different indices below `n`, in random order, from this strategy's generator."""
        return torch.randperm(n, generator=self.generator)[:k].tolist()

    @contextmanager
    def own_draws(self) -> Iterator[None]:
        """Code within that draws from torch's global generator draws from this strategy's instead."""
        state = torch.get_rng_state()
        torch.set_rng_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.get_rng_state())
            torch.set_rng_state(state)

    def log(self, name: str, value: float) -> None:
        """Record a metric of the experience just trained; it becomes the MLflow metric `name`."""
        self._logged[name] = float(value)

    def take_log(self) -> dict[str, float]:
        """What was logged since the last call."""
        logged, self._logged = self._logged, {}
        return logged

    def memory(self) -> Memory:
        """What this strategy keeps of the past now."""
        return Memory()


def in_range(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """`value`, if `low <= value <= high`.

    Raises:
        ConfigError: otherwise, naming the parameter and the range.
    """
    if not low <= value <= high:
        allowed = f"of at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ConfigError(f"{name}: expected a value {allowed}, got {value}.")
    return value


def one_of(name: str, value: str, valid: Iterable[str]) -> str:
    """`value`, if it is one of `valid`.

    Raises:
        ConfigError: otherwise, naming the parameter and the choices.
    """
    valid = list(valid)
    if value not in valid:
        raise ConfigError(f"{name}: {unknown(str(value), valid, name)}")
    return value


def names() -> list[str]:
    """Names of all registered strategies, built-in and installed."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def find(name: str) -> type[BasePlugin]:
    """The class of a strategy.

    Args:
        name: a registered name, or an import path `module:Class` (`module.Class`) of an Avalanche plugin.

    Raises:
        ConfigError: if there is none, or if it is an Avalanche template instead of a plugin.
    """
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in registered:
        cls = registered[name].load()
    elif ":" in name or "." in name:
        cls = _import(name)
    else:
        hint = "A strategy of your own is named by its import path, `my_module:MyStrategy`."
        raise ConfigError(f"strategies: {unknown(name, sorted(registered), 'strategy')}. {hint}")
    if isinstance(cls, type) and issubclass(cls, BaseTemplate):
        raise ConfigError(
            f"strategies: `{name}` is an Avalanche template, not a plugin: it replaces the training loop, so its loss "
            "would be skipped in silence. Use its plugin, if there is one (DER and DER++ are `der` here, ER-ACE "
            "`er_ace`)."
        )
    if not (isinstance(cls, type) and issubclass(cls, BasePlugin)):
        raise ConfigError(f"strategies: `{name}` is not an Avalanche plugin class; derive it from `clep.Strategy`.")
    return cls


def _import(path: str) -> Any:
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"strategies: cannot import `{path}` ({error}). The module must be importable, "
            "e.g. installed or in the folder that Python starts from."
        ) from error


def parameters(cls: type[BasePlugin]) -> dict[str, inspect.Parameter]:
    """The parameters of a strategy, from the signature of its `__init__`."""
    signature = inspect.signature(cls.__init__)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in signature.parameters.items() if name != "self" and p.kind in kinds}


def defaults(cls: type[BasePlugin]) -> dict[str, Any]:
    """The default parameters of a strategy that a config can hold: numbers, strings, None and lists of them."""

    def plain(value: Any) -> bool:
        return value is None or isinstance(value, bool | int | float | str)

    values = {name: p.default for name, p in parameters(cls).items() if p.default is not inspect.Parameter.empty}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {k: v for k, v in values.items() if plain(v) or (isinstance(v, list) and all(map(plain, v)))}


def build(
    strategies: Sequence[str], arguments: Mapping[str, Mapping[str, Any]] | None = None, *, seed: int = 0
) -> list[BasePlugin]:
    """Build a composed set of strategies.

    Args:
        strategies: names or import paths, in the order in which their hooks are called.
        arguments: name -> parameters of that strategy; other names are left alone.
        seed: each strategy gets a seed of its own derived from it.

    Raises:
        ConfigError: for an unknown name, parameter or value, naming the key.
    """
    built = []
    for name in strategies:
        cls = find(name)
        values = dict((arguments or {}).get(name) or {})
        _check(name, cls, values)
        try:
            plugin = cls(**values)
        except ConfigError as error:
            raise ConfigError(f"strategy.{name}.{error}") from error
        except (AssertionError, ValueError) as error:  # how Avalanche's plugins refuse a value
            raise ConfigError(f"strategy.{name}: {cls.__name__} refuses these parameters: {error}") from error
        if isinstance(plugin, Strategy):
            plugin.seed_with(seed_for(seed, f"strategy {name}"))
        built.append(plugin)
    return built


def _check(name: str, cls: type[BasePlugin], values: Mapping[str, Any]) -> None:
    schema = parameters(cls)
    types_of = _hints(cls)
    for key, value in values.items():
        if key not in schema:
            raise ConfigError(f"strategy.{name}.{key}: {unknown(key, schema, 'key')}")
        kind = types_of.get(key, _kind_of_default(schema[key].default))
        if not _fits(value, kind):
            if typing.get_origin(kind) is typing.Literal:
                choices = map(str, typing.get_args(kind))
                raise ConfigError(f"strategy.{name}.{key}: {unknown(str(value), choices, 'value')}")
            raise ConfigError(f"strategy.{name}.{key}: expected {_words(kind)}, got {value!r}.")
    missing = [k for k, p in schema.items() if p.default is inspect.Parameter.empty and k not in values]
    if missing:
        raise ConfigError(f"strategy.{name}.{missing[0]}: a value is required; set strategy.{name}.{missing[0]}=...")


def _hints(cls: type[BasePlugin]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)
    except NameError:  # an annotation that only type checkers can see
        return {}


def _kind_of_default(default: Any) -> Any:
    """What a parameter without annotation takes: numbers, or one for each experience, where its default is a number."""
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    return float | list[float] if is_number else Any


def _words(kind: Any) -> str:
    """An annotation as an error message says it."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_words, options))
    if origin in (list, Sequence, tuple):
        return f"a list of {_words(options[0])}"
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))


def _fits(value: Any, kind: Any) -> bool:
    """Whether a plain config value fits an annotation; annotations that a config cannot express fit everything."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in options)
    if origin is typing.Literal:
        return value in options
    if origin in (list, Sequence, tuple):
        return isinstance(value, list | tuple) and all(_fits(v, options[0]) for v in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (bool, str, type(None)):
        return isinstance(value, kind)
    return True


def touches_loss(plugin: BasePlugin) -> bool:
    """Whether a plugin adds to the loss, changes gradients or calls the model within the training iteration."""
    declared = getattr(plugin, "touches_loss", None)
    if declared is not None:
        return declared
    return any(getattr(type(plugin), h, None) not in (None, getattr(SupervisedPlugin, h)) for h in _LOSS_HOOKS)


def memory_of(plugin: BasePlugin) -> Memory:
    """What a plugin keeps of the past: as it says itself or, for Avalanche's plugins, as found in its attributes."""
    if isinstance(plugin, Strategy):
        return plugin.memory()
    return _stored(vars(plugin), set())


def memory_of_buffer(buffer: ExemplarsBuffer) -> Memory:
    """The samples in one of Avalanche's storage policies."""
    return _memory_of_samples(buffer.buffer)


def _memory_of_samples(dataset: AvalancheDataset) -> Memory:
    size = dataset[0][0].nbytes + 8 if len(dataset) else 0  # 8 bytes for the label
    return Memory(exemplars=len(dataset), exemplar_bytes=len(dataset) * size)


def _stored(value: Any, seen: set[int]) -> Memory:
    if id(value) in seen:
        return Memory()
    seen.add(id(value))
    if isinstance(value, Tensor):
        return Memory(statistics_bytes=value.nbytes)
    if isinstance(value, nn.Module):
        return Memory(statistics_bytes=sum(tensor.nbytes for tensor in value.state_dict().values()))
    if isinstance(value, ExemplarsBuffer):
        return memory_of_buffer(value)
    if isinstance(value, AvalancheDataset):
        return _memory_of_samples(value)
    if isinstance(value, Mapping):
        return sum((_stored(v, seen) for v in value.values()), Memory())
    if isinstance(value, list | tuple):
        return sum((_stored(v, seen) for v in value), Memory())
    if type(value).__module__.startswith("avalanche."):
        return _stored(vars(value), seen)
    return Memory()
