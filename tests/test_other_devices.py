"""On a device that is not the CPU: nothing is left on the CPU, and an update does not wait for the device.

Fake tensors show both without a card. What the tests marked `cuda` add is the arithmetic.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

import clep
from clep.equilibrium import ConvLayer
from tests.oracles.elsewhere import ELSEWHERE, Reads, move, without_values

STEPS = {"free_steps": 4, "nudged_steps": 3}
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
    "averages": ([*IMAGE[:1], ConvLayer(4, kernel=3, pooling="average", pool=2), 10], {}),
}
LEARNERS = [(name, "LinearNudging") for name in NETWORKS]
LEARNERS += [("dense", gradient) for gradient in ("CostNudging", "Backpropagation", "Clamping", "CEP")]
LEARNERS += [("read-out", "CostNudging")]
PHASES = ["one_sided", "random_sign", "holomorphic"]


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
def test_an_update_stays_on_its_device_and_never_waits_for_it(name, gradient):
    learner = learner_of(name, gradient)
    with without_values():
        gradients = differentiated(move(learner), *batch(learner, ELSEWHERE))
    assert {found.device.type for found in gradients} == {ELSEWHERE}


@pytest.mark.parametrize("phases", PHASES)
def test_all_arrangements_of_the_phases_do_so(phases):
    learner = clep.Learner(
        clep.Network([64, 12, 10], seed=0, neuron="tanh", **STEPS), gradient=clep.LinearNudging(phases=phases)
    )
    with without_values():
        gradients = differentiated(move(learner), *batch(learner, ELSEWHERE))
    assert {found.device.type for found in gradients} == {ELSEWHERE}


def test_the_fake_device_notices_what_is_left_on_the_cpu_and_what_reads_a_value():
    """Otherwise the tests above could not fail."""
    learner = learner_of("dense", "LinearNudging")
    with without_values():
        x, y = batch(move(learner), "cpu")
        with pytest.raises(RuntimeError, match="same device"):
            differentiated(learner, x, y)
        with pytest.raises(DataDependentOutputException):
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
