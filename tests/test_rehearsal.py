"""What strategies that rehearse in batches share: what they refuse, and the batches of stored samples."""

import pytest
import torch
from avalanche.training.plugins import EWCPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from clep.strategies.der import DER
from clep.strategies.er_ace import ERACE

import clep
from clep.errors import ConfigError
from clep.rehearsal import stored_batches
from clep.strategy import refusals

BOTH = pytest.mark.parametrize(("name", "strategy"), [("er_ace", ERACE), ("der", DER)])


@pytest.fixture(scope="module")
def digits():
    """Three experiences of 40 digits."""
    return clep.stream("digits", experiences=3, samples_per_experience=40)


def run(digits, *plugins, batch_size=16):
    network = clep.Network([64, 8, 10], seed=1)
    torch.manual_seed(0)
    clep.Training(clep.Learner(network, lr=0.05), plugins, batch_size=batch_size, epochs=1).run(digits)
    return network.connections[0].weight.detach()


@BOTH
def test_a_memory_smaller_than_a_batch_is_refused_before_anything_is_trained(name, strategy, digits):
    """Avalanche rehearses only full batches: this would be naive training under another name."""
    network = clep.Network([64, 8, 10])
    start = network.connections[0].weight.detach().clone()
    message = rf"^strategy\.{name}\.mem_size: 20 samples never fill a batch of 32.*{name}\.batch_size_mem"
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [strategy(mem_size=20)], batch_size=32, epochs=1).run(digits)
    assert torch.equal(network.connections[0].weight, start)
    run(digits, strategy(mem_size=20, batch_size_mem=20), batch_size=32)


@BOTH
def test_a_penalty_before_it_which_it_would_lose_is_refused_and_one_after_it_works(name, strategy, digits):
    message = rf"^strategies: `{name}` replaces the loss, .*EWCPlugin.*put `{name}` first"
    with pytest.raises(ConfigError, match=message):
        run(digits, EWCPlugin(1e4), strategy(mem_size=20))
    after = run(digits, strategy(mem_size=20), EWCPlugin(1.0))
    assert not torch.equal(after, run(digits, strategy(mem_size=20)))


@BOTH
def test_all_reasons_are_given_and_none_where_there_are_none(name, strategy):
    plugins = [EWCPlugin(1.0), strategy(mem_size=20)]
    assert [text.split(":")[0] for text in refusals(plugins, None, 32)] == [f"strategy.{name}.mem_size", "strategies"]
    assert list(refusals(plugins[::-1], None, 20)) == []


def test_batches_are_full_and_there_are_none_before_the_memory_fills_one(digits):
    buffer = ReservoirSamplingBuffer(10)
    assert stored_batches(buffer, 4) is None
    buffer.update_from_dataset(digits.benchmark.train_stream[0].dataset.train())
    batches = stored_batches(buffer, 4)
    assert [len(next(batches)[0]) for _ in range(6)] == [4] * 6
    assert stored_batches(buffer, 11) is None
