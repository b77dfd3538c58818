"""What is refused, with the key and the reason; what comes back from a checkpoint."""

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
    PHASES,
    POOLINGS,
    PRECISIONS,
    READOUTS,
    RULES,
    STARTS,
    ContinualNudging,
    ConvLayer,
    CostNudging,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError

IMAGE = (1, 8, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConvLayer(4, pooling="median"), ["network.pooling", "`median`", *POOLINGS]),
        (lambda: ConvLayer(0), ["network.channels", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, kernel=0), ["network.kernel", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, stride=0), ["network.stride", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, pool=0), ["network.pool", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, padding=-1), ["network.padding", "at least 0", "got -1"]),
        (lambda: Network([64, ConvLayer(4), 10]), ["network.channels", "images (C, H, W)", "(64,)"]),
        (lambda: Network([(8, 8), ConvLayer(4), 10]), ["network.channels", "images (C, H, W)", "(8, 8)"]),
        (lambda: Network([IMAGE, 5, ConvLayer(4), 10]), ["network.channels", "images (C, H, W)", "(5,)"]),
        (
            lambda: Network([(1, 5, 9), ConvLayer(4, kernel=5, pool=3, pooling="average"), 10]),
            ["network.kernel", "5 x 9", "too small", "kernel 5", "padding 0", "stride 1", "pool 3"],
        ),
        (lambda: Network([IMAGE, *[ConvLayer(4)] * 3, 10]), ["network.kernel", "3 x 3", "too small", "fewer layers"]),
        (lambda: Network([(1, 2, 8), ConvLayer(4, pooling="none"), 10]), ["network.kernel", "2 x 8", "too small"]),
    ],
)
def test_convolutions_that_do_not_fit_are_refused(make, words):
    """Torch would say `Output size is too small`, or nothing until the first batch."""
    with pytest.raises(ConfigError) as error:
        make()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("kernel", [3, 4])
def test_the_smallest_image_that_fits_is_accepted(kernel):
    """One pixel less is refused, and no more than that: without pooling its side does not count."""
    for pooling, side in (("none", kernel), ("max", kernel + 1), ("average", kernel + 1)):
        layer = ConvLayer(2, kernel, pooling=pooling)
        assert Network([(1, side, side), layer, 3])(torch.rand(2, 1, side, side)).shape == (2, 3)
        with pytest.raises(ConfigError, match="too small"):
            Network([(1, side, side - 1), layer, 3])


@pytest.mark.parametrize("nudging", [LinearNudging, CostNudging, ContinualNudging])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beta": 0.0}, ["learner.beta", "other than 0", "got 0.0"]),
        ({"phases": "free"}, ["learner.phases", "`free`", *PHASES]),
        ({"start": "zero"}, ["learner.start", "`zero`", *STARTS]),
        ({"phases": "holomorphic", "points": 1}, ["learner.points", "at least 2", "got 1"]),
        ({"phases": "one_sided", "start": "mirrored"}, ["learner.start", "`mirrored`", "`centered`", "`one_sided`"]),
        ({"phases": "holomorphic", "start": "mirrored"}, ["learner.start", "`mirrored`", "`holomorphic`"]),
    ],
)
def test_phases_without_meaning_are_refused(nudging, arguments, words):
    with pytest.raises(ConfigError) as error:
        nudging(**arguments)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dynamics": "spiking"}, ["network.dynamics", "`spiking`", *DYNAMICS]),
        ({"readout": "softmax"}, ["network.readout", "`softmax`", *READOUTS]),
        ({"feedback": "random"}, ["network.feedback", "`random`", *FEEDBACKS]),
        ({"rule": "hebb"}, ["network.rule", "`hebb`", *RULES]),
        ({"init": "zeros"}, ["network.init", "`zeros`", *INITIALIZATIONS]),
        ({"precision": "float16"}, ["network.precision", "`float16`", *PRECISIONS]),
        ({"relaxation": "random"}, ["network.relaxation", "`random`", *ORDERS]),
        ({"neuron": "relu"}, ["network.neuron", "`relu`", *NEURONS]),
        ({"feedback_scale": 0.0}, ["network.feedback_scale", "above 0", "got 0.0"]),
        ({"feedback_scale": -1.0}, ["network.feedback_scale", "above 0", "got -1.0"]),
        ({"feedback_scale": float("nan")}, ["network.feedback_scale", "above 0", "nan"]),
        ({"dynamics": "energy", "feedback": "untied"}, ["network.dynamics", "`energy`", "feedback=untied"]),
        ({"dynamics": "energy", "feedback_scale": 0.5}, ["network.dynamics", "`energy`", "feedback_scale=0.5"]),
        ({"residual_links": 1}, ["network.residual_links", "from 2 to 2", "3 hidden layers", "got 1"]),
        ({"residual_links": 3}, ["network.residual_links", "from 2 to 2", "got 3"]),
        ({"residual_links": -2}, ["network.residual_links", "expected 0, or", "got -2"]),
        ({"residual_links": 2, "sizes": [5, 4, 4, 3]}, ["network.residual_links", "2 hidden layers", "got 2"]),
        (
            {"residual_links": 2, "sizes": [IMAGE, ConvLayer(2), 4, 4, 3]},
            ["network.residual_links", "dense layers", "convolutional"],
        ),
        ({"sizes": [5, 3], "readout": "linear"}, ["network.hidden", "at least three layers", "[5, 3]"]),
        ({"sizes": [5, (1, 4, 4), 3]}, ["network.hidden", "a shape is for the input alone"]),
        ({"sizes": [IMAGE, ConvLayer(2)]}, ["network.hidden", "the output is dense"]),
        ({"sizes": [IMAGE, 5, ConvLayer(2)], "readout": "linear"}, ["network.hidden", "the output is dense"]),
        ({"sizes": [ConvLayer(2), 5, 3]}, ["network.hidden", "input"]),
        ({"sizes": [(1, 0, 4), 5, 3]}, ["network.hidden", "at least one unit", "(1, 0, 4)"]),
    ],
)
def test_networks_without_meaning_are_refused(arguments, words):
    with pytest.raises(ConfigError) as error:
        Network(**{"sizes": [5, 4, 4, 4, 3]} | arguments)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("arguments", "gradient", "words"),
    [
        (
            {"neuron": "hard_sigmoid"},
            LinearNudging(0.5, "holomorphic"),
            ["learner.phases", "`holomorphic`", "analytic", "network.neuron=hard_sigmoid", "tanh", "shifted_sigmoid"],
        ),
        (
            {"neuron": "tanh", "sizes": [IMAGE, ConvLayer(2), 3]},
            CostNudging(0.5, "holomorphic"),
            ["learner.phases", "`holomorphic`", "max pooling", "network.pooling=average"],
        ),
        ({"rule": "predictive"}, LinearNudging(), ["network.rule", "`predictive`", "centered", "phases=one_sided"]),
        (
            {"rule": "predictive", "neuron": "tanh"},
            CostNudging(phases="holomorphic"),
            ["network.rule", "holomorphic", "learner.nudging=clamped"],
        ),
        ({"dynamics": "energy"}, CostNudging(nudge="outside"), ["learner.nudge", "energy", "`inside`"]),
        ({"dynamics": "energy"}, ContinualNudging(nudge="outside"), ["learner.nudge", "energy", "`inside`"]),
    ],
)
def test_a_gradient_without_meaning_in_a_network_is_refused(arguments, gradient, words):
    """Silently wrong otherwise: a clamp has no complex derivative, and an energy's output no activation."""
    network = Network(**{"sizes": [5, 4, 3]} | arguments)
    with pytest.raises(ConfigError) as error:
        network.check(gradient)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("layer", [ConvLayer(2, pooling="average"), ConvLayer(2, pooling="none"), 6])
def test_gradients_with_a_meaning_pass_the_check(layer):
    network = Network([IMAGE, layer, 3], neuron="tanh", nudging=LinearNudging(0.1, "holomorphic"))
    for gradient in (network.nudging, CostNudging(0.5, "holomorphic", nudge="outside"), LinearNudging(0.5, "centered")):
        network.check(gradient)
    network(torch.rand(2, *IMAGE)).sum().backward()
    Network([IMAGE, ConvLayer(2), 3]).check(LinearNudging())


# ---------------------------------------------------------------- what a checkpoint holds


ALL = {
    "convolutional": {
        "sizes": [(2, 9, 8), ConvLayer(3, 4, stride=2, padding=2, pooling="average", pool=2), ConvLayer(2, 1), 5, 3],
        "neuron": "tanh",
        "init": "glorot",
        "relaxation": "asynchronous",
        "tolerance": 0.01,
    },
    "mapping": {"sizes": [[1, 8, 8], {"channels": 2, "kernel": 3, "pool": 3}, 3], "precision": "bfloat16"},
    "untied": {"sizes": [6, 5, 4, 3], "feedback": "untied", "rule": "vector_field", "feedback_scale": 0.5},
    "residual links": {"sizes": [6, 5, 5, 5, 3], "residual_links": 2, "bias": False},
    "read-out": {"sizes": [6, 5, 4, 3], "readout": "linear", "dynamics": "energy"},
    "read-out of images": {"sizes": [IMAGE, ConvLayer(2), 3], "readout": "linear", "bias": False},
}


@pytest.mark.parametrize("arguments", ALL.values(), ids=ALL)
def test_arguments_as_json_and_state_rebuild_any_network(arguments):
    """Outputs and gradients to the bit, and the arguments themselves. One left out would come back as its default, a
    parameter that is not in the state as a new draw."""
    time_step = TimeStep("gamma", mean=0.5, spread=0.4, min=0.1, max=0.9)
    network = Network(**arguments, time_step=time_step, free_steps=9, nudged_steps=3, seed=7)
    plain = json.loads(json.dumps(network.arguments()))
    for key, value in arguments.items():
        assert key == "sizes" or plain[key] == value
    rebuilt = Network(**plain | {"time_step": TimeStep(**plain["time_step"])}, seed=8)
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
    network = Network(**{"free_steps": 15, "nudged_steps": 8, "seed": 7} | arguments)
    layers = network.layer_parameters()
    assert len(layers) == len(network.sizes) - 1
    listed = [id(p) for layer in layers for p in layer]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())
    x = torch.rand(4, *network.shapes[0])
    SquaredError()(network(x), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.any() or name == "connections.0.feedback", name


def test_untied_feedback_is_drawn_apart_from_the_weights():
    """Tied and untied twins of a seed start from the same weights, and feedback at about a right angle to them."""
    tied, untied = Network([60, 50, 40], seed=4), Network([60, 50, 40], feedback="untied", seed=4)
    for one, other in zip(tied.connections, untied.connections, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert not torch.equal(other.weight, other.feedback)
    assert tied.feedback_angles() == []
    (angle,) = untied.feedback_angles()
    assert 80.0 < angle < 100.0
    with torch.no_grad():
        untied.connections[1].feedback.copy_(-2.0 * untied.connections[1].weight)
    assert untied.feedback_angles() == pytest.approx([180.0], abs=0.1)


@pytest.mark.parametrize("sizes", [[60, 50, 40], [(3, 8, 8), ConvLayer(50, 3), 40]])
def test_glorot_weights_are_uniform_up_to_the_root_of_six_over_both_fans(sizes):
    """U(+-sqrt(6 / (n_in + n_out))), as `torch.nn.init.xavier_uniform_`, for kernels too."""
    network = Network(sizes, init="glorot", feedback="untied", seed=1)
    for connection in network.connections:
        like = torch.nn.init.xavier_uniform_(torch.empty_like(connection.weight))
        for weight in (connection.weight.detach(), connection.feedback.detach()):
            assert float(weight.abs().max()) == pytest.approx(float(like.abs().max()), rel=0.02)
            assert float(weight.std()) == pytest.approx(float(like.std()), rel=0.06)
