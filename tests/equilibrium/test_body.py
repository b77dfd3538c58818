"""Where a free phase ends, and whether it settles."""

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import DISTRIBUTIONS, ConvLayer, SquaredError, TimeStep
from clep.equilibrium.motions import max_abs
from tests.oracles.networks import biased, change

JUMP = TimeStep("scalar", mean=1.0)
MAX, AVERAGE = ConvLayer(3, 3, padding=1, pooling="max"), ConvLayer(3, 3, padding=1, pooling="average")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"sizes": [(2, 6, 7), MAX, 5, 4]},
        {"sizes": [(2, 6, 7), AVERAGE, 4], "neuron": "tanh"},
        {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
        {"sizes": [5, 7, 6, 4], "dynamics": "energy"},
        {"sizes": [5, 7, 6, 4], "relaxation": "asynchronous"},
        {"sizes": [5, 7, 6, 4], "feedback": "untied"},
    ],
    ids=["max pool", "average pool", "residual links", "energy", "asynchronous", "untied feedback"],
)
def test_time_steps_move_the_path_and_not_the_fixed_point_or_the_update(arguments, distribution):
    """In every architecture and for every distribution, to 1e-6, from the fixed point of one common dt; dt is one per
    neuron, pixels included. Otherwise a comparison with scalar steps would be one of two networks."""
    arguments = {"neuron": "shifted_sigmoid", "free_steps": 500, "nudged_steps": 500, "seed": 5} | arguments
    time_steps = TimeStep("scalar", mean=0.5), TimeStep(distribution, mean=0.6, spread=0.4, min=0.2)
    scalar, mixed = (biased(time_step=time_step, **arguments) for time_step in time_steps)
    x, y = torch.rand(5, *scalar.shapes[0]), torch.tensor([0, 1, 2, 3, 1])
    for network in (scalar, mixed):
        SquaredError()(network(x), y).backward()
        assert float(network.free_phase(x).residual) < 1e-12
    assert_close(mixed.free_phase(x).states, scalar.free_phase(x).states, rtol=0.0, atol=1e-9)
    for p, q in zip(mixed.parameters(), scalar.parameters(), strict=True):
        if q.grad.any():
            assert float(max_abs(p.grad - q.grad)) < 1e-6 * float(max_abs(q.grad))
    for network in (scalar, mixed):
        change(network, free_steps=2)
    assert float(max_abs(scalar(x) - mixed(x)).detach()) > 1e-3


# ---------------------------------------------------------------- what is wrong with a free phase


def two_units(drive, bias, weight, feedback=None, **arguments):
    """One hidden unit below one output unit: h = tanh(drive x + ...), y = tanh(weight h + bias)."""
    kind = "tied" if feedback is None else "untied"
    network = biased([1, 1, 1], neuron="tanh", feedback=kind, **{"time_step": JUMP, "free_steps": 40} | arguments)
    with torch.no_grad():
        for connection, w, b in zip(network.connections, (drive, weight), (0.0, bias), strict=True):
            connection.weight.fill_(w)
            connection.bias.fill_(b)
            if feedback is not None:
                connection.feedback.fill_(feedback)
    return network


def verdict(network, x=1.0):
    return network.free_phase(torch.full((3, 1), x)).trouble()


def test_two_attractors_that_take_turns_oscillate_and_smaller_time_steps_end_that():
    """With symmetric weights and dt = 1 a network is two interleaved ones, (h, y) at odd and even steps, which here
    settle at +1 and -1: the states swap for ever, although an energy exists. dt < 1 couples the two."""
    network = two_units(0.5, -0.5, 3.0)
    assert verdict(network) == "oscillates"
    first, second = (two_units(0.5, -0.5, 3.0, free_steps=steps)(torch.ones(1, 1)).item() for steps in (40, 41))
    assert first * second < -0.9
    assert verdict(two_units(0.5, -0.5, 3.0, time_step=TimeStep("scalar", mean=0.5))) is None
    assert verdict(two_units(0.5, -0.5, 3.0, relaxation="asynchronous")) is None


@pytest.mark.parametrize("mean", [1.0, 0.5])
def test_feedback_against_the_weights_oscillates_whatever_the_time_steps(mean):
    """A vector field need not have an equilibrium that attracts: y pulls h down as h pushes y up. Two looks at a cycle
    can miss it, and do so for some numbers of steps; over many batches they do not."""
    verdicts = []
    for steps in range(60, 100):
        network = two_units(0.1, 0.0, 4.0, -4.0, time_step=TimeStep("scalar", mean=mean), free_steps=steps)
        verdicts.append(network.free_phase(torch.linspace(-3.0, 3.0, 16)[:, None]).trouble())
    assert set(verdicts) <= {"oscillates", None}
    assert verdicts.count("oscillates") >= 30


def test_one_oscillating_sample_of_a_batch_is_enough():
    network = two_units(0.5, -0.5, 3.0)
    assert network.free_phase(torch.tensor([[20.0], [1.0], [20.0]])).trouble() == "oscillates"
    assert network.free_phase(torch.tensor([[20.0], [20.0]])).trouble() is None


@pytest.mark.parametrize("x", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dynamics", ["prototypical", "energy"])
def test_states_that_are_not_numbers_diverge(dynamics, x):
    network = biased([1, 3, 2], neuron="tanh", dynamics=dynamics, seed=1)
    with torch.no_grad():
        network.connections[0].weight.copy_(torch.tensor([[0.0], [1.0], [-1.0]]))  # 0 x inf is no number
    assert verdict(network, x) == "diverges"


def test_a_weight_that_is_not_a_number_diverges():
    assert verdict(two_units(0.5, 0.0, torch.nan)) == "diverges"


def test_a_residual_that_grows_diverges_until_it_has_arrived():
    """From 1e-9 away from an equilibrium that repels, the distance grows ninefold every two steps."""
    assert verdict(two_units(1.0, 0.0, 3.0, free_steps=16), 1e-8) == "diverges"
    assert verdict(two_units(1.0, 0.0, 3.0, free_steps=60), 1e-8) is None


def test_a_settled_network_and_one_on_its_way_have_nothing_wrong():
    """A free phase that is too short is a matter of accuracy, which the residual tells; nothing is broken."""
    for time_step, steps in ((JUMP, 100), (TimeStep("scalar", mean=0.1), 10), (TimeStep(), 20)):
        network = biased([20, 30, 5], time_step=time_step, free_steps=steps, seed=1)
        assert network.free_phase(torch.rand(8, 20)).trouble() is None


@pytest.mark.parametrize("tolerance", [1e-4, 0.05, 0.3])
def test_a_free_phase_that_stopped_at_its_tolerance_has_nothing_wrong(tolerance):
    """Nor when it did so before it was halfway, where there is nothing to compare its residual with."""
    network = biased([20, 30, 5], time_step=TimeStep("scalar", mean=0.4), tolerance=tolerance, free_steps=400, seed=1)
    free = network.free_phase(torch.rand(8, 20))
    assert free.steps < 200
    assert free.residual < tolerance
    assert free.trouble() is None


# ---------------------------------------------------------------- what a free phase carries


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("order", ["synchronous", "asynchronous"])
def test_a_free_phase_carries_its_residuals_and_steps(order):
    """`residual` and `halfway` are those of relaxations of all and of half of the steps, over the same start."""
    x = torch.rand(8, 6)
    free = biased([6, 5, 4], free_steps=14, relaxation=order, seed=1).free_phase(x)
    half = biased([6, 5, 4], free_steps=7, relaxation=order, seed=1).free_phase(x)
    assert free.steps == 14
    assert free.residual.shape == free.halfway.shape == ()
    assert float(free.halfway) == float(half.residual)
    assert float(free.residual) < 0.5 * float(free.halfway)
    assert free.spikes is None


def test_a_free_phase_of_spikes_carries_their_number_per_sample_and_layer():
    """Hidden layers alone, whatever the size of the batch: here every unit fires after every step."""
    network = biased([6, 5, 7, 4], dynamics="bernoulli", free_steps=40, time_step=JUMP, seed=1)
    with torch.no_grad():
        for connection in network.connections:
            connection.weight.zero_()
            connection.bias.fill_(9.0)
    for batch in (3, 6):
        assert network.free_phase(torch.rand(batch, 6)).spikes.tolist() == [40.0 * 5, 40.0 * 7]


def test_a_free_phase_is_frozen_and_keeps_what_it_was_made_of():
    """A second free phase must not change the first one: strategies hold on to it."""
    network, x = biased([6, 5, 4], seed=1), torch.rand(8, 6)
    free = network.free_phase(x)
    states = [state.clone() for state in free.states]
    network.free_phase(torch.rand(3, 6))
    change(network, free_steps=3, nudged_steps=2)
    assert_close(list(free.states), states, rtol=0.0, atol=0.0)
    assert free.output is free.states[-1]
    assert (free.body.free.steps, free.body.nudged_steps) == (20, 4)
    with pytest.raises(FrozenInstanceError):
        free.residual = torch.zeros(())


def test_a_body_reads_out_the_last_state_or_gives_it_back():
    for readout in ("state", "linear"):
        network, x = biased([6, 5, 4, 3], readout=readout, seed=1), torch.rand(8, 6)
        free = network.free_phase(x)
        read = free.body.read_out(free.output)
        expected = free.output if network.readout is None else network.readout(free.output)
        assert torch.equal(read, expected)
        assert torch.equal(network(x), expected)
        assert torch.equal(free.drive, free.body.drive(free.x))


def test_the_parameters_of_a_body_are_those_of_the_connections_and_not_those_of_a_read_out():
    network = biased([6, 5, 4, 3], readout="linear", feedback="untied")
    assert [id(p) for p in network.body().parameters()] == [id(p) for p in network.connections.parameters()]
