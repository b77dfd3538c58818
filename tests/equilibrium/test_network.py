"""The network as a module: what it computes from what, its state, its copies, its errors."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import NEURONS, LinearNudging, Network, TimeStep
from clep.errors import ConfigError
from tests.oracles import bptt, phi
from tests.oracles.networks import biased

JUMP = TimeStep("scalar", mean=1.0)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("neuron", NEURONS)
def test_output_is_that_of_free_steps_from_zero(neuron, bias):
    """The oracle takes as many steps from zero; one step more, or states kept from the call before, would show."""
    network = biased([6, 5, 4, 3], neuron=neuron, bias=bias, free_steps=7, seed=1)
    x = torch.rand(4, 6)
    for _ in range(2):
        assert_close(network(x), bptt.output(x, phi.Parts.of(network), 7), rtol=0.0, atol=1e-12)
    assert float(network.free_phase(x).residual) > 1e-4


def test_an_input_of_any_shape_is_flattened():
    network = biased([12, 5, 3], seed=1)
    images = torch.rand(4, 1, 3, 4)
    before = images.clone()
    output = network(images.requires_grad_())
    output.sum().backward()
    assert output.shape == (4, 3)
    assert torch.equal(network(images.reshape(4, 12)), output)
    assert images.grad.shape == images.shape
    assert torch.equal(images.detach(), before)


@pytest.mark.usefixtures("double")
def test_samples_do_not_see_their_batch():
    """Each row is the row of a batch of one. Statistics over the batch would make a score depend on its neighbours."""
    network = biased([6, 5, 4, 3], seed=1)
    x = torch.rand(7, 6)
    alone = torch.cat([network(row) for row in x.split(1)])
    assert_close(network(x), alone, rtol=0.0, atol=1e-14)
    assert_close(network(x.flip(0)).flip(0), alone, rtol=0.0, atol=1e-14)


def test_batches_of_any_size_follow_each_other():
    """The last batch of an epoch is smaller, and after replay joins it is larger: no buffer may keep the first size."""
    network = biased([6, 5, 3], seed=1)
    x = torch.rand(9, 6)
    for size in (9, 2, 5, 1, 0):
        output = network(x[:size])
        output.square().sum().backward()
        assert output.shape == (size, 3)
        assert torch.equal(output, biased([6, 5, 3], seed=1)(x[:size]))


def test_the_seed_decides_weights_time_steps_and_nothing_else_does():
    """One generator per use: time steps of another kind must not change the initial weights, or a comparison of the two
    would also be one of two initialisations."""
    torch.manual_seed(1)
    first = biased([6, 5, 3], seed=4)
    torch.manual_seed(2)
    same, other = biased([6, 5, 3], seed=4), biased([6, 5, 3], seed=5)
    scalar = biased([6, 5, 3], seed=4, time_step=JUMP, neuron="tanh")
    for name, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
        assert not torch.equal(value, other.state_dict()[name])
        assert torch.equal(value, scalar.state_dict()[name]) == (not name.startswith("dt_"))


def test_time_steps_belong_to_neurons_and_are_state_not_parameters():
    network = biased([6, 50, 30], time_step=TimeStep("lognormal", mean=0.4), seed=1)
    assert [len(dt) for dt in network.time_steps] == [50, 30]
    steps = torch.cat(network.time_steps)
    assert float(steps.mean()) == pytest.approx(0.4, rel=0.01)
    assert len(steps.unique()) > 60
    assert {name for name, _ in network.named_buffers()} == {"dt_1", "dt_2"} <= set(network.state_dict())
    assert {name for name, _ in network.named_parameters()} == {
        f"connections.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(("source", "target"), [(TimeStep(), JUMP), (JUMP, TimeStep())])
def test_a_loaded_state_brings_its_time_steps_along(source, target):
    """A network of steps 1 skips the interpolation; it must not go on doing so with the loaded steps of another."""
    x = torch.rand(4, 6)
    network, other = biased([6, 5, 3], time_step=source, seed=1), biased([6, 5, 3], time_step=target, seed=2)
    assert not torch.equal(network(x), other(x))
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(x), other(x))


def test_steps_of_one_take_the_short_way_to_the_same_numbers():
    """Jumping is s <- rho(...); interpolating with dt = 1 has to end there as well."""
    network = biased([6, 5, 3], time_step=JUMP, seed=1)
    free = network.free_phase(torch.ones(2, 6))
    dynamics = free.body.dynamics
    assert dynamics.time_steps == [None, None]
    stepping = replace(dynamics, time_steps=network.time_steps)
    states = [torch.zeros_like(state) for state in free.states]
    assert_close(stepping.relax(free.drive, states, free.body.free).states, list(free.states), rtol=0.0, atol=0.0)


def test_arguments_and_state_rebuild_the_network():
    """They are what a checkpoint holds; an argument left out would come back as its default."""
    network = biased(
        (6, 5, 4, 3),
        neuron="tanh",
        bias=False,
        free_steps=9,
        nudged_steps=3,
        time_step=TimeStep("gamma", mean=0.5, spread=0.4, min=0.1, max=0.9),
        seed=7,
    )
    arguments = json.loads(json.dumps(network.arguments()))
    rebuilt = biased(**arguments | {"time_step": TimeStep(**arguments["time_step"])})
    rebuilt.load_state_dict(network.state_dict())
    x = torch.rand(4, 6)
    assert torch.equal(rebuilt(x), network(x))
    for loss in (network(x), rebuilt(x)):
        loss.square().sum().backward()
    for p, q in zip(network.parameters(), rebuilt.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    assert rebuilt.arguments() == network.arguments()


def test_a_network_can_be_pickled():
    """Worker processes receive it that way."""
    network, x = biased([6, 5, 3], gradient=LinearNudging(0.2, "random_sign"), seed=1), torch.rand(4, 6)
    network(x)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), network(x))


def test_a_network_is_made_on_the_default_device_with_the_same_weights():
    """Weights come from a CPU generator, which no other device accepts; `torch.device(...)` contexts have to work."""
    with torch.device("meta"):
        network = biased([6, 5, 3], seed=1)
    assert {t.device.type for t in network.state_dict().values()} == {"meta"}
    network.load_state_dict(biased([6, 5, 3], seed=1).state_dict(), assign=True)
    assert torch.equal(network(torch.ones(2, 6)), biased([6, 5, 3], seed=1)(torch.ones(2, 6)))


def test_a_free_phase_records_no_graph():
    """Cost nudging calls it with gradients on; a graph would be kept alive as long as the states."""
    network = biased([6, 5, 3])
    free = network.free_phase(torch.rand(2, 6))
    assert not any(t.requires_grad for t in (free.drive, *free.states, free.residual, free.halfway))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sizes": [5]}, ["sizes: ", "at least two layers", "[5]"]),
        ({"sizes": []}, ["sizes: ", "at least two layers", "[]"]),
        ({"sizes": [5, 0, 3]}, ["sizes: ", "at least one unit", "[5, 0, 3]"]),
        ({"neuron": "relu"}, ["neuron: ", "`relu`", *NEURONS, "import path"]),
        ({"free_steps": 0}, ["free_steps: ", "at least 1", "got 0"]),
        ({"nudged_steps": -2}, ["nudged_steps: ", "at least 1", "got -2"]),
    ],
)
def test_bad_arguments_are_refused_with_the_key_and_what_is_allowed(arguments, words):
    with pytest.raises(ConfigError) as error:
        Network(**{"sizes": [5, 4, 3]} | arguments)
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words)
