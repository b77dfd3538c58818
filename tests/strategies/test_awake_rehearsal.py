"""Awake rehearsal: what is stored, when it is shown, and that nothing else changes."""

import inspect
from collections import Counter
from typing import get_args

import pytest
import torch
from clep.strategies.awake_rehearsal import POLICIES, AwakeRehearsal

import clep
from clep.errors import ConfigError
from clep.registry import build
from clep.strategy import Memory, Strategy
from clep.streams import ROW


class Shown(Strategy):
    """Records every batch and, after each experience, the weights."""

    adds_penalty = False

    def __init__(self):
        super().__init__()
        self.epochs, self.weights = [], []

    def before_training_epoch(self, strategy, **kwargs):
        self.epochs.append((strategy.clock.train_exp_counter, []))

    def after_forward(self, strategy, **kwargs):
        self.epochs[-1][1].extend(x.numpy().tobytes() for x in strategy.mb_x)

    def after_training_exp(self, strategy, **kwargs):
        self.weights.append(strategy.model.connections[0].weight.detach().clone())


@pytest.fixture(scope="module")
def stream():
    """Five experiences of two classes with at least 10 samples of each class."""
    stream = clep.stream("digits", experiences=5, samples_per_experience=40)
    assert min(n for e in stream.train for n in Counter(e.samples.y.tolist()).values()) >= 10
    return stream


def rehearse(stream, plugins, epochs=1, on_experience=None, seed=0):
    training = clep.Training(clep.Learner(clep.Network([64, 8, 10]), lr=0.1), plugins, epochs=epochs, seed=seed)
    training.run(stream, on_experience)
    return training


def rows(plugin):
    """Rows of the stream's samples that are in the memory."""
    return [int(row) for row in getattr(plugin.buffer.buffer, ROW)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [1, 7, 19, 1000])
def test_the_memory_holds_seen_samples_up_to_its_size_and_balanced(size, policy, stream):
    plugin = AwakeRehearsal(memory_size=size, policy=policy)

    def check(report, _):
        seen = [row for e in stream.train[: report.index + 1] for row in e.rows]
        kept = rows(plugin)
        assert report.memory == plugin.memory() == Memory(len(kept), len(kept) * (64 * 4 + 8))
        assert len(set(kept)) == len(kept)
        assert set(kept) <= set(seen)
        groups = {
            "class_balanced": [stream.samples.y[row].item() for row in kept],
            "experience_balanced": [i for i, e in enumerate(stream.train) for row in kept if row in e.rows],
            "reservoir": [0] * len(kept),
        }[policy]
        seen_experiences = report.index + 1
        parts = {"class_balanced": 2 * seen_experiences, "experience_balanced": seen_experiences, "reservoir": 1}[
            policy
        ]
        if size == 1000:
            assert len(kept) == len(seen)
        elif size >= parts:
            assert len(kept) == size
            counts = Counter(groups)
            assert len(counts) == parts
            assert max(counts.values()) - min(counts.values()) <= 1
        else:
            assert len(kept) <= size

    rehearse(stream, [plugin], on_experience=check)


@pytest.mark.parametrize("fraction", [0.01, 0.025, 0.05, 0.1, 0.5, 1.0])
def test_a_share_is_kept_of_every_class_seen_and_grows_with_the_stream(fraction):
    """Of unequal classes (48 to 57 % of an experience), where a balanced memory that grows would come out too small."""
    stream = clep.stream("digits", experiences=5, samples_per_experience=90)
    plugin = AwakeRehearsal(fraction=fraction)
    sizes = []

    def check(report, _):
        seen = [row for e in stream.train[: report.index + 1] for row in e.rows]
        kept = rows(plugin)
        assert len(set(kept)) == len(kept)
        assert set(kept) <= set(seen)
        old, stored = (Counter(stream.samples.y[row].item() for row in of) for of in (seen, kept))
        assert stored == {label: max(1, round(fraction * n)) for label, n in old.items()}
        assert report.memory == Memory(len(kept), len(kept) * (64 * 4 + 8))
        assert plugin.buffer.max_size == len(kept)
        sizes.append(len(kept))

    rehearse(stream, [plugin], on_experience=check)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == pytest.approx(max(10, fraction * 450), abs=5)


def test_a_class_that_comes_again_adds_to_its_share_and_its_old_samples_stay_likely(one_experience):
    """Two visits of 20 and 60 samples: a quarter of 80 is kept, and 5 +- 2 of it are from the first visit."""
    first, second = torch.zeros(40, 3), torch.ones(120, 3)
    old = []
    for seed in range(20):
        plugin = AwakeRehearsal(fraction=0.25)
        plugin.seed_with(seed)
        with plugin.own_draws():
            for x in (first, second):
                plugin.buffer.post_adapt(None, one_experience(x))
        stored = [(float(x[0]), y) for x, y, *_ in plugin.buffer.buffer]
        assert Counter(y for _, y in stored) == {0: 20, 1: 20}
        old.append(sum(value == 0 for value, _ in stored))
    assert 8 < sum(old) / 20 < 12


def test_each_epoch_shows_every_new_and_every_stored_sample_once(stream):
    """Not more: a memory shown in every batch would be another method, with more updates per experience."""
    shown, plugin = Shown(), AwakeRehearsal(memory_size=15)
    memories = [[]]
    rehearse(stream, [shown, plugin], epochs=2, on_experience=lambda *_: memories.append(rows(plugin)))
    assert [experience for experience, _ in shown.epochs] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for experience, images in shown.epochs:
        expected = stream.samples.rows([*stream.train[experience].rows, *memories[experience]])
        assert len(images) == 40 + len(memories[experience])
        assert Counter(images) == Counter(x.numpy().tobytes() for x in expected.x)
    for (_, first), (_, second) in zip(shown.epochs[::2], shown.epochs[1::2], strict=True):
        assert first != second  # shuffled together
    old = {x.numpy().tobytes() for x in stream.samples.rows(memories[1]).x}
    positions = [i for i, image in enumerate(shown.epochs[2][1]) if image in old]
    assert positions[0] < 20
    assert positions[-1] >= 30  # old samples are mixed with new ones, in neither order


def test_the_first_experience_is_naive_training_and_the_second_is_not(stream):
    naive, rehearsed = Shown(), Shown()
    rehearse(stream, [naive], epochs=2)
    rehearse(stream, [rehearsed, AwakeRehearsal(memory_size=10)], epochs=2)
    assert torch.equal(naive.weights[0], rehearsed.weights[0])
    assert not torch.equal(naive.weights[1], rehearsed.weights[1])


@pytest.mark.parametrize("arguments", [*({"memory_size": 10, "policy": p} for p in POLICIES), {"fraction": 0.1}])
def test_it_draws_from_its_own_generator_alone(arguments, stream):
    """What is stored follows from the run's seed, whatever else draws from torch's global generator."""

    def stored(seed, global_seed):
        plugin = AwakeRehearsal(**arguments)
        plugin.seed_with(seed)
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        rehearse(stream, [plugin])
        assert torch.equal(torch.get_rng_state(), state)
        return rows(plugin)

    assert stored(1, 5) == stored(1, 6) != stored(2, 5)


def test_samples_are_stored_at_random(stream):
    """Over 20 seeds, each of 40 samples is among the 10 stored ones 5 +- 1.9 times."""
    counts = Counter()
    experience = stream.benchmark.train_stream[0]
    for seed in range(20):
        plugin = AwakeRehearsal(memory_size=10, policy="reservoir")
        plugin.seed_with(seed)
        with plugin.own_draws():
            plugin.buffer.post_adapt(None, experience)
        counts.update(rows(plugin))
    assert sum(counts.values()) == 200
    assert len(counts) >= 35
    assert max(counts.values()) <= 13


def test_validation_samples_are_never_stored():
    stream = clep.stream("digits", experiences=2, validation_fraction=0.4)
    plugin = AwakeRehearsal(memory_size=2000)
    rehearse(stream, [plugin])
    assert sorted(rows(plugin)) == sorted(row for e in stream.train for row in e.rows)


def test_values_that_cannot_be_are_refused_by_their_key():
    message = r"^strategy\.awake_rehearsal\.memory_size: expected an integer of at least 1 or null, got 0$"
    with pytest.raises(ConfigError, match=message):
        build(["awake_rehearsal"], {"awake_rehearsal": {"memory_size": 0}})
    nearest = r"^strategy\.awake_rehearsal\.policy: unknown value `class_balance`; did you mean `class_balanced`\?"
    with pytest.raises(ConfigError, match=nearest):
        build(["awake_rehearsal"], {"awake_rehearsal": {"policy": "class_balance"}})
    for fraction in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=r"^strategy\.awake_rehearsal\.fraction: expected a number in \("):
            build(["awake_rehearsal"], {"awake_rehearsal": {"fraction": fraction}})
    with pytest.raises(ConfigError, match=r"^policy: unknown value `x`"):
        AwakeRehearsal(policy="x")
    with pytest.raises(ConfigError, match=r"^memory: unknown argument `memory`; did you mean `memory_size`\?"):
        AwakeRehearsal(memory=20)


def test_every_policy_has_a_buffer():
    """A choice without one would pass all checks and fail when the strategy is built."""
    choices = get_args(inspect.signature(AwakeRehearsal).parameters["policy"].annotation)
    assert list(POLICIES) == list(choices)
    assert {type(AwakeRehearsal(policy=policy).buffer) for policy in choices} == set(POLICIES.values())


def test_a_share_and_a_number_or_another_policy_are_refused_together():
    both = {"awake_rehearsal": {"fraction": 0.1, "memory_size": 50}}
    with pytest.raises(
        ConfigError, match=r"^strategy\.awake_rehearsal\.fraction: .*memory_size=50.*one of them to null"
    ):
        build(["awake_rehearsal"], both)
    with pytest.raises(ConfigError, match=r"\.fraction: .*use policy=class_balanced, got `reservoir`"):
        build(["awake_rehearsal"], {"awake_rehearsal": {"fraction": 0.1, "policy": "reservoir"}})


def test_without_a_size_and_a_share_50_samples_are_kept(stream):
    plugin = AwakeRehearsal()
    rehearse(stream, [plugin])
    assert plugin.memory().exemplars == 50
