"""Every step of every motion, in every architecture, against steps taken by autograd of its Phi or energy."""

import itertools

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from clep.equilibrium import NEURONS, ORDERS, POOLINGS, ConvLayer, TimeStep
from clep.equilibrium.dynamics import Stop
from clep.equilibrium.phases import nudged
from clep.errors import ConfigError
from tests.oracles.graph import BOUNDS, Graph
from tests.oracles.networks import biased

pytestmark = pytest.mark.usefixtures("double")

JUMP = TimeStep("scalar", mean=1.0)
MIXED = TimeStep("lognormal", mean=0.6, spread=0.6)
NUDGES = ("none", "inside", "outside")
ARCHITECTURES = {
    "dense": [4, 6, 5, 3],
    "max pool": [(2, 7, 7), ConvLayer(3, 3, pooling="max"), 4],
    "average pool": [(2, 7, 7), ConvLayer(3, 3, pooling="average"), 4],
    "no pool": [(1, 5, 5), ConvLayer(2, 3, pooling="none"), 4],
    "pool of one": [(1, 5, 5), ConvLayer(2, 3, pooling="max", pool=1), 4],
    "stride and remainder": [(2, 8, 9), ConvLayer(3, 3, stride=2, padding=1, pooling="none"), 4],
    "stride and max pool": [(1, 12, 11), ConvLayer(3, 4, stride=2, padding=2, pool=3), 4],
    "two max pools": [(2, 11, 12), ConvLayer(3, 3, padding=1), ConvLayer(4, 2, padding=1), 3],
    "stride above a pool": [(1, 15, 14), ConvLayer(2, 3, pooling="average"), ConvLayer(3, 3, stride=2, pool=2), 3],
    "three images, two dense": [(1, 9, 9), *(ConvLayer(2, 3, padding=1, pool=p) for p in (2, 1, 2)), 6, 3],
    "image read as a vector": [(2, 3, 3), 5, 3],
}


def compare_with_oracle(network, batch, nudging="none", steps=4):
    """Relax from random states, one step at a time and all at once; every state of every step equals the oracle's."""
    graph = Graph.of(network)
    x = torch.rand(batch, *graph.shapes[0])
    low, high = BOUNDS.get(network.spec.neuron, (0.0, 1.0)) if graph.energy else (0.0, 1.0)
    expected = [low + (high - low) * torch.rand(batch, *shape) for shape in graph.shapes[1:]]
    target = torch.rand(batch, *graph.shapes[-1])
    nudge = None if nudging == "none" else lambda output: 0.7 * (target - output)
    body = network.body()
    dynamics, drive = nudged(body.dynamics, nudging == "outside"), body.drive(x).detach()
    states = [state.clone() for state in expected]
    at_once = dynamics.relax(drive, [state.clone() for state in expected], Stop(steps), nudge).states
    for _ in range(steps):
        if network.spec.relaxation == "synchronous":
            expected = graph.step(x, expected, nudge, outside=nudging == "outside")
        else:
            expected = graph.sweep(x, expected, nudge)
        states = dynamics.relax(drive, states, Stop(1), nudge).states
        assert_close(states, expected, rtol=0.0, atol=1e-10)
    assert_close(at_once, expected, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dynamics", ["prototypical", "energy"])
@pytest.mark.parametrize("sizes", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_step_of_every_architecture_equals_autograd(sizes, dynamics, order):
    """Without it a transposed kernel, an edge that the stride leaves over, winners of another step or a forgotten rho'
    would show as a network that learns a little worse."""
    for time_step in (JUMP, MIXED):
        for neuron in ("hard_sigmoid", "tanh"):
            network = biased(
                sizes, neuron=neuron, dynamics=dynamics, relaxation=order, time_step=time_step, init="glorot", seed=3
            )
            compare_with_oracle(network, 2)


@pytest.mark.parametrize("nudging", NUDGES)
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_takes_the_nudged_steps_of_a_convolutional_network(neuron, nudging):
    """The prototypical step passes images through rho; outside and inside differ in the dense output alone."""
    network = biased(ARCHITECTURES["two max pools"], neuron=neuron, time_step=MIXED, bias=False, seed=1)
    compare_with_oracle(network, 3, nudging)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("sizes", [[4, 3], [4, 6, 5, 3], ARCHITECTURES["stride and max pool"]])
def test_every_neuron_descends_its_energy(sizes, neuron):
    """s <- bound(s - dt dE/ds), nudged: rho' of every neuron, the bounds of the hard ones and the linear output, to
    which a nudge adds without rho'."""
    network = biased(sizes, neuron=neuron, dynamics="energy", time_step=MIXED, init="glorot", seed=2)
    for nudging in ("none", "inside"):
        compare_with_oracle(network, 3, nudging)


def test_small_steps_lower_the_energy():
    """The claim in the name, with the energy written as a plain function: a sign would make it rise."""
    network = biased(
        ARCHITECTURES["two max pools"], dynamics="energy", time_step=TimeStep("uniform", mean=0.1, spread=0.5), seed=2
    )
    graph, x = Graph.of(network), torch.rand(3, 2, 11, 12)
    body = network.body()
    states, drive = graph.rest(x), body.drive(x).detach()
    energies = []
    for _ in range(30):
        energies.append(float(graph.energy_of(x, states).detach()))
        states = body.dynamics.relax(drive, [s.clone() for s in states], Stop(1)).states
    assert all(after < before for before, after in itertools.pairwise(energies))


@pytest.mark.parametrize("feedback", ["tied", "untied"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("name", ["dense", "max pool", "average pool", "stride and max pool", "two max pools"])
def test_every_step_with_scaled_or_untied_feedback_equals_its_layerwise_oracle(name, scale, feedback):
    """Scaled feedback is on the way down alone; untied feedback takes its own kernel and the winners of the way up."""
    for order in ORDERS:
        network = biased(
            ARCHITECTURES[name], feedback=feedback, feedback_scale=scale, relaxation=order, time_step=MIXED, seed=4
        )
        compare_with_oracle(network, 2, "inside")


@pytest.mark.parametrize("feedback", ["tied", "untied"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("sizes", "span", "readout"),
    [
        ([4, 5, 6, 7, 3], 2, "state"),
        ([4, 5, 6, 7, 5, 6, 3], 2, "state"),
        ([4, 5, 6, 7, 5, 6, 3], 3, "state"),
        ([4, 5, 6, 7, 3], 2, "linear"),
    ],
)
def test_every_step_with_residual_links_equals_autograd(sizes, span, readout, order, feedback):
    """A layer then has two layers below or above it, which under asynchronous order may be in its own group."""
    network = biased(
        sizes,
        residual_links=span,
        readout=readout,
        relaxation=order,
        feedback=feedback,
        feedback_scale=1.0 if feedback == "tied" else 0.7,
        time_step=MIXED,
        seed=5,
    )
    across = network.connections[network.depth :]
    assert len(across) > 0
    assert all(connection.bias is None for connection in across)
    compare_with_oracle(network, 3, "inside")


@st.composite
def images(draw):
    """A stack of up to three convolutions on images of any shape, and up to two dense layers."""
    sizes = [(draw(st.integers(1, 2)), draw(st.integers(3, 11)), draw(st.integers(3, 11)))]
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, 4))
        sizes.append(
            ConvLayer(
                draw(st.integers(1, 3)),
                kernel,
                stride=draw(st.integers(1, 3)),
                padding=draw(st.integers(0, kernel - 1)),
                pooling=draw(st.sampled_from(POOLINGS)),
                pool=draw(st.integers(1, 3)),
            )
        )
    return sizes + draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), database=None)
@given(
    sizes=st.one_of(images(), st.lists(st.integers(1, 6), min_size=2, max_size=6)),
    batch=st.integers(1, 3),
    steps=st.integers(1, 5),
    neuron=st.sampled_from(sorted(NEURONS)),
    bias=st.booleans(),
    time_step=st.sampled_from([JUMP, TimeStep("scalar", mean=0.4), MIXED]),
    order=st.sampled_from(ORDERS),
    kind=st.sampled_from(["tied", "scaled", "untied", "energy"]),
    nudging=st.sampled_from(["none", "inside"]),
    seed=st.integers(0, 1000),
)
def test_every_step_equals_autograd_for_any_shape(
    sizes, batch, steps, neuron, bias, time_step, order, kind, nudging, seed
):
    """The same identity over shapes: kernels as large as the image, strides and pools that leave a rest, images of one
    pixel, layers of one unit, batches of one, odd and even numbers of steps (buffers swap at every one)."""
    torch.manual_seed(seed)
    arguments = {
        "tied": {},
        "scaled": {"feedback_scale": 0.4},
        "untied": {"feedback": "untied", "feedback_scale": 1.5},
        "energy": {"dynamics": "energy"},
    }[kind]
    try:
        network = biased(sizes, neuron=neuron, bias=bias, time_step=time_step, relaxation=order, seed=seed, **arguments)
    except ConfigError:
        assume(False)
    compare_with_oracle(network, batch, nudging, steps)


def test_the_free_phase_is_the_oracle_from_zero_and_so_is_a_clamped_one():
    """A clamped last layer keeps its state while the winners below it still follow theirs."""
    for order in ORDERS:
        network = biased(
            ARCHITECTURES["two max pools"], relaxation=order, free_steps=7, init="glorot", time_step=MIXED, seed=1
        )
        graph, x = Graph.of(network), torch.rand(3, 2, 11, 12)
        free = network.free_phase(x)
        assert_close(list(free.states), graph.relax(x, 7, order=order), rtol=0.0, atol=1e-10)
        held = torch.rand(3, 3)
        states = [*(s.clone() for s in free.states[:-1]), held.clone()]
        clamped = free.body.dynamics.relax(free.drive, states, Stop(5), clamped=True).states
        expected = graph.relax(x, 5, [*free.states[:-1], held], order=order, hold=held)
        assert_close(clamped, expected, rtol=0.0, atol=1e-10)


def test_images_do_not_see_their_batch():
    """Each row is the row of a batch of one; a pooling or convolution over the wrong dimension would mix them."""
    network = biased(ARCHITECTURES["three images, two dense"], init="glorot", seed=1)
    x = torch.rand(5, 1, 9, 9)
    alone = torch.cat([network(image) for image in x.split(1)])
    assert_close(network(x), alone, rtol=0.0, atol=1e-13)
