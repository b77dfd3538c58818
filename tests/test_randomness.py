"""One generator per use: unrelated, reproducible, and none of them the global one."""

import hashlib
import random
from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from clep.randomness import generator_for, seed_for, seed_globals


def global_draws():
    return torch.rand(3).tolist(), np.random.random(3).tolist(), [random.random() for _ in range(3)]  # noqa: NPY002


def global_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


@given(seed=st.integers(0, 2**40), use=st.text(max_size=30))
def test_a_seed_is_the_head_of_a_digest_of_seed_and_use(seed, use):
    """The same on every machine and in every Python process: `hash` would differ between two workers."""
    head = hashlib.sha256(f"{seed}/{use}".encode()).hexdigest()[:16]
    assert seed_for(seed, use) == int(head, 16) // 2
    assert 0 <= seed_for(seed, use) < 2**63


def test_every_use_and_every_seed_has_a_seed_of_its_own():
    uses = ["class order", "validation", "samples", "batches", "network", "torch", "numpy", "python"]
    uses += [f"strategy {name}" for name in ("sleep_replay", "awake_rehearsal", "der")]
    assert len({seed_for(seed, use) for seed in range(50) for use in uses}) == 50 * len(uses)


def test_neighbouring_seeds_draw_unrelated_numbers():
    """Mean correlation of 200 pairs of 100 uniform numbers: 0 +- 0.007."""
    draws = np.stack([torch.rand(100, generator=generator_for(seed, "x")).numpy() for seed in range(201)])
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in pairwise(draws)]
    assert abs(np.mean(pairs)) < 0.03


def test_a_generator_is_reproducible_and_leaves_the_global_ones_alone():
    states = global_states()
    first = torch.rand(5, generator=generator_for(3, "x"))
    assert torch.equal(first, torch.rand(5, generator=generator_for(3, "x")))
    assert not torch.equal(first, torch.rand(5, generator=generator_for(3, "y")))
    assert not torch.equal(first, torch.rand(5, generator=generator_for(4, "x")))
    assert global_states() == states


def test_seeding_the_globals_fixes_all_three():
    """Avalanche draws from torch (replay), numpy and Python's random (AGEM)."""
    seed_globals(1)
    first = global_draws()
    assert global_draws() != first
    seed_globals(1)
    assert global_draws() == first
    seed_globals(2)
    assert all(a != b for a, b in zip(global_draws(), first, strict=True))
