"""What a model gives to consolidation: its dense layers, the activity below them, and a way to write them."""

import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from clep.equilibrium import ConvLayer, Network
from clep.equilibrium.stack import DenseLayer, DenseStack, stack_of
from clep.errors import ConfigError, RenamedWarning
from clep.feedforward import Feedforward
from tests.oracles import bptt, phi

# ---------------------------------------------------------------- equilibrium networks


def test_the_layers_of_a_network_are_its_weights_lowest_first():
    network = Network([6, 5, 4, 3])
    layers = network.dense_stack().layers
    assert [layer.name for layer in layers] == ["connections.0", "connections.1", "connections.2"]
    assert [tuple(layer.weight.shape) for layer in layers] == [(5, 6), (4, 5), (3, 4)]
    assert all(layer.weight is dict(network.named_parameters())[f"{layer.name}.weight"] for layer in layers)
    assert all(torch.equal(layer.time_step, dt) for layer, dt in zip(layers, network.time_steps, strict=True))


@pytest.mark.usefixtures("double")
def test_presynaptic_states_are_the_input_and_the_equilibria_below_each_connection():
    network = Network([6, 5, 4, 3], seed=1)
    x = torch.rand(2, 2, 3)
    below = network.dense_stack().presynaptic(x)
    states = bptt.relax(x.flatten(1), phi.Parts.of(network), network.spec.free_steps)
    assert len(below) == 3
    assert torch.equal(below[0], x.flatten(1))
    assert_close(below[1:], [s.detach() for s in states[:2]], rtol=0.0, atol=1e-12)
    assert not any(state.requires_grad for state in below)


def test_a_linear_read_out_is_the_highest_layer_and_has_no_time_steps():
    network = Network([6, 5, 4, 3], readout="linear")
    stack, x = network.dense_stack(), torch.rand(2, 6)
    assert [layer.name for layer in stack.layers] == ["connections.0", "connections.1", "readout"]
    assert [layer.time_step is None for layer in stack.layers] == [False, False, True]
    assert torch.equal(stack.presynaptic(x)[-1], network.free_phase(x).states[-1])


def test_the_residual_is_that_of_a_free_phase():
    network, x = Network([6, 5, 3]), torch.rand(2, 6)
    assert network.dense_stack().residual(x) == float(network.free_phase(x).residual) > 0.0


def test_layers_take_what_is_written_as_it_is_and_convolutions_are_left_alone():
    network = Network([6, 5, 4, 3], readout="linear")
    new = [torch.randn(weight.shape) for weight in network.dense_stack().weights]
    network.dense_stack().write(new)
    assert all(map(torch.equal, network.dense_stack().weights, new))
    images = Network([(1, 8, 8), ConvLayer(2), 5, 3])
    kernel = images.connections[0].weight.clone()
    stack = images.dense_stack()
    assert [state.shape for state in stack.presynaptic(torch.rand(2, 1, 8, 8))] == [(2, 18), (2, 5)]
    stack.write([torch.zeros_like(weight) for weight in stack.weights])
    assert torch.equal(images.connections[0].weight, kernel)
    assert not images.connections[1].weight.any()
    assert not images.connections[2].weight.any()


def test_residual_links_form_no_stack():
    with pytest.raises(ConfigError, match=r"^residual_links: consolidation works on a stack .*; set it to 0\.$"):
        Network([5, 4, 4, 4, 3], residual_links=2).dense_stack()
    with pytest.raises(ConfigError, match=r"^network\.residual_links: "):
        stack_of(Network([5, 4, 4, 4, 3], residual_links=2))


def test_a_connection_alone_says_whether_and_as_what_it_sleeps(monkeypatch):
    """A new kind of connection gives a view of itself; neither the network nor sleep knows kinds of connections."""
    network = Network([6, 5, 4, 3])
    lowest = network.connections[0]

    def view(self, name, time_step):
        return None if self is lowest else DenseLayer(f"half of {name}", 0.5 * self.weight, time_step)

    monkeypatch.setattr(type(lowest), "dense_layer", view)
    stack = network.dense_stack()
    assert [layer.name for layer in stack.layers] == ["half of connections.1", "half of connections.2"]
    assert torch.equal(stack.weights[0], 0.5 * network.connections[1].weight)
    assert torch.equal(stack.layers[0].time_step, network.time_steps[1])
    assert [state.shape for state in stack.presynaptic(torch.rand(2, 6))] == [(2, 5), (2, 4)]


# ---------------------------------------------------------------- other models


def test_a_feedforward_network_gives_its_layers_and_its_activity():
    network = Feedforward([6, 5, 3], activation="tanh")
    stack, x = stack_of(network), torch.rand(2, 2, 3)
    assert [(layer.name, layer.time_step) for layer in stack.layers] == [("layers.0", None), ("layers.1", None)]
    assert torch.equal(stack.presynaptic(x)[1], torch.tanh(network.layers[0](x.flatten(1))))
    assert stack.residual is None


def test_linear_layers_are_a_stack_of_relu_units_without_biases():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))
    stack, x = stack_of(model), torch.randn(4, 2, 3)
    assert [layer.weight for layer in stack.layers] == [model[1].weight, model[3].weight]
    below = stack.presynaptic(x)
    assert torch.equal(below[0], x.flatten(1))
    assert torch.equal(below[1], torch.relu(x.flatten(1) @ model[1].weight.T))
    bias = model[1].bias.detach().clone()
    stack.write([torch.ones(5, 6), torch.zeros(3, 5)])
    assert (model[1].weight == 1.0).all()
    assert not model[3].weight.any()
    assert torch.equal(model[1].bias, bias)


def test_a_stack_of_another_depth_is_not_written():
    stack = stack_of(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="zip"):
        stack.write([torch.zeros(3, 4)])


def test_a_model_without_a_stack_is_told_what_to_give():
    with pytest.raises(ConfigError, match=r"^network: no stack .* was found in Conv2d; .*`dense_stack\(\)`"):
        stack_of(nn.Conv2d(1, 2, 3))


# ---------------------------------------------------------------- models written for the old members


def old_model(*members):
    """A model whose weight is computed: half of its parameter."""

    class Old(nn.Module):
        def __init__(self):
            super().__init__()
            self.doubled = nn.Parameter(torch.ones(3, 4))
            self.upper = nn.Linear(3, 2)
            self.residual = torch.tensor(0.25)
            self.phases = 0

        def free_phase(self, x):
            self.phases += 1

    methods = {
        "sleep_layers": lambda self: [("lower", 0.5 * self.doubled), ("upper", self.upper.weight)],
        "set_sleep_layers": lambda self, weights: self.doubled.copy_(2.0 * weights[0]),
        "sleep_time_steps": lambda self: [torch.full((3,), 0.5), None],
        "presynaptic": lambda self, x: [x, 7.0 * x[:, :3]],
    }
    for member in members:
        setattr(Old, member, methods[member])
    return Old()


def test_the_old_members_still_work_with_one_warning_that_names_the_new_one():
    model = old_model("sleep_layers", "set_sleep_layers", "sleep_time_steps", "presynaptic")
    with pytest.warns(RenamedWarning, match=r"^`Old\.sleep_layers, .* is now `Old\.dense_stack\(\)`"):
        stack = stack_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack_of(model)
    assert [layer.name for layer in stack.layers] == ["lower", "upper"]
    assert torch.equal(stack.layers[0].time_step, torch.full((3,), 0.5))
    x = torch.rand(5, 4)
    assert torch.equal(stack.presynaptic(x)[1], 7.0 * x[:, :3])
    assert (stack.residual(x), model.phases) == (0.25, 1)
    stack.write([torch.full((3, 4), 3.0), torch.zeros(2, 3)])
    assert (model.doubled == 6.0).all()
    assert model.upper.weight.any()  # the old method alone decided what to write


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_layers_alone_are_parameters_that_are_written():
    model = old_model("sleep_layers")
    model.doubled = None
    type(model).sleep_layers = lambda self: [("upper", self.upper.weight)]
    stack = stack_of(model)
    stack.write([torch.zeros(2, 3)])
    assert not model.upper.weight.any()
    assert isinstance(stack, DenseStack)
    assert stack.layers[0].time_step is None
