"""On a device that is not the CPU: nothing is left on the CPU, and an update does not wait for the device.

Both can be seen without a card: tensors say that they are on one (`tests/oracles/card.py`), or have no values at all
(`tests/oracles/elsewhere.py`). What the tests marked `cuda` add is the arithmetic of the card.
"""

import numpy as np
import pytest
import torch

import clep
from clep import registry
from clep.equilibrium import ConvLayer
from clep.population.training import train_together
from tests.oracles.card import card
from tests.oracles.elsewhere import ELSEWHERE, Reads, move, without_values

STEPS = {"free_steps": 4, "nudged_steps": 3, "compiled": "off"}  # a card has no compiled steps
IMAGE = [(1, 8, 8), ConvLayer(4, kernel=3, padding=1), 10]
NETWORKS = {
    "dense": ([64, 12, 10], {}),
    "energy": ([64, 12, 10], {"dynamics": "energy"}),
    "asynchronous": ([64, 12, 10], {"relaxation": "asynchronous"}),
    "bfloat16": ([64, 12, 10], {"precision": "bfloat16"}),
    "read-out": ([64, 12, 10], {"readout": "linear", "bias": True}),
    "residual": ([64, 8, 8, 8, 10], {"residual_links": 2}),
    "untied": ([64, 12, 10], {"feedback": "untied", "feedback_scale": 0.5}),
    "dendrites": ([64, 12, 10], {"feedback": "dendritic"}),
    "inhibition": ([64, 12, 10], {"inhibition": 0.5}),
    "maxima": ([*IMAGE[:1], ConvLayer(4, kernel=3, pooling="max", pool=2), 10], {}),
    "spikes": ([64, 12, 10], {"dynamics": "bernoulli"}),
    "averages": ([*IMAGE[:1], ConvLayer(4, kernel=3, pooling="average", pool=2), 10], {}),
}
LEARNERS = [(name, "LinearNudging") for name in NETWORKS]
LEARNERS += [("dense", gradient) for gradient in ("CostNudging", "Backpropagation", "Clamping", "CEP")]
LEARNERS += [("read-out", "CostNudging")]
PHASES = ["one_sided", "random_sign", "holomorphic"]
QUICK = ["sleep_replay"]
OPTIONS = {
    "sleep_replay": {"calibration": "published", "steps": 50},
    "ewc": {"ewc_lambda": 1.0},
    "rwalk": {"delta_t": 2},
    "agem": {"patterns_per_experience": 8, "sample_size": 8},
    "mir": {"batch_size_mem": 4},
}
MORE = {
    "sleep_replay, calibrated": ("sleep_replay", {"keep": 0.9}),
    "sleep_replay, reversed": ("sleep_replay", {"steps": 50, "calibration": "published", "feedback": 0.5}),
    "class_means of states": ("class_means", {"features": "states"}),
}


def learner_of(name, gradient, **options):
    sizes, network = NETWORKS[name]
    return clep.Learner(
        clep.Network(sizes, seed=0, **STEPS, **network), gradient=getattr(clep, gradient)(**options), momentum=0.0
    )


def differentiated(learner, x, y):
    """The gradients of one update."""
    prediction = learner.gradient.predict(learner.network, x)
    loss = learner.loss(prediction, y)
    if learner.gradient.needs.own_updates:
        return [
            gradient
            for gradients in learner.gradient.updates(prediction, y, learner.criterion)
            for gradient in gradients
        ]
    loss.backward()
    return [parameter.grad for parameter in learner.network.parameters()]


def batch(learner, device):
    return torch.rand(8, *learner.network.shapes[0], device=device), torch.zeros(8, dtype=torch.long, device=device)


@pytest.mark.parametrize(("name", "gradient"), LEARNERS)
def test_an_update_on_a_card_is_that_of_the_cpu_and_reads_no_value(name, gradient):
    assert_as_on_the_cpu(lambda: learner_of(name, gradient))


@pytest.mark.parametrize("phases", PHASES)
def test_all_arrangements_of_the_phases_do_so(phases):
    assert_as_on_the_cpu(
        lambda: clep.Learner(
            clep.Network([64, 12, 10], seed=0, neuron="tanh", **STEPS), gradient=clep.LinearNudging(phases=phases)
        )
    )


def assert_as_on_the_cpu(make):
    """One update of each: the same gradients, to the bit."""
    found = {}
    for device in ("cpu", "cuda"):
        learner = make()
        x, y = torch.rand(8, *learner.network.shapes[0], generator=torch.Generator().manual_seed(1)), torch.arange(8)
        with card(), Reads() as reads:
            gradients = differentiated(learner.to(device), x.to(device), y.to(device))
            assert {gradient.device.type for gradient in gradients} == {device}
            found[device] = [gradient.cpu() for gradient in gradients]
        assert reads.count == 0
    assert all(torch.equal(one, other) for one, other in zip(*found.values(), strict=True))


def learned(device, name, options):
    """The accuracies after a stream, and the weights."""
    learner = clep.Learner(clep.Network([64, 12, 10], seed=0, **STEPS), lr=0.05)
    stream = clep.stream("digits", experiences=2, samples_per_experience=32, class_order="fixed", evaluation_samples=20)
    with card():
        strategies = registry.build([name], {name: options}, seed=0)
        training = clep.Training(learner, strategies, epochs=2, batch_size=8, device=device)
        matrix = training.run(stream).matrix
        assert {weight.device.type for weight in learner.network.parameters()} == {device}
        return matrix, [weight.detach().cpu() for weight in learner.network.parameters()]


STRATEGIES = [
    pytest.param(name, OPTIONS.get(name, {}), id=name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in registry.names()
]
STRATEGIES += [pytest.param(*values, id=name, marks=pytest.mark.slow) for name, values in MORE.items()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options"), STRATEGIES)
def test_a_stream_is_learned_on_a_card_as_on_the_cpu(name, options):
    """Evaluation, stored samples and sleep included, to the bit."""
    (matrix, weights), (on_card, moved) = (learned(device, name, options) for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(on_card, matrix)
    assert all(torch.equal(one, other) for one, other in zip(moved, weights, strict=True))


def test_the_card_of_these_tests_notices_what_is_left_on_the_cpu():
    """Otherwise they could not fail."""
    with card():
        here, there = torch.rand(3, 3), torch.rand(3, 3).to("cuda")
        for mixed in (lambda: here + there, lambda: there @ here, lambda: torch.cat([there, here])):
            with pytest.raises(RuntimeError, match="not all on one device"):
                mixed()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, device="cuda").uniform_(generator=torch.Generator())
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert torch.equal(there.cpu().add(here), here + there.to("cpu"))
        with Reads() as reads:
            bool((there > 0).all())
        assert reads.count == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gradient"), [pair for pair in LEARNERS if pair[0] != "spikes"])
def test_torch_itself_finds_no_mixed_devices_and_no_read_in_an_update(name, gradient):
    """By its own rules, on tensors without values; they have no generators."""
    learner = learner_of(name, gradient)
    with without_values():
        gradients = differentiated(move(learner), *batch(learner, ELSEWHERE))
    assert {found.device.type for found in gradients} == {ELSEWHERE}


@pytest.mark.slow
def test_tensors_without_values_notice_what_is_left_on_the_cpu_and_what_reads_a_value():
    learner = learner_of("dense", "LinearNudging")
    with without_values():
        x, y = batch(move(learner), "cpu")
        with pytest.raises(RuntimeError, match="same device"):
            differentiated(learner, x, y)
        with pytest.raises(RuntimeError, match="_local_scalar_dense"):
            learner.predict(x.to(ELSEWHERE))  # it tells of phases that do not settle


def test_whether_all_time_steps_are_one_is_looked_at_once():
    learner = clep.Learner(clep.Network([64, 12, 10], seed=0, time_step={"mean": 1.0, "spread": 0.0}, **STEPS))
    x, y = batch(learner, "cpu")
    counts = []
    for _ in range(2):
        with Reads() as reads:
            differentiated(learner, x, y)
        counts.append(reads.count)
    assert counts == [2, 0]
    jumped = learner.network(x)
    learner.network.load_state_dict({**learner.network.state_dict(), "dt_1": torch.full((12,), 0.5)})
    assert not torch.equal(learner.network(x), jumped)


@pytest.mark.slow
def test_a_population_is_trained_on_a_card_as_on_the_cpu():
    """One with sleep, one that sees outputs; in one pass."""
    stream = clep.stream("digits", experiences=2, samples_per_experience=32, class_order="fixed", evaluation_samples=20)
    found = {}
    for device in ("cpu", "cuda"):
        learners = [clep.Learner(clep.Network([64, 12, 10], seed=seed, **STEPS), lr=0.05) for seed in (0, 1)]
        with card():
            trainings = [
                clep.Training(learner, registry.build([name], OPTIONS, seed=0), epochs=2, batch_size=8, device=device)
                for learner, name in zip(learners, ("sleep_replay", "der"), strict=True)
            ]
            outcomes = train_together(trainings, [stream, stream])
            assert [outcome.error for outcome in outcomes] == [None, None]
            weights = [weight for learner in learners for weight in learner.network.parameters()]
            assert {weight.device.type for weight in weights} == {device}
            found[device] = [weight.detach().cpu() for weight in weights]
    assert all(torch.equal(one, other) for one, other in zip(*found.values(), strict=True))
