"""The list of layers: which ones are refused, and what a checkpoint needs to make them again."""

import json

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    DYNAMICS,
    FEEDBACKS,
    INITIALIZATIONS,
    NEURONS,
    ORDERS,
    PRECISIONS,
    READOUTS,
    ConvLayer,
    Network,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError
from tests.oracles.networks import biased

IMAGE = (1, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dynamics": "spiking"}, ["dynamics: ", "`spiking`", *DYNAMICS]),
        ({"readout": "softmax"}, ["readout: ", "`softmax`", *READOUTS]),
        ({"feedback": "random"}, ["feedback: ", "`random`", *FEEDBACKS]),
        ({"average_steps": 0}, ["average_steps: ", "at least 1", "got 0"]),
        ({"feedbck": "tied"}, ["feedbck: ", "unknown argument", "did you mean `feedback`?"]),
        ({"init": "zeros"}, ["init: ", "`zeros`", *INITIALIZATIONS]),
        ({"precision": "float16"}, ["precision: ", "`float16`", *PRECISIONS]),
        ({"relaxation": "random"}, ["relaxation: ", "`random`", *ORDERS]),
        ({"neuron": "relu"}, ["neuron: ", "`relu`", *NEURONS]),
        ({"feedback_scale": 0.0}, ["feedback_scale: ", "above 0", "got 0.0"]),
        ({"feedback_scale": -1.0}, ["feedback_scale: ", "above 0", "got -1.0"]),
        ({"feedback_scale": float("nan")}, ["feedback_scale: ", "above 0", "nan"]),
        ({"residual_links": 1}, ["residual_links: ", "from 2 to 2", "3 hidden layers", "got 1"]),
        ({"residual_links": 3}, ["residual_links: ", "from 2 to 2", "got 3"]),
        ({"residual_links": -2}, ["residual_links: ", "at least 0", "got -2"]),
        (
            {"residual_links": 2, "sizes": [5, 4, 4, 3]},
            ["residual_links: ", "a span of 2 needs 3 hidden layers", "got 2"],
        ),
        (
            {"residual_links": 2, "sizes": [IMAGE, ConvLayer(2), 4, 4, 3]},
            ["residual_links: ", "dense layers", "convolutional"],
        ),
        ({"sizes": [5, 3], "readout": "linear"}, ["sizes: ", "at least three layers", "[5, 3]"]),
        ({"sizes": [5, (1, 4, 4), 3]}, ["sizes: ", "a shape for the input", "got [5, (1, 4, 4), 3]"]),
        ({"sizes": [IMAGE, ConvLayer(2)]}, ["sizes: ", "units for the output", "got ["]),
        ({"sizes": [IMAGE, 5, ConvLayer(2)], "readout": "linear"}, ["sizes: ", "units for the output", "got ["]),
        ({"sizes": [ConvLayer(2), 5, 3]}, ["sizes: ", "units or a shape for the input", "got ["]),
        ({"sizes": [(1, 0, 4), 5, 3]}, ["sizes: ", "at least one unit", "(1, 0, 4)"]),
    ],
)
def test_networks_without_meaning_are_refused(arguments, words):
    with pytest.raises(ConfigError) as error:
        Network(**{"sizes": [5, 4, 4, 4, 3]} | arguments)
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words), error.value


ALL = {
    "convolutional": {
        "sizes": [(2, 9, 8), ConvLayer(3, 4, stride=2, padding=2, pooling="average", pool=2), ConvLayer(2, 1), 5, 3],
        "neuron": "tanh",
        "init": "glorot",
        "relaxation": "asynchronous",
        "tolerance": 0.01,
    },
    "mapping": {"sizes": [[1, 8, 8], {"channels": 2, "kernel": 3, "pool": 3}, 3], "precision": "bfloat16"},
    "untied": {"sizes": [6, 5, 4, 3], "feedback": "untied", "feedback_scale": 0.5},
    "residual links": {"sizes": [6, 5, 5, 5, 3], "residual_links": 2, "bias": False},
    "read-out": {"sizes": [6, 5, 4, 3], "readout": "linear", "dynamics": "energy"},
    "read-out of images": {"sizes": [IMAGE, ConvLayer(2), 3], "readout": "linear", "bias": False},
}


@pytest.mark.parametrize("arguments", ALL.values(), ids=ALL)
def test_arguments_as_json_and_state_rebuild_any_network(arguments):
    """Outputs and gradients to the bit, and the arguments themselves. One left out would come back as its default, a
    parameter that is not in the state as a new draw."""
    time_step = TimeStep("gamma", mean=0.5, spread=0.4, min=0.1, max=0.9)
    network = biased(**arguments, time_step=time_step, free_steps=9, nudged_steps=3, seed=7)
    plain = json.loads(json.dumps(network.arguments()))
    for key, value in arguments.items():
        assert key == "sizes" or plain[key] == value
    rebuilt = Network(**plain, seed=8)
    assert rebuilt.arguments() == network.arguments()
    x = torch.rand(4, *network.shapes[0])
    assert not torch.equal(rebuilt(x), network(x))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert set(state) == set(rebuilt.state_dict())
    rebuilt.load_state_dict(state)
    assert torch.equal(rebuilt(x), network(x))
    for one in (network, rebuilt):
        functional.cross_entropy(one(x), torch.tensor([0, 1, 2, 0])).backward()
    for p, q in zip(network.parameters(), rebuilt.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    assert_close(dict(rebuilt.state_dict()), state, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("arguments", ALL.values(), ids=ALL)
def test_every_parameter_is_in_one_layer_and_learns(arguments):
    """`layer_parameters` is what learning rates per layer are given by: none may be left out or come twice. All but
    feedback into the input, which is not there, get a gradient."""
    network = biased(**{"free_steps": 15, "nudged_steps": 8, "seed": 7} | arguments)
    layers = network.layer_parameters()
    assert len(layers) == len(network.sizes) - 1
    listed = [id(p) for layer in layers for p in layer]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())
    x = torch.rand(4, *network.shapes[0])
    SquaredError()(network(x), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.any() or name == "connections.0.feedback", name
