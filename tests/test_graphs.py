"""Updates that are recorded once and replayed: the same numbers, from the same memory.

A tape stands in for the card: it repeats the operations of a recording, and nothing else. `tests/test_cuda.py` has the
same comparison with a card.
"""

import gc
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import clep
from clep import graphs, registry
from clep.equilibrium import ConvLayer
from clep.errors import ConfigError
from clep.graphs import Graphs, Recording
from clep.update import Batch
from tests.oracles.card import card
from tests.oracles.elsewhere import Reads
from tests.oracles.tape import Recorder

STEPS = {"free_steps": 6, "nudged_steps": 3, "compiled": "off"}  # a card has no compiled steps
STREAM = {"experiences": 2, "samples_per_experience": 72, "class_order": "fixed", "evaluation_samples": 40}
LEARNERS = {
    "linear": ({}, lambda: clep.LinearNudging()),
    "linear, Adam": ({}, lambda: clep.LinearNudging()),
    "cost, one-sided, bfloat16": ({"precision": "bfloat16"}, lambda: clep.CostNudging(phases="one_sided")),
    "energy, mirrored": ({"dynamics": "energy"}, lambda: clep.LinearNudging(start="mirrored")),
    "steps of 1, read-out": (
        {"readout": "linear", "time_step": {"mean": 1.0, "spread": 0.0}},
        lambda: clep.CostNudging(),
    ),
    "clamped": ({"relaxation": "asynchronous"}, lambda: clep.Clamping()),
    "bptt": ({}, lambda: clep.Backpropagation()),
    "holomorphic": ({"neuron": "tanh"}, lambda: clep.LinearNudging(phases="holomorphic")),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_updates_by_recordings_are_updates_as_usual_to_the_bit(name):
    (network, gradient), record = LEARNERS[name], Recorder()
    found = []
    for engine in (None, Graphs(required=True, record=record)):
        learner = clep.Learner(
            clep.Network([64, 12, 10], seed=0, **STEPS, **network),
            gradient=gradient(),
            lr=0.1,
            optimizer="adam" if "Adam" in name else "sgd",
        )
        optimizer, draw, seen = learner.make_optimizer(), torch.Generator().manual_seed(1), []
        for _ in range(7):
            update = Batch(torch.rand(8, 64, generator=draw), torch.randint(10, (8,), generator=draw))
            optimizer.zero_grad()
            learner.step(update, "here", engine).backward()
            optimizer.step()
            seen += [update.loss.detach(), update.mb_output.detach()]
        residual, _ = learner.unsettled.latest or (torch.zeros(()), 0)
        found.append([*seen, residual, *learner.network.state_dict().values()])
    assert all(torch.equal(usual, replayed) for usual, replayed in zip(*found, strict=True))
    assert (len(record.tapes), record.replays) == (1, 4)


def trained(record=None):
    """A training on batches of 16, the last of an epoch with 8; its result, and its weights."""
    learner = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS), lr=0.05)
    chosen = registry.build(["si", "awake_rehearsal"], {}, seed=0)
    training = clep.Training(learner, chosen, epochs=5, batch_size=16, seed=0)
    training.template.graphs = None if record is None else Graphs(required=True, record=record)
    return training.run(clep.stream("digits", **STREAM)), learner.network.state_dict()


@pytest.mark.filterwarnings("ignore:__array_wrap__")
def test_a_stream_is_learned_by_recordings_as_usual_to_the_bit_and_each_experience_is_recorded_anew():
    """Synaptic intelligence adds a penalty and follows gradients; rehearsal makes the second experience larger."""
    record = Recorder()
    result, weights = trained(record)
    expected, usual = trained()
    assert all(torch.equal(weights[key], usual[key]) for key in usual)
    assert (result.matrix == expected.matrix).all()
    for report, other in zip(result.reports, expected.reports, strict=True):
        assert report.curve == other.curve
        assert report.numbers == other.numbers
    assert len(record.tapes) == 4  # two shapes in each experience
    assert record.replays == result.reports[-1].updates - 4 * 3  # three of each were computed as usual


def test_inputs_are_copied_in_and_outputs_stay_in_their_memory():
    record = Recorder()
    twice = Recording(lambda x, y: [2 * x + y], [torch.zeros(2), torch.ones(2)], record)
    first = twice(torch.tensor([1.0, 2.0]), torch.zeros(2))[0]
    where, values = first.data_ptr(), first.tolist()
    second = twice(torch.tensor([5.0, 6.0]), torch.ones(2))[0]
    assert (values, second.tolist()) == ([2.0, 4.0], [11.0, 13.0])
    assert second.data_ptr() == where
    assert len(record.tapes) == 1


def computed(learner, engine, size=8, times=1):
    """Whether each of so many updates of a batch was a replay."""
    x, y = torch.rand(size, 64), torch.arange(size) % 10
    return [engine.replay(learner, x, y) is not None for _ in range(times)]


def test_a_shape_is_recorded_once_it_has_come_back_and_other_shapes_on_their_own():
    learner, record = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS)), Recorder()
    engine = Graphs(record=record)
    assert computed(learner, engine, times=5) == [False] * 3 + [True] * 2
    assert computed(learner, engine, size=5, times=4) == [False] * 3 + [True]
    assert computed(learner, engine) == [True]
    assert len(record.tapes) == 2
    for size in (1, 2, 3):
        computed(learner, engine, size, times=5)
    assert len(record.tapes) == 4  # each has memory of its own, so there is an end to it


def test_all_is_recorded_anew_when_the_gradient_or_the_memory_of_the_weights_changes():
    learner, engine = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS)), Graphs(record=Recorder())
    computed(learner, engine, times=4)
    learner.network = learner.network.with_gradient(clep.LinearNudging(beta=0.1))
    assert computed(learner, engine, times=4) == [False] * 3 + [True]
    weight = learner.network.connections[0].weight
    weight.data = weight.data.clone()
    assert computed(learner, engine, times=4) == [False] * 3 + [True]


def test_a_replayed_output_cannot_be_followed_nor_replaced_and_an_old_loss_has_lost_its_gradients():
    learner, engine = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS)), Graphs(record=Recorder())
    computed(learner, engine, times=4)
    replay = engine.replay(learner, torch.rand(8, 64), torch.arange(8))
    with pytest.raises(ConfigError, match=r"^learner\.cuda_graph: a strategy differentiates or replaces the output"):
        (replay.loss + replay.prediction.output.sum()).backward()
    with pytest.raises(ConfigError, match=r"^learner\.cuda_graph: a strategy differentiates or replaces the output"):
        replay.loss_for(replay.prediction.output + 0.0)
    computed(learner, engine)
    with pytest.raises(RuntimeError, match="overwritten"):
        replay.loss.backward()


def test_a_recording_has_leaves_of_its_own_over_the_memory_of_the_weights():
    """A leaf that an output of before keeps alive would bring that update's stream into the graph."""
    learner, engine = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS)), Graphs(record=Recorder())
    own, touched = list(learner.network.parameters()), []
    for parameter in own:
        parameter.register_hook(lambda gradient: touched.append(gradient))
    assert computed(learner, engine, times=4) == [False] * 3 + [True]
    assert touched == []
    assert all(now is before for now, before in zip(learner.network.parameters(), own, strict=True))


REFUSED = {
    "tolerance": ({"tolerance": 0.1}, lambda: clep.LinearNudging(), r"network\.tolerance=0\.1"),
    "spikes": ({"dynamics": "bernoulli"}, lambda: clep.LinearNudging(), r"network\.dynamics=bernoulli"),
    "signs": ({}, lambda: clep.LinearNudging(phases="random_sign"), r"learner\.phases=random_sign"),
    "C-EP": ({}, lambda: clep.CEP(), r"CEP is not one of the estimates"),
    "adaptation": (
        {},
        lambda: clep.LinearNudging(adaptation=clep.equilibrium.Adaptation()),
        r"neuronal adaptation looks at norms",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_computed_as_usual_or_refused_with_the_reason(name):
    network, gradient, message = REFUSED[name]
    learner = clep.Learner(clep.Network([64, 12, 10], **STEPS, **network), gradient=gradient(), momentum=0.0)
    assert computed(learner, Graphs(record=Recorder()), times=5) == [False] * 5
    with pytest.raises(ConfigError, match=rf"^learner\.cuda_graph: .*{message}.*; leave it off$"):
        computed(learner, Graphs(required=True, record=Recorder()))


def test_an_update_that_reads_a_value_names_the_option():
    class Reads(clep.equilibrium.SquaredError):
        def each(self, output, labels):
            return super().each(output, labels) * (1.0 if output.sum().item() else 2.0)

    learner = clep.Learner(clep.Network([64, 12, 10], **STEPS))
    learner.criterion = Reads()
    with pytest.raises(ConfigError, match=r"^learner\.cuda_graph: it cannot be recorded \(the host reads a value"):
        computed(learner, Graphs(record=Recorder()), times=4)


def test_without_a_card_on_is_refused_and_auto_computes_as_usual():
    with pytest.raises(ConfigError, match=r"^learner\.cuda_graph: it needs device=cuda, and this is cpu; leave it off"):
        clep.Training(clep.Learner(clep.Network([64, 12, 10])), cuda_graph="on")
    assert clep.Training(clep.Learner(clep.Network([64, 12, 10])), cuda_graph="auto").template.graphs is None


@pytest.mark.parametrize("gradient", ["LinearNudging", "CostNudging"])
def test_what_is_recorded_stays_on_its_card_reads_nothing_and_leaves_nothing_behind(gradient):
    """A graph's memory is reused: a tensor that lives on after the recording would be overwritten."""
    images = [(1, 8, 8), ConvLayer(4, kernel=3, pooling="max", pool=2), 10]
    sizes = images if gradient == "LinearNudging" else [64, 12, 10]
    learner = clep.Learner(clep.Network(sizes, **STEPS), gradient=getattr(clep, gradient)())
    made, outputs = [], []

    class Notes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            made.extend(weakref.ref(t) for t in tree_leaves(result) if isinstance(t, torch.Tensor))
            return result

    def record(function):
        with Notes(), Reads() as reads:
            outputs.extend(function())
        assert reads.count == 0
        return outputs, lambda: None

    with card():
        x, y = torch.rand(8, *learner.network.shapes[0]).to("cuda"), torch.arange(8).to("cuda")
        update = graphs._Update(learner.to("cuda"), x, y, record)
    assert {output.device.type for output in outputs} == {"cuda"}
    assert len(made) > 50
    del update
    outputs.clear()
    gc.collect()
    assert [ref() for ref in made if ref() is not None] == []
