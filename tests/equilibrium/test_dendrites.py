"""Dendritic networks: branches, masks, steps and sleep against the plain functions of the oracle."""

import copy
import json

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import (
    Backpropagation,
    CostNudging,
    Dendrites,
    Network,
    TimeStep,
)
from clep.equilibrium.dynamics import Stop
from clep.errors import ConfigError
from tests.oracles.branches import BRANCHES, LABELS, ORDERS, close, images, made, nudge
from tests.oracles.dendritic import Layers
from tests.oracles.networks import loss_by

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("density", "kept"), [(0.5, 10), (0.24, 5), (0.01, 1), (1.0, 20)])
def test_every_branch_keeps_its_share_of_inputs_drawn_at_random(density, kept):
    """The nearest whole number of inputs, at least one; which ones differs from branch to branch."""
    network = made((20, 20, 20), Dendrites(4, 3, density))
    for mask in (network.connections[0].mask, network.connections[1].mask, network.connections[1].apical_mask):
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert (mask.sum(-1) == kept).all()
        rows = mask.flatten(0, 1)
        assert kept == 20 or len(rows.unique(dim=0)) > 15
    assert made((20, 20), Dendrites(density=0.01)).connections[0].mask.sum(-1).eq(1).all()
    assert not torch.equal(network.connections[0].mask[0], network.connections[0].mask[1]) or kept == 20


def test_masks_and_weights_come_from_the_seed_and_from_generators_of_their_own():
    same, other = made(seed=3), made(seed=4)
    for name, value in made(seed=3).state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    for name in ("connections.0.mask", "connections.1.apical_mask", "connections.0.weight", "connections.1.apical"):
        assert not torch.equal(same.state_dict()[name], other.state_dict()[name])
    dense, half = (made(dendrites=Dendrites(density=density)) for density in (1.0, 0.5))
    for full, masked in zip(dense.connections, half.connections, strict=True):
        assert torch.equal(masked.weight, full.weight * masked.mask)


def test_initial_weights_are_bounded_by_all_inputs_and_biases_by_those_kept():
    """U(+-1/sqrt(n_in)) whatever the mask, U(+-1/sqrt(kept)); of apical branches n_in is the layer above."""
    network = made((100, 80, 40), Dendrites(8, 6, density=0.25))
    low, high = network.connections
    for values, n in ((low.weight, 100), (low.bias, 25), (high.weight, 80), (high.bias, 20), (high.apical, 40)):
        assert float(values.detach().abs().max()) == pytest.approx(n**-0.5, rel=0.02)
        assert float(values[values != 0].detach().std()) == pytest.approx(n**-0.5 / 3**0.5, rel=0.05)
    assert high.weight.shape == (8, 40, 80)
    assert high.apical.shape == (6, 80, 40)
    assert low.apical is None
    assert low.apical_mask is None
    glorot = made((100, 80, 40), Dendrites(8, 6), init="glorot", bias=False)
    assert float(glorot.connections[1].apical.detach().abs().max()) == pytest.approx((6 / 120) ** 0.5, rel=0.02)
    assert glorot.connections[0].bias is None


def test_dense_apical_branches_have_no_mask():
    network = made(dendrites=BRANCHES["dense apical"])
    assert network.connections[1].apical_mask is None
    assert (network.connections[1].apical != 0.0).all()


def test_masked_weights_have_no_effect_whatever_they_are():
    """A plugin that writes into all weights, or a loaded state, cannot grow synapses."""
    network, x = made(), images(made())
    before, drive = network(x), network.body().drive(x)
    gradients = torch.autograd.grad(before.square().sum(), list(network.parameters()))
    with torch.no_grad():
        for connection in network.connections:
            connection.weight.add_(1.0 - connection.mask)
            if connection.apical is not None:
                connection.apical.sub_(3.0 * (1.0 - connection.apical_mask))
    after = network(x)
    assert torch.equal(after, before)
    assert torch.equal(network.body().drive(x), drive)
    assert all(map(torch.equal, torch.autograd.grad(after.square().sum(), list(network.parameters())), gradients))
    bptt = made(gradient=Backpropagation())
    bptt.load_state_dict(network.state_dict())
    reference = made(gradient=Backpropagation())
    assert torch.equal(bptt(x), reference(x))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dendrites", BRANCHES.values(), ids=BRANCHES)
@pytest.mark.parametrize("neuron", ["shifted_sigmoid", "hard_sigmoid"])
def test_each_step_is_the_derivative_of_each_layers_own_phi(dendrites, order, neuron):
    """Free and nudged. A step from the wrong layer, another mean over branches or a sign of gamma would show."""
    network = made(dendrites=dendrites, relaxation=order, neuron=neuron)
    layers, x = Layers.of(network), images(network)
    free = network.free_phase(x)
    close(free.states, layers.relax(x, 12, order=order))
    close([free.drive], [layers.block(x, *layers.basal[0])])
    states, expected = [s.clone() for s in free.states], list(free.states)
    for _ in range(3):
        states = free.body.dynamics.relax(free.drive, states, Stop(1), nudge(0.7)).states
        expected = layers.relax(x, 1, expected, nudge(0.7), order)
        close(states, expected)


def test_a_network_without_hidden_layers_relaxes_to_its_basal_drive():
    network = made((6, 4), neuron="hard_sigmoid", time_step=TimeStep("scalar", mean=1.0))
    x = images(network)
    drive = Layers.of(network).block(x, *Layers.of(network).basal[0])
    close([network(x)], [drive.clamp(0.0, 1.0)])


def test_the_input_drives_the_first_layer_once_per_batch(monkeypatch):
    """It is the largest product by far, and the same at every step of every phase."""
    network, calls = made(), []
    low = network.connections[0]
    original = type(low).up
    monkeypatch.setattr(type(low), "up", lambda self, *a, **k: calls.append(self is low) or original(self, *a, **k))
    loss_by(CostNudging(), network, images(network), LABELS).backward()
    assert calls.count(True) == 1
    assert calls.count(False) == 2 * (12 + 5)  # both nudged phases are one of twice the batch


def test_a_sleeping_synapse_is_the_mean_over_branches():
    network = made(dendrites=Dendrites(3, 2, density=0.3))
    low, _, top = network.dense_stack().layers
    high = top.weight
    assert (top.name, low.weight.shape, high.shape) == ("connections.2", (7, 6), (4, 5))
    connection = network.connections[2]
    expected = sum(connection.weight[k] * connection.mask[k] for k in range(3)) / 3
    close([high], [expected])
    state = torch.rand(5, 5)
    rectified = torch.stack([state @ (connection.weight[k] * connection.mask[k]).T for k in range(3)])
    close([state @ high.T], [rectified.mean(0)])


def test_sleep_changes_the_mean_over_branches_by_exactly_what_it_asks_for():
    """In equal parts for the branches that have the synapse; a pair of which all branches are masked stays at zero."""
    network = made(dendrites=Dendrites(3, 2, density=0.3))
    before = [c.weight.detach().clone() for c in network.connections]
    layers = network.dense_stack().weights
    changes = [torch.randn(weight.shape) for weight in layers]
    network.dense_stack().write([weight + change for weight, change in zip(layers, changes, strict=True)])
    bare = 0
    for connection, old, change, now, mean in zip(
        network.connections, before, changes, network.dense_stack().weights, layers, strict=True
    ):
        number = connection.mask.sum(0)
        bare += int((number == 0).sum())
        close([now], [torch.where(number > 0, mean + change, 0.0)])
        moved = connection.weight - old
        for k in range(3):
            close([moved[k]], [torch.where(connection.mask[k] > 0, change * 3 / number.clamp_min(1), 0.0)])
    assert bare > 10


def test_arguments_as_json_and_state_rebuild_the_network():
    """Masks are state: drawn anew, they would make another network of the same weights."""
    network = made(dendrites=BRANCHES["dense apical"], inhibition=0.3)
    plain = json.loads(json.dumps(network.arguments()))
    assert plain["dendrites"] == vars(BRANCHES["dense apical"])
    rebuilt = Network(**plain, seed=8)
    assert rebuilt.arguments() == network.arguments()
    x = images(network)
    assert not torch.equal(rebuilt(x), network(x))
    rebuilt.load_state_dict(network.state_dict())
    assert torch.equal(rebuilt(x), network(x))


def test_copies_and_a_second_forward_before_the_first_backward_change_nothing():
    """What LwF's teacher, MIR and GEM do; nothing of a free phase may stay in the connections."""
    network = made()
    x = images(network)
    first = network(x)
    copied = copy.deepcopy(network)
    network(images(network, 1))
    expected = torch.autograd.grad(copied(x).square().sum(), list(copied.parameters()))
    assert all(map(torch.equal, torch.autograd.grad(first.square().sum(), list(network.parameters())), expected))


def test_images_are_read_as_vectors_and_their_gradient_has_their_shape():
    flat_one, shaped = made((18, 5, 4)), made(((2, 3, 3), 5, 4))
    x = torch.rand(3, 18)
    images = x.view(3, 2, 3, 3).clone().requires_grad_()
    x.requires_grad_()
    assert torch.equal(shaped(images), flat_one(x))
    (on_images,) = torch.autograd.grad(shaped(images).square().sum(), images)
    (on_vector,) = torch.autograd.grad(flat_one(x).square().sum(), x)
    assert torch.equal(on_images.flatten(1), on_vector)


def test_relaxation_in_bfloat16_follows_full_precision_roughly():
    full, half = made((20, 15, 4)).float(), made((20, 15, 4), precision="bfloat16").float()
    x = torch.rand(5, 20, dtype=torch.float32)
    half.load_state_dict(full.state_dict())
    outputs = full(x), half(x)
    assert outputs[1].dtype == torch.float32
    assert not torch.equal(*outputs)
    assert_close(*outputs, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"basal": 0}, ["basal: ", "at least 1", "got 0"]),
        ({"apical": 0}, ["apical: ", "at least 1", "got 0"]),
        ({"density": 0.0}, ["density: ", "(0, 1]", "got 0.0"]),
        ({"density": 1.5}, ["density: ", "(0, 1]", "got 1.5"]),
        ({"density": float("nan")}, ["density: ", "(0, 1]", "got nan"]),
        ({"gain": -0.1}, ["gain: ", "at least 0", "got -0.1"]),
        ({"gain": float("inf")}, ["gain: ", "at least 0", "got inf"]),
    ],
)
def test_branches_out_of_range_are_refused(arguments, words):
    with pytest.raises(ConfigError) as error:
        Dendrites(**arguments)
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words), error.value
