"""Relaxation against steps taken by autograd of Phi."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from clep.equilibrium import DISTRIBUTIONS, NEURONS, ORDERS, ConvLayer, SquaredError, TimeStep
from clep.equilibrium.dynamics import Stop
from clep.equilibrium.motions import Prototypical, max_abs
from clep.equilibrium.phases import nudged
from clep.errors import ConfigError
from tests.oracles import bptt, phi
from tests.oracles.networks import biased, change

pytestmark = pytest.mark.usefixtures("double")

JUMP = TimeStep("scalar", mean=1.0)
SLOW = TimeStep("scalar", mean=0.4)
MIXED = TimeStep("lognormal", mean=0.6, spread=0.6)
NUDGES = ("none", "inside", "outside")
SIZES = {1: [4, 3], 2: [4, 5, 3], 3: [4, 6, 5, 3], 4: [4, 3, 6, 5, 2]}


def close(actual, expected, tolerance=1e-10):
    assert_close(actual, expected, rtol=0.0, atol=tolerance)


def compare_with_oracle(network, batch, nudging, steps):
    """Relax from random states, one step at a time and all at once; every state of every step equals the oracle's."""
    x = torch.rand(batch, network.sizes[0])
    parts = phi.Parts.of(network)
    expected = [torch.rand(batch, size) for size in network.sizes[1:]]
    target = torch.rand(batch, network.sizes[-1])
    nudge = None if nudging == "none" else lambda output: -0.7 * (target - output)
    body = network.body()
    dynamics, drive = nudged(body.dynamics, nudging == "outside"), body.drive(x).detach()
    before = drive.clone()
    states = [state.clone() for state in expected]
    at_once, *_ = dynamics.relax(drive, [state.clone() for state in expected], Stop(steps), nudge)
    for _ in range(steps):
        force = None if nudge is None else nudge(expected[-1])
        expected = phi.step(x, expected, parts, force, outside=nudging == "outside")
        states, *_ = dynamics.relax(drive, states, Stop(1), nudge)
        close(states, expected)
    close(at_once, expected)
    close(drive, before, 0.0)


@pytest.mark.parametrize("nudging", NUDGES)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("depth", SIZES)
def test_every_step_equals_autograd_of_phi(depth, neuron, nudging):
    """s_l <- s_l + dt_l (rho(dPhi/ds_l + nudge) - s_l). Without it a forgotten feedback, bias or time step, or a layer
    that already sees the new state of another, would only show as a network that learns a little worse."""
    for bias in (True, False):
        for time_step in (JUMP, SLOW, MIXED):
            network = biased(SIZES[depth], neuron=neuron, bias=bias, time_step=time_step, seed=depth)
            compare_with_oracle(network, 3, nudging, steps=4)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=6),
    batch=st.integers(1, 5),
    steps=st.integers(1, 5),
    neuron=st.sampled_from(sorted(NEURONS)),
    bias=st.booleans(),
    time_step=st.sampled_from([JUMP, SLOW, MIXED]),
    nudging=st.sampled_from(NUDGES),
    inhibition=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 1000),
)
def test_every_step_equals_autograd_of_phi_for_any_shape(
    sizes, batch, steps, neuron, bias, time_step, nudging, inhibition, seed
):
    """The same identity over shapes: layers of one unit, batches of one, odd and even numbers of steps. Buffers swap
    at every step; one swap too few would return the states of the step before."""
    torch.manual_seed(seed)
    network = biased(sizes, neuron=neuron, bias=bias, time_step=time_step, inhibition=inhibition, seed=seed)
    compare_with_oracle(network, batch, nudging, steps)


def test_inhibition_acts_among_hidden_units_alone():
    """Each hidden unit gets -kappa times the mean of its layer; the output and a layer of images are told apart. Were
    the output inhibited as well, classes would compete for a reason that no loss gave them."""
    x = torch.rand(3, 1, 6, 6)
    layers = [(1, 6, 6), ConvLayer(2, kernel=3), 4, 3]
    plain, inhibited = (biased(layers, inhibition=kappa, time_step=JUMP, seed=2) for kappa in (0.0, 0.5))
    states = [torch.rand(3, *shape) for shape in plain.shapes[1:]]

    def forces(network):
        body = network.body()
        dynamics = replace(body.dynamics, motion=Prototypical(lambda u: u))
        return dynamics.relax(body.drive(x).detach(), [s.clone() for s in states], Stop(1)).states

    differences = [a - b for a, b in zip(forces(plain), forces(inhibited), strict=True)]
    for state, difference in zip(states[:-1], differences[:-1], strict=True):
        means = state.flatten(1).mean(1)
        close(difference, 0.5 * means.view(-1, *[1] * (state.dim() - 1)).expand_as(state))
    close(differences[-1], torch.zeros(3, 3), 0.0)


@pytest.mark.parametrize("depth", SIZES)
def test_the_two_oracles_agree(depth):
    """BPTT writes the forces out, the other oracle differentiates Phi: a slip in one would let a wrong network pass."""
    network = biased(SIZES[depth], neuron="shifted_sigmoid", time_step=MIXED, seed=depth)
    parts = phi.Parts.of(network)
    x = torch.rand(3, 4)
    states = [torch.zeros(3, size) for size in network.sizes[1:]]
    for _ in range(6):
        states = phi.step(x, states, parts)
    close([s.detach() for s in bptt.relax(x, parts, 6)], states)


def settled(time_step, neuron):
    return biased([6, 8, 5, 4], neuron=neuron, free_steps=600, nudged_steps=600, time_step=time_step, seed=5)


@pytest.mark.parametrize("neuron", ["shifted_sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_time_steps_move_the_path_and_not_the_fixed_point(distribution, neuron):
    """At a fixed point s = rho(dPhi/ds), whatever dt. Otherwise heterogeneous time steps would change what the network
    computes and learns, and a comparison with scalar ones would measure that instead of the transients."""
    x, y = torch.rand(5, 6), torch.tensor([0, 1, 2, 3, 1])
    jump, mixed = settled(JUMP, neuron), settled(TimeStep(distribution, mean=0.6, spread=0.4, min=0.2), neuron)
    for network in (jump, mixed):
        SquaredError()(network(x), y).backward()
        assert float(network.free_phase(x).residual) < 1e-12
    close(mixed.free_phase(x).states, jump.free_phase(x).states, 1e-9)
    for p, q in zip(mixed.parameters(), jump.parameters(), strict=True):
        close(p.grad, q.grad, 1e-6 * float(q.grad.abs().max()))
    for network in (jump, mixed):
        change(network, free_steps=3)
    assert max_abs(jump(x) - mixed(x)) > 1e-3


@pytest.mark.parametrize("time_step", [JUMP, SLOW, MIXED])
def test_residual_is_the_distance_from_the_fixed_point_whatever_the_time_steps(time_step):
    """max |rho(dPhi/ds) - s| before the last step. Were it multiplied by dt, slow neurons would hide what they lack."""
    network = biased([4, 6, 3], neuron="shifted_sigmoid", time_step=time_step, seed=1)
    parts, x = phi.Parts.of(network), torch.rand(3, 4)
    parts.time_steps = [torch.ones_like(dt) for dt in parts.time_steps]
    body = network.body()
    drive = body.drive(x).detach()
    states = [torch.rand(3, size) for size in network.sizes[1:]]
    for steps in (1, 2, 5):
        before, *_ = body.dynamics.relax(drive, [s.clone() for s in states], Stop(steps - 1))
        jumped = phi.step(x, before, parts)
        expected = max(float(max_abs(t - s)) for t, s in zip(jumped, before, strict=True))
        residual = body.dynamics.relax(drive, [s.clone() for s in states], Stop(steps)).residual
        assert residual.shape == ()
        assert float(residual) == pytest.approx(expected, abs=1e-14)
        assert expected > 1e-3


def test_residual_is_zero_at_a_fixed_point_and_sees_every_unit_of_every_layer():
    """A maximum over one layer alone would call a network settled whose other layers still move."""
    network = settled(MIXED, "shifted_sigmoid")
    free = network.free_phase(torch.rand(2, 6))
    assert float(free.residual) < 1e-14
    for layer, size in enumerate(network.sizes[1:]):
        states = [s.clone() for s in free.states]
        states[layer][1, size - 1] += 0.25
        residual = free.body.dynamics.relax(free.drive, states, Stop(1)).residual
        assert float(residual) >= 0.25 - 1e-12


@pytest.mark.parametrize("neuron", NEURONS)
def test_residual_shows_states_that_are_not_numbers(neuron):
    """NaN must not be clamped away, or a diverged network would be reported as settled."""
    network = biased([4, 6, 3], neuron=neuron, seed=1)
    x = torch.rand(3, 4)
    x[1, 2] = torch.nan
    with torch.no_grad():
        output = network(x)
    assert torch.isnan(network.free_phase(x).residual)
    assert torch.isnan(output[1]).all()
    assert torch.isfinite(output[[0, 2]]).all()


def test_relaxing_records_no_graph_although_parameters_require_gradients():
    """Relaxation writes into buffers, which autograd cannot follow: it has to be off, also for a caller who forgot."""
    network = biased([4, 6, 3], seed=1)
    body = network.body()
    drive = body.drive(torch.rand(2, 4))
    assert drive.requires_grad
    ended = body.dynamics.relax(drive, [torch.zeros(2, 6), torch.zeros(2, 3)], Stop(2))
    assert not any(t.requires_grad for t in (*ended.states, ended.residual, ended.halfway))


def test_largest_absolute_entry():
    assert float(max_abs(torch.tensor([[0.5, -2.0], [1.0, 0.0]]))) == 2.0
    assert float(max_abs(torch.zeros(0, 3))) == 0.0
    assert torch.isnan(max_abs(torch.tensor([1.0, torch.nan])))


@pytest.mark.parametrize("nudged", [False, True])
@pytest.mark.parametrize("time_step", [JUMP, MIXED], ids=["dt 1", "heterogeneous"])
@pytest.mark.parametrize("depth", SIZES)
def test_every_asynchronous_sweep_equals_layer_by_layer_autograd_of_phi(depth, time_step, nudged):
    """Odd layers first, then even ones from the new states. A layer that still reads the old state of its neighbour
    makes a sweep a synchronous step, which ends in the same place and needs twice as many."""
    network = biased(SIZES[depth], time_step=time_step, seed=depth, neuron="tanh", relaxation="asynchronous")
    x = torch.rand(3, network.sizes[0])
    parts = phi.Parts.of(network)
    expected = [torch.rand(3, size) for size in network.sizes[1:]]
    target = torch.rand(3, network.sizes[-1])
    nudge = (lambda output: 0.7 * (target - output)) if nudged else None
    body = network.body()
    drive = body.drive(x).detach()
    states = [state.clone() for state in expected]
    for _ in range(4):
        expected = phi.sweep(x, expected, parts, nudge)
        states = body.dynamics.relax(drive, states, Stop(1), nudge).states
        close(states, expected)


def test_asynchronous_relaxation_reaches_the_synchronous_equilibrium_in_about_half_the_steps():
    """The fixed points depend on Phi alone; the order of updates only sets how fast they are reached."""
    x = torch.rand(8, 20)
    networks = {
        order: biased([20, 30, 30, 5], time_step=JUMP, relaxation=order, free_steps=400, tolerance=1e-9, seed=4)
        for order in ORDERS
    }
    ends = {order: network.free_phase(x) for order, network in networks.items()}
    close(ends["asynchronous"].states, ends["synchronous"].states, 1e-7)
    assert ends["asynchronous"].steps <= 0.6 * ends["synchronous"].steps + 5


def test_tolerance_stops_once_the_residual_is_below_it_and_not_before():
    """The state it stops in is the one that as many fixed steps reach, and its residual is the one reported."""
    x = torch.rand(8, 20)
    loose = biased([20, 30, 5], time_step=SLOW, free_steps=1000, tolerance=1e-3, seed=4)
    free = loose.free_phase(x)
    assert free.steps < 100
    assert free.residual < 1e-3
    fixed = biased([20, 30, 5], time_step=SLOW, free_steps=free.steps, seed=4).free_phase(x)
    close(free.states, fixed.states, 0.0)
    close(free.residual, fixed.residual, 0.0)
    earlier = biased([20, 30, 5], time_step=SLOW, free_steps=free.steps - 5, seed=4).free_phase(x)
    assert earlier.residual >= 1e-3


def test_a_tolerance_out_of_reach_takes_every_step():
    network = biased([20, 30, 5], free_steps=7, tolerance=1e-300)
    assert network.free_phase(torch.rand(2, 20)).steps == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"relaxation": "async"}, "unknown value `async`.* Valid values: "), ({"tolerance": -1.0}, "at least 0, got -1")],
)
def test_an_unknown_relaxation_or_negative_tolerance_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=rf"^{next(iter(arguments))}: .*{message}"):
        biased([4, 3], **arguments)


@pytest.mark.parametrize("time_step", [JUMP, MIXED], ids=["dt 1", "heterogeneous"])
def test_a_dense_relaxation_allocates_no_more_for_forty_steps_than_for_ten(time_step):
    """Buffers are made once and swapped. Memory taken and given back at every step costs as much as a small product."""
    network = biased([30, 20, 20, 10], time_step=time_step, seed=1)
    body = network.body()
    drive = body.drive(torch.rand(8, 30)).detach()

    def allocated(steps):
        states = [torch.zeros(8, size) for size in network.sizes[1:]]
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            body.dynamics.relax(drive, states, Stop(steps))
        events = profile.profiler.kineto_results.events()
        return sum(event.nbytes() for event in events if event.name() == "[memory]" and event.nbytes() > 0)

    allocated(2)  # what torch keeps for itself from its first use
    buffers = 8 * (20 + 20 + 10) * 8
    assert buffers <= allocated(10) == allocated(40)
