"""`Strategy.rehearse`: which samples are trained on, whose generators are touched, and where it may be called."""

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
from avalanche.training.plugins import GDumbPlugin, ReplayPlugin
from clep.strategies.awake_rehearsal import AwakeRehearsal
from torch import nn

import clep
from clep.errors import ConfigError, StrategyError
from clep.strategy import Strategy

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]
MARK = 7.5  # no pixel of a digit has this value


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=2, samples_per_experience=20, class_order="fixed", evaluation_samples=20)


class Seen(SupervisedPlugin):
    """Notes the batches of each experience."""

    def __init__(self):
        super().__init__()
        self.batches = {0: [], 1: []}
        self.globals = []

    def before_training_iteration(self, strategy, **kwargs):
        batch = strategy.mb_x.clone(), strategy.mb_y.clone()
        self.batches[strategy.experience.current_experience].append(batch)

    def after_training(self, strategy, **kwargs):
        self.globals.append(torch.get_rng_state().tolist())

    def marked(self, experience):
        """The labels of the samples that were appended, in each epoch's order."""
        found = [y[x.flatten(1).amax(1) > 5.0] for x, y in self.batches[experience]]
        return torch.cat(found).tolist()


def rehearsing(hook, x, y, *, experience=1):
    """A strategy that appends samples in a hook of one experience."""

    def run(self, strategy, **kwargs):
        if experience is None or strategy.experience.current_experience == experience:
            self.rehearse(x, y)

    return type("Mine", (Strategy,), {hook: run})()


def learn(stream, *strategies, epochs=2, **options):
    seen = Seen()
    learner = clep.Learner(clep.Network([64, 8, 10], free_steps=4, nudged_steps=2), lr=0.1)
    clep.Training(learner, [*strategies, seen], epochs=epochs, batch_size=8, **options).run(stream)
    return seen


def marked(n):
    return torch.full((n, 1, 8, 8), MARK)


@pytest.mark.parametrize("hook", ["after_train_dataset_adaptation", "before_training_exp"])
def test_every_epoch_of_the_present_experience_shows_each_sample_once(hook, stream):
    seen = learn(stream, rehearsing(hook, marked(4), [9, 8, 7, 6]))
    assert seen.marked(0) == []
    assert len(seen.batches[1]) == 2 * 3  # 20 and 4 samples, in batches of 8, in two epochs
    epochs = [seen.marked(1)[:4], seen.marked(1)[4:]]
    assert [sorted(epoch) for epoch in epochs] == [[6, 7, 8, 9]] * 2


LABELS = {
    "list": [1, 2, 3],
    "numpy ints": [np.int64(1), np.uint8(2), np.int32(3)],
    "uint8": np.array([1, 2, 3], dtype=np.uint8),
    "int16 tensor": torch.tensor([1, 2, 3], dtype=torch.int16),
    "uint8 tensor": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "tensors": [torch.tensor(1), torch.tensor(2), torch.tensor(3)],
    "range": range(1, 4),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_may_be_of_any_integer_type(kind, stream):
    seen = learn(stream, rehearsing("before_training_exp", marked(3), LABELS[kind]), epochs=1)
    assert sorted(seen.marked(1)) == [1, 2, 3]
    assert {y.dtype for _, y in seen.batches[1]} == {torch.int64}


@pytest.mark.parametrize("kind", ["array", "list", "double", "list of arrays"])
def test_inputs_may_be_arrays_lists_and_of_any_precision(kind, stream):
    x = marked(2)
    given = {"array": x.numpy(), "list": list(x), "double": x.double(), "list of arrays": list(x.numpy())}[kind]
    seen = learn(stream, rehearsing("before_training_exp", given, [1, 2]), epochs=1)
    assert sorted(seen.marked(1)) == [1, 2]
    assert {x.dtype for x, _ in seen.batches[1]} == {torch.float32}


def test_no_generator_of_anybody_else_is_touched(stream):
    """Draws of others, and the batches of the first experience, are those of a run without it."""
    alone = learn(stream, AwakeRehearsal(memory_size=5))
    beside = learn(stream, rehearsing("before_training_exp", marked(4), [0] * 4), AwakeRehearsal(memory_size=5))
    assert beside.globals == alone.globals
    for (x, y), (u, v) in zip(alone.batches[0], beside.batches[0], strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


def test_rehearsing_stored_samples_gives_the_weights_of_awake_rehearsal(stream):
    """The same rows in the same order, so the same batches: to the bit."""

    class Same(AwakeRehearsal):
        def after_train_dataset_adaptation(self, strategy, **kwargs):
            stored = [self.buffer.buffer[i] for i in range(len(self.buffer.buffer))]
            self.rehearse([x for x, *_ in stored], [y for _, y, *_ in stored])

    for (x, y), (u, v) in zip(*(batches(stream, cls) for cls in (AwakeRehearsal, Same)), strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


def batches(stream, cls):
    strategy = cls(memory_size=6)
    strategy.seed_with(3)
    return learn(stream, strategy).batches[1]


def test_several_strategies_append_and_compose_with_replay(stream):
    first, second = (rehearsing("before_training_exp", marked(n), [9 - n] * n) for n in (2, 3))
    seen = learn(stream, first, second, epochs=1)
    assert sorted(seen.marked(1)) == [6, 6, 6, 7, 7]
    adapted = rehearsing("after_train_dataset_adaptation", marked(2), [1, 1])
    seen = learn(stream, ReplayPlugin(mem_size=10), adapted, epochs=1)
    assert seen.marked(1) == [1, 1]
    with pytest.raises(StrategyError, match=r"Mine\.rehearse: another strategy has put a ReplayDataLoader in place"):
        learn(stream, ReplayPlugin(mem_size=10), rehearsing("before_training_exp", marked(2), [1, 1]))
    with pytest.raises(ConfigError, match=r"has replaced the data to which another had appended .* put the one that"):
        learn(stream, rehearsing("after_train_dataset_adaptation", marked(2), [1, 1]), GDumbPlugin(mem_size=10))


def test_a_hook_of_a_parent_appends_once(stream):
    class Parent(Strategy):
        def before_training_exp(self, strategy, **kwargs):
            self.rehearse(marked(1), [1])

    class Child(Parent):
        def before_training_exp(self, strategy, **kwargs):
            super().before_training_exp(strategy, **kwargs)
            self.rehearse(marked(1), [2])

    assert sorted(learn(stream, Child(), epochs=1).marked(0)) == [1, 2]


def test_data_that_another_strategy_has_stored_keep_their_samples(stream):
    """Their rows are of an earlier experience, in which others had them."""

    class Hoards(Strategy):
        stored = None

        def after_train_dataset_adaptation(self, strategy, **kwargs):
            if self.stored is not None:
                strategy.adapted_dataset = strategy.adapted_dataset.concat(self.stored)
            self.stored = strategy.adapted_dataset

    both = [rehearsing("after_train_dataset_adaptation", marked(2), [n, n], experience=n) for n in (0, 1)]
    seen = learn(stream, *both, Hoards(), epochs=1)
    assert sorted(seen.marked(0)) == [0, 0]
    assert sorted(seen.marked(1)) == [0, 0, 1, 1]


@pytest.mark.parametrize("hook", ["before_training", "before_train_dataset_adaptation", "before_backward"])
def test_elsewhere_it_is_an_error_that_says_where_it_may_be_called(hook, stream):
    with pytest.raises(StrategyError, match=r"strategies: Mine\.rehearse was called outside .* before_training_exp: "):
        learn(stream, rehearsing(hook, marked(1), [1], experience=None))


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (marked(2), [1], "y: expected one label for each of the 2 samples, got 1"),
        (marked(2), [1.0, 2.0], r"y: expected class indices \(n,\), integers from 0 on"),
        (marked(2), [True, False], "y: expected class indices"),
        (marked(2), [0, -1], "y: expected class indices"),
        (
            torch.zeros(2, 64),
            [1, 2],
            r"x: expected samples like those of the stream, \('n', 1, 8, 8\) of torch.float32",
        ),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), [1, 2], "x: expected samples like .* of torch.uint8"),
        (marked(2) * float("nan"), [1, 2], "x: it has values that are not finite"),
    ],
)
def test_what_is_no_sample_is_refused(x, y, says, stream):
    with pytest.raises(StrategyError, match=rf"^strategies: Mine\.rehearse: {says}"):
        learn(stream, rehearsing("before_training_exp", x, y, experience=0))


def test_no_samples_at_all_change_nothing(stream):
    nothing = learn(stream, rehearsing("before_training_exp", [], []))
    for (x, _), (u, _) in zip(learn(stream).batches[1], nothing.batches[1], strict=True):
        assert torch.equal(x, u)


@pytest.mark.parametrize("hook", ["after_train_dataset_adaptation", "before_training_exp"])
def test_it_works_inside_plain_avalanche(hook, stream):
    seen, model = Seen(), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    plugins = [rehearsing(hook, marked(2), [4, 5]), seen]
    optimizer = torch.optim.SGD(model.parameters())
    template = Naive(model=model, optimizer=optimizer, train_mb_size=8, plugins=plugins, evaluator=None)
    for experience in stream.benchmark.train_stream:
        template.train(experience, eval_streams=[])
    assert seen.marked(0) == []
    assert sorted(seen.marked(1)) == [4, 5]
