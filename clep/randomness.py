"""One random generator per use, all derived from the seed of a run."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import numpy as np
import torch


def seed_for(seed: int, use: str) -> int:
    """A seed in [0, 2^63) for one named use ("weights", "batches", "strategy sleep_replay", ...) of a run's `seed`.

    Different uses get unrelated seeds, so adding a strategy changes neither batches nor initial weights.

    Args:
        seed: the seed of the run.
        use: what the numbers are for.

    Example:
        >>> seed_for(0, "weights") == seed_for(0, "batches")
        False
    """
    digest = hashlib.sha256(f"{seed}/{use}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(seed: int, use: str) -> torch.Generator:
    """A CPU generator seeded by `seed_for`."""
    return torch.Generator().manual_seed(seed_for(seed, use))


def seed_globals(seed: int) -> None:
    """Seed torch's, numpy's and Python's global generators, which Avalanche's own plugins draw from."""
    torch.manual_seed(seed_for(seed, "torch"))
    np.random.seed(seed_for(seed, "numpy") % 2**32)  # noqa: NPY002 - the legacy generator is what Avalanche uses
    random.seed(seed_for(seed, "python"))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Let code draw from the global generators, seeded by `seed`, as if it did not: they are as before afterwards.

    Args:
        seed: what the draws follow from.

    Example:
        >>> import torch
        >>> before = torch.get_rng_state()
        >>> with isolated(3):
        ...     _ = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.default_generator.manual_seed(seed_for(seed, "torch"))  # that of the CPU alone: others cannot be put back
    np.random.seed(seed_for(seed, "numpy") % 2**32)  # noqa: NPY002
    random.seed(seed_for(seed, "python"))
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


_within: ContextVar[bool] = ContextVar("within", default=False)  # whether `reproducible` holds at present


def seeded(seed: int) -> AbstractContextManager[None]:
    """Use the seeds of a run, unless `reproducible` has set them already.

    Args:
        seed: the seed of the run.

    Example:
        >>> import torch
        >>> with seeded(3):
        ...     first = torch.rand(1)
        >>> with seeded(3):
        ...     torch.equal(torch.rand(1), first)
        True
    """
    return nullcontext() if _within.get() else reproducible(seed, torch.get_num_threads())


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Use the seeds and the thread count of a run, then restore the caller's.

    Args:
        seed: the seed of the run.
        threads: number of threads of torch; sums depend on it.
    """
    before, token = torch.get_num_threads(), _within.set(True)
    torch.set_num_threads(threads)
    try:
        with isolated(seed):
            seed_globals(seed)
            yield
    finally:
        _within.reset(token)
        torch.set_num_threads(before)
