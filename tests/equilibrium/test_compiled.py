"""Compiled steps are those of torch, but for rounding; and they are taken where they can be, and only there."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from clep import compiling
from clep.equilibrium import (
    Clamping,
    ConvLayer,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
    compiled,
    kernel,
)
from clep.equilibrium.adaptation import Adaptation

ONE = {"time_step": TimeStep("scalar", mean=1.0)}
WAYS = {
    "two layers": ((5, 7, 3), {}),
    "no biases": ((5, 7, 3), {"bias": False}),
    "steps of one": ((5, 7, 3), ONE),
    "asynchronous": ((5, 7, 6, 3), {"relaxation": "asynchronous"}),
    "asynchronous steps of one": ((5, 7, 6, 3), {"relaxation": "asynchronous", **ONE}),
    "weak feedback": ((5, 7, 6, 3), {"feedback_scale": 0.5}),
    "residual links": ((5, 7, 7, 7, 3), {"residual_links": 2}),
    "untied": ((5, 7, 3), {"feedback": "untied"}),
    "a linear read-out": ((5, 7, 6, 3), {"readout": "linear"}),
    "half as steep": ((5, 7, 3), {"neuron": "half_hard_sigmoid"}),
    "centered": ((5, 7, 6, 3), {"neuron": "centered_hard_sigmoid"}),
}
GRADIENTS = {
    "linear": LinearNudging(0.5),
    "cost": CostNudging(0.5),
    "one-sided": CostNudging(0.5, phases="one_sided"),
    "mirrored": LinearNudging(0.5, start="mirrored"),
    "adapted": CostNudging(0.5, adaptation=Adaptation(steps=3, rate=0.2)),
    "clamped": Clamping(),
    "clamped and adapted": Clamping(adaptation=Adaptation(steps=2, rate=0.3)),
    "restarted": Clamping(restart=True),
}


def pair(sizes, dtype=torch.float64, **options):
    """(network that takes compiled steps, the same by steps of torch, inputs)."""
    options = {"seed": 1, "bias": True, **options}
    both = [Network(sizes, compiled=choice, **options).to(dtype) for choice in ("auto", "off")]
    return *both, torch.rand(6, sizes[0], dtype=dtype, generator=torch.Generator().manual_seed(0))


def gradients(network, gradient, x, cost=None):
    network.zero_grad()
    y = torch.arange(len(x)) % network.sizes[-1]
    gradient.loss(gradient.predict(network, x), y, cost or SquaredError()).backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.fixture
def calls(monkeypatch):
    """The number of phases of each compiled call."""
    made, relax = [], compiled.CompiledSteps.relax

    def counted(self, course, drive, start, nudge=None, factors=None, *others):
        made.append(1 if factors is None else len(factors[0]))
        return relax(self, course, drive, start, nudge, factors, *others)

    monkeypatch.setattr(compiled.CompiledSteps, "relax", counted)
    return made


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_a_free_phase_ends_where_torch_ends(way, dtype, calls):
    sizes, options = WAYS[way]
    quick, slow, x = pair(sizes, dtype, **options)
    ours, theirs = quick.free_phase(x), slow.free_phase(x)
    close = {"rtol": 0.0, "atol": 1e-6 if dtype == torch.float32 else 1e-13}
    assert_close(ours.states, theirs.states, **close)
    assert_close((ours.residual, ours.halfway), (theirs.residual, theirs.halfway), **close)
    assert (ours.steps, ours.drive.shape) == (theirs.steps, theirs.drive.shape)
    assert calls == [1]


@pytest.mark.parametrize(
    ("gradient", "way"),
    [
        *(("linear", way) for way in WAYS),
        *((name, "asynchronous") for name in GRADIENTS),
        ("clamped", "residual links"),
    ],
)
def test_gradients_are_those_by_torch(gradient, way):
    (sizes, options), gradient = WAYS[way], GRADIENTS[gradient]
    quick, slow, x = pair(sizes, **options)
    assert_close(gradients(quick, gradient, x), gradients(slow, gradient, x), rtol=0.0, atol=1e-11)


def test_both_centered_phases_are_one_call(calls):
    quick, _, x = pair((5, 7, 3))
    gradients(quick, LinearNudging(0.5), x)
    assert calls == [1, 2]


@pytest.mark.parametrize("tolerance", [1e-3, 0.05, 10.0])
def test_a_tolerance_ends_at_the_step_at_which_torch_ends(tolerance):
    quick, slow, x = pair((5, 7, 6, 3), free_steps=60, tolerance=tolerance)
    ours, theirs = quick.free_phase(x), slow.free_phase(x)
    assert ours.steps == theirs.steps < 60
    assert_close(ours.states, theirs.states)
    assert_close((ours.residual, ours.halfway), (theirs.residual, theirs.halfway), check_dtype=False)


@pytest.mark.parametrize("gradient", [LinearNudging(0.5), CostNudging(0.5, adaptation=Adaptation(steps=2))])
def test_a_large_batch_in_tiles_ends_where_it_ends_in_one(gradient, monkeypatch):
    quick, slow, x = pair((5, 7, 6, 3))
    expected = gradients(slow, gradient, x)
    monkeypatch.setattr(compiled, "_TILE", 1)
    monkeypatch.setattr(compiled, "_SAMPLES", 4)
    ours, theirs = quick.free_phase(x), slow.free_phase(x)
    assert_close((ours.states, ours.residual, ours.halfway), (theirs.states, theirs.residual, theirs.halfway))
    assert_close(gradients(quick, gradient, x), expected)


def test_what_is_not_a_number_stays_so_and_is_in_the_residual():
    """A bound that hides it would let a broken network train on."""
    quick, _, x = pair((5, 7, 3))
    with torch.no_grad():
        quick.connections[0].weight[2, 1] = torch.nan
    free = quick.free_phase(x)
    assert free.residual.isnan()
    assert free.states[0][:, 2].isnan().all()
    assert free.trouble() == "diverges"


def test_repeated_phases_are_equal_to_the_bit_whatever_the_threads_of_the_blas():
    network, (library, *_) = Network([16, 128, 10]), compiling._libraries()
    x, before, outputs = torch.rand(256, 16), library.num_threads, []
    for threads in (1, 2):
        library.set_num_threads(threads)
        outputs.append(network(x).detach())
        assert library.num_threads == threads  # as it was found
    library.set_num_threads(before)
    assert torch.equal(*outputs)


# ---------------------------------------------------------------- when they are taken


@pytest.mark.parametrize(
    "options",
    [
        {"compiled": "off"},
        {"neuron": "tanh"},
        {"dynamics": "energy"},
        {"dynamics": "bernoulli"},
        {"inhibition": 0.1},
        {"precision": "bfloat16"},
        {"feedback": "dendritic"},
        {"sizes": [(1, 6, 6), ConvLayer(2, kernel=3), 5, 3]},
        {"sizes": [5, 3]},
        {"sizes": [5, 512, 512, 3]},
    ],
    ids=str,
)
def test_other_networks_take_the_steps_of_torch(options, calls):
    network = Network(**{"sizes": [5, 7, 3], **options})
    network.free_phase(torch.rand(2, *network.shapes[0]))
    assert calls == []


def test_other_phases_take_the_steps_of_torch(calls):
    x = torch.rand(4, 5)
    network = Network([5, 7, 3], neuron="hard_sigmoid")
    network.free_phase(x, watch=lambda states: None)
    assert calls == []
    gradients(network, CostNudging(0.5, nudge="outside"), x)
    gradients(Network([5, 7, 6, 3], readout="linear"), CostNudging(0.5), x, CrossEntropy())
    assert calls == [1, 1]  # the free phases


def test_a_batch_that_torch_would_share_among_threads_is_left_to_it(calls, monkeypatch):
    network = Network([5, 7, 3])
    monkeypatch.setattr(compiled, "_TILE", 100)
    network(torch.rand(11, 5))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    network(torch.rand(10, 5))
    assert calls == [1, 1]
    network(torch.rand(11, 5))
    assert calls == [1, 1]


# ---------------------------------------------------------------- what is kept of them


def test_they_follow_weights_and_time_steps_however_these_change():
    quick, slow, x = pair((5, 7, 3))
    quick(x)

    def in_place(network):
        with torch.no_grad():
            network.connections[1].weight.mul_(0.5)

    def other_memory(network):
        network.connections[1].weight.data = network.connections[1].weight.data * 0.5

    def not_side_by_side(network):
        network.connections[1].weight.data = network.connections[1].weight.data.t().contiguous().t()

    def other_parameters(network):
        network.load_state_dict({name: value * 0.9 for name, value in network.state_dict().items()}, assign=True)

    def other_steps(network):
        network.time_steps[0].fill_(0.7)

    for change in (in_place, other_memory, not_side_by_side, in_place, other_parameters, other_steps, in_place):
        change(quick)
        change(slow)
        assert_close(quick(x), slow(x), msg=change.__name__)
    assert_close(quick.float()(x.float()), slow.float()(x.float()), rtol=0.0, atol=1e-6)


def test_a_copy_of_a_network_makes_its_own():
    quick, _, x = pair((5, 7, 3))
    expected = quick(x)
    for other in (copy.deepcopy(quick), pickle.loads(pickle.dumps(quick))):
        assert torch.equal(other(x), expected)
        with torch.no_grad():
            other.connections[1].weight.zero_()
        assert torch.equal(quick(x), expected)
        assert not torch.equal(other(x), expected)


def test_outputs_lie_in_memory_as_those_of_torch():
    """`output.view(-1)` in somebody's loss must go on to work."""
    quick, _, x = pair((5, 7, 3))
    assert quick(x).is_contiguous()
    assert CostNudging(0.5).predict(quick, x).output.is_contiguous()


def test_a_drive_that_autograd_follows_can_be_relaxed_from():
    """Somebody's own estimate may compute it outside of `no_grad`."""
    quick, slow, x = pair((5, 7, 3))
    ends = []
    for network in (quick, slow):
        body = network.body()
        drive = body.drive(x)
        assert drive.requires_grad
        ends.append(body.dynamics.relax(drive, network.zero_states(drive, x.dtype), body.free).states)
    assert_close(*ends)


def test_dynamics_of_another_motion_do_not_take_them(calls):
    quick, _, x = pair((5, 7, 3))
    body = quick.body()
    outside = replace(body.dynamics, motion=replace(body.dynamics.motion, nudge_outside=True))
    assert outside.settle(body.drive(x), body.free) is None
    assert calls == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("units", "below"), [(1, 1), (3, 7), (10, 8), (16, 29), (2, 64)])
def test_products_into_few_units_are_those_of_numpy(units, below, dtype):
    """Units below come in eights; those that are left over count too."""
    drawn = np.random.default_rng(0)
    matrix, states = drawn.normal(size=(units, below)).astype(dtype), drawn.normal(size=(below, 5)).astype(dtype)
    found = np.full((units, 5), np.nan, dtype)
    kernel._into_few(matrix, states, found)
    np.testing.assert_allclose(found, matrix.astype(np.float64) @ states, atol=1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("outputs", [16, 17])
def test_layers_of_few_and_of_many_units_relax_as_by_torch(outputs):
    quick, slow, x = pair((5, 21, outputs))
    assert_close(quick.free_phase(x).states, slow.free_phase(x).states, rtol=0.0, atol=1e-13)
