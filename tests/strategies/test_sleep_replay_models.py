"""Which layers of which models sleep."""

import re

import numpy as np
import pytest
import torch
from clep.strategies.sleep_replay import SleepReplay
from torch import nn

import clep
from clep.build import build_learner
from clep.config import compose
from clep.equilibrium import Backpropagation, ConvLayer
from clep.equilibrium.stack import DenseLayer, DenseStack
from clep.errors import ConfigError
from tests.strategies.builders import published, unchanged, weights_of


def test_it_works_on_a_stack_of_linear_layers(digits, finish, mlp):
    """Three layers with ReLU between them; maxima as a plain forward without biases finds them."""
    model, plugin = mlp(64, 15, 12, 10, bias=False), published(steps=300)
    inputs, pre_activations = digits.train[0].samples.x, []
    hooks = [
        module.register_forward_hook(lambda *a: pre_activations.append(float(a[2].max())))
        for module in model
        if isinstance(module, nn.Linear)
    ]
    with torch.no_grad():
        model(inputs)
    for hook in hooks:
        hook.remove()
    before = weights_of(model)
    finish(plugin, model, digits.benchmark.train_stream[0])
    assert plugin.inputs.maxima == pytest.approx([max(0.0, v) for v in pre_activations], rel=1e-5)
    assert not torch.equal(model[1].weight, before["1.weight"])
    assert [len(plugin.inputs.maxima), len(plugin.weight_scales)] == [3, 3]


def convolutional(**options):
    layer = ConvLayer(3, kernel=3, padding=1)
    return clep.Network([(1, 8, 8), layer, 12, 10], bias=True, seed=1, **options)


def test_dense_layers_sleep_above_convolutions_that_are_frozen(digits, finish, watch):
    """Its input is the mean activity below the first dense layer, 3 x 4 x 4 values, never masked by a patch."""
    network = convolutional()
    before = weights_of(network)
    plugin = published(steps=600, increment=[0.01], patch=0.3)
    x = digits.train[0].samples.x
    states = network.free_phase(x).states
    rates = 0.45 * states[0].flatten(1).mean(0)
    pairs = zip(states[:2], network.connections[1:], strict=True)
    maxima = [float((s.flatten(1) @ c.weight.detach().T).max()) for s, c in pairs]
    finish(plugin, network, digits.benchmark.train_stream[0])
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"connections.1.weight", "connections.2.weight"}
    assert plugin.inputs.mean.shape == (48,)
    np.testing.assert_allclose(np.mean([s for s, _ in watch], axis=0), rates, rtol=0, atol=0.1)
    assert plugin.inputs.maxima == pytest.approx(maxima, rel=1e-5)
    assert {"sleep/residual_before", "sleep/firing_rate_layer_2"} <= set(plugin.take_log())


def test_a_linear_read_out_is_the_top_layer(digits, finish):
    network = clep.Network([64, 20, 10], bias=False, seed=1, readout="linear")
    before = weights_of(network)
    plugin = published(steps=600, increment=[0.01])
    x = digits.train[0].samples.x
    maxima = [float(network.body().drive(x.flatten(1)).detach().max()), float(network(x).detach().max())]
    finish(plugin, network, digits.benchmark.train_stream[0])
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"connections.0.weight", "readout.weight"}
    assert plugin.inputs.maxima == pytest.approx(maxima, rel=1e-5)


def test_a_network_trained_by_backpropagation_sleeps_alike(digits, finish):
    results = []
    for gradient in (None, Backpropagation()):
        network = clep.Network([64, 20, 10], seed=1, gradient=gradient)
        finish(published(steps=300), network, digits.benchmark.train_stream[0])
        results.append(weights_of(network))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_model_without_a_free_phase_has_no_residual(digits, finish, mlp):
    logged = finish(published(steps=5), mlp(64, 20, 10), digits.benchmark.train_stream[0]).take_log()
    assert not [name for name in logged if "residual" in name]


def test_residual_links_are_refused_with_the_reason_before_anything_is_trained(digits):
    network = clep.Network([64, 4, 4, 4, 10], residual_links=2)
    before = weights_of(network)
    message = r"^network\.residual_links: consolidation works on a stack of dense layers.*; set it to 0\.$"
    assert [re.match(message, text) is not None for text in SleepReplay().refuses(clep.Learner(network))] == [True]
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [published(steps=5)], epochs=1).run(digits)
    assert unchanged(network, before)


def test_a_model_can_name_its_layers_itself(digits, finish):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.upper, self.lower = nn.Linear(20, 10), nn.Linear(64, 20)
            self.norm = nn.LayerNorm(10)

        def forward(self, x):
            return self.norm(self.upper(torch.tanh(self.lower(x.flatten(1)))))

        def dense_stack(self):
            return DenseStack([DenseLayer("lower", self.lower.weight), DenseLayer("upper", self.upper.weight)])

    model = Own()
    before = weights_of(model)
    finish(published(steps=300), model, digits.benchmark.train_stream[0])
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {"lower.weight"} <= changed <= {"lower.weight", "upper.weight"}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        return self.left(x.flatten(1)) + self.right(x.flatten(1))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10)),
        nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.LayerNorm(20), nn.Linear(20, 10)),
        Branches(),
    ],
    ids=["convolution below", "no linear layer", "normalisation between", "layers side by side"],
)
def test_a_model_without_a_stack_of_layers_is_refused_before_it_is_trained(model, digits):
    before = weights_of(model)
    with pytest.raises(
        ConfigError, match=r"^network: no stack .* in (Sequential|Branches); give it a method `dense_stack\(\)`"
    ):
        clep.Training(clep.Learner(model), [published(steps=5)], epochs=1).run(digits)
    assert unchanged(model, before)


@pytest.mark.parametrize(("changes", "share"), [([], (0.0, 0.1)), (["network.feedback_scale=1.0"], (0.3, 1.0))])
def test_features_of_the_shipped_convolutions_hardly_hear_the_layer_that_sleeps(digits, changes, share):
    """At full strength they do, and images of old classes then settle where those of new ones do."""
    network, x = build_learner(compose(None, ["network=conv_ep", *changes]), digits).network, digits.train[0].samples.x
    heard = network.free_phase(x).states[0]
    with torch.no_grad():
        network.connections[1].weight.zero_()
    alone = network.free_phase(x).states[0]
    assert share[0] < float((heard - alone).norm() / alone.norm()) < share[1]
