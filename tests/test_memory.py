"""What plugins keep of the past, counted."""

import queue
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
from avalanche.training.plugins import EWCPlugin, GSS_greedyPlugin, LRSchedulerPlugin, LwFPlugin, ReplayPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from clep.strategies.der import DER
from clep.strategies.gem import GEM
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

import clep
from clep.errors import UncountedWarning
from clep.strategy import Memory, Strategy, memory_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=3, samples_per_experience=30)


MODEL_BYTES = 4 * (64 * 5 + 5 + 5 * 10 + 10)
SAMPLE_BYTES = 64 * 4 + 8


def trained(plugin, stream, experiences=2):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    template = Naive(
        model=model,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=10,
        plugins=[plugin],
        evaluator=None,
    )
    for experience in stream.benchmark.train_stream[:experiences]:
        template.train(experience)
    return plugin


def test_memories_add_up():
    assert Memory(1, 20, 300) + Memory(4, 50, 600) == Memory(5, 70, 900)
    assert Strategy().memory() == memory_of(Strategy()) == memory_of(SupervisedPlugin()) == Memory()


@pytest.mark.parametrize(("size", "stored"), [(7, 7), (100, 60)])
def test_replay_keeps_its_samples(size, stored, stream):
    assert memory_of(trained(ReplayPlugin(mem_size=size), stream)) == Memory(stored, stored * SAMPLE_BYTES)
    assert memory_of(ReplayPlugin(mem_size=size)) == Memory()


def test_a_storage_policy_counts_once_however_often_it_is_referred_to(stream):
    policy = ReservoirSamplingBuffer(9)
    plugin = ReplayPlugin(mem_size=9, storage_policy=policy)
    plugin.same_again = [policy, {"here": policy}]
    assert memory_of(trained(plugin, stream)) == Memory(9, 9 * SAMPLE_BYTES)


def test_ewc_keeps_weights_and_importances_of_every_experience(stream):
    assert memory_of(trained(EWCPlugin(1.0), stream)) == Memory(statistics_bytes=2 * 2 * MODEL_BYTES)
    online = EWCPlugin(1.0, mode="online", decay_factor=0.5)
    assert memory_of(trained(online, stream)) == Memory(statistics_bytes=2 * MODEL_BYTES)


def test_lwf_keeps_the_latest_model(stream):
    assert memory_of(trained(LwFPlugin(), stream)) == Memory(statistics_bytes=MODEL_BYTES)


def test_gem_keeps_samples_and_one_gradient_for_each_earlier_experience(stream):
    memory = memory_of(trained(GEM(patterns_per_experience=6), stream, experiences=3))
    assert memory == Memory(18, 18 * SAMPLE_BYTES, 2 * MODEL_BYTES)


def test_der_keeps_samples_and_the_outputs_on_them(stream):
    assert memory_of(trained(DER(mem_size=11), stream)) == Memory(11, 11 * SAMPLE_BYTES, 11 * 10 * 4)


def test_a_plugin_that_keeps_nothing_counts_nothing_of_what_it_refers_to():
    """The optimiser's and the learner's own memory is not memory of the past."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.1)
    assert memory_of(LRSchedulerPlugin(torch.optim.lr_scheduler.StepLR(optimizer, 1))) == Memory()


def test_gss_keeps_samples_in_a_tensor_that_is_not_full_at_first(stream):
    plugin = GSS_greedyPlugin(mem_size=40, input_size=[1, 8, 8])
    memory = memory_of(trained(plugin, stream, experiences=1))
    assert memory == Memory(30, 30 * SAMPLE_BYTES, plugin.buffer_score.nbytes)


class Shelf:
    """A record of somebody's own."""

    def __init__(self, kept):
        self.kept = kept


class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self, kept):
        self.shown, self.__hidden = None, kept


class Keeps(Strategy):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept


KEPT = torch.zeros(10)


@pytest.mark.parametrize(
    "kept",
    [
        Shelf(KEPT),
        [Shelf({"deep": Shelf(KEPT)})],
        Slotted(KEPT),
        SimpleNamespace(kept=KEPT),
        TensorDataset(KEPT),
        np.array([KEPT, None], dtype=object),
        memoryview(bytes(40)),
        bytearray(40),
    ],
    ids=lambda kept: type(kept).__name__,
)
def test_what_objects_of_any_class_hold_is_counted_without_a_word(kept):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Keeps(kept).memory() == memory_of(Keeps(kept)) == Memory(statistics_bytes=40)


def test_what_is_in_a_queue_is_counted():
    waiting = queue.Queue()
    waiting.put(KEPT)
    assert Keeps(waiting).memory() == Memory(statistics_bytes=40)


def test_objects_that_refer_to_each_other_end_the_search():
    first, second = Shelf(KEPT), Shelf(None)
    second.kept = first
    first.kept = [second, KEPT]
    assert Keeps(first).memory() == Memory(statistics_bytes=40)


def test_machinery_is_no_memory():
    parts = [
        random.Random(1),
        np.random.default_rng(1),
        torch.Generator(),
        torch.float32,
        len,
        print,
        Shelf,
        "text",
        3.5,
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Keeps(tuple(parts)).memory() == Memory(statistics_bytes=8)  # the number


def test_what_nobody_can_look_into_is_named():
    expected = r"^strategies: Keeps\.kept holds a ImagingCore, whose size nobody knows.*; count it in `memory\(\)`"
    with pytest.warns(UncountedWarning, match=expected):
        Keeps([Image.new("L", (8, 8))]).memory()
