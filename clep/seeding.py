"""Seeds of strategies: those that draw in their constructors draw from their seeds too, wherever they are made."""

import functools
import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from clep.randomness import isolated, seed_for


@dataclass
class _Making:
    """One strategy that is made now, perhaps with others inside of it."""

    seed: int
    given: bool
    parts: int = 0


class MadeWith:
    """A place for the arguments of a constructor; no attribute that a checkpoint would keep."""

    __slots__ = ("_made_with",)
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]


_making: ContextVar[_Making | None] = ContextVar("making", default=None)


@contextmanager
def seeding(seed: int) -> Iterator[None]:
    """Make strategies whose generators start from a seed; what their constructors draw globally follows from it too.

    Args:
        seed: of the one strategy that is made inside.

    Example:
        >>> from clep.strategy import Strategy
        >>> with seeding(7):
        ...     seeded = Strategy()
        >>> seeded.is_seeded, seeded.generator.initial_seed()
        (True, 7)
    """
    token = _making.set(_Making(seed, given=True))
    try:
        with isolated(seed):
            yield
    finally:
        _making.reset(token)


def next_seed() -> tuple[int, bool]:
    """The seed of the strategy whose constructor runs, and whether anybody has given it; parts get one each."""
    making = _making.get()
    if making is None:  # its constructor was called by hand
        return 0, False
    part, making.parts = making.parts, making.parts + 1
    return seed_for(making.seed, f"part {part}") if part else making.seed, making.given


def noting(cls: type) -> None:
    """Make the constructor of a class note how an object was made that could not know its seed, and needs it.

    The global generators are left as they were. Within `seeding` the constructor runs as it is.

    Args:
        cls: a class of strategies.
    """
    init = vars(cls).get("__init__")
    if not inspect.isfunction(init):
        return

    @functools.wraps(init)
    def constructing(self: Any, *args: Any, **kwargs: Any) -> None:
        if _making.get() is not None:
            init(self, *args, **kwargs)
            return
        making = _Making(0, given=False)
        token = _making.set(making)
        try:
            with isolated(0):
                fresh = _states()
                init(self, *args, **kwargs)
                drew = _states() != fresh
        finally:
            _making.reset(token)
        own, unused = getattr(self, "generator", None), torch.Generator().manual_seed(0)
        if drew or making.parts > 1 or (own is not None and not torch.equal(own.get_state(), unused.get_state())):
            self._made_with = args, kwargs

    cls.__init__ = constructing  # type: ignore[misc]


def give_seed(strategy: Any, seed: int) -> None:
    """Seed a strategy that was made before its seed was known.

    If its constructor has drawn, or made strategies of its own, it runs once more: the draws are then those that it
    would have made with this seed.

    Args:
        strategy: a `clep.Strategy`.
        seed: its seed.
    """
    made_with = getattr(strategy, "_made_with", None)
    if made_with is None:
        strategy.seed_with(seed)
        return
    args, kwargs = made_with
    with seeding(seed):
        strategy.__init__(*args, **kwargs)


def _states() -> tuple[Any, ...]:
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - what Avalanche draws from
    return torch.get_rng_state().tolist(), numpy["state"]["key"].tolist(), numpy["state"]["pos"], random.getstate()
