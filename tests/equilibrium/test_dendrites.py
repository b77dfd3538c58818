"""Dendritic networks: branches, masks, steps and gradients against the plain functions of the oracle."""

import copy
import json

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    Backpropagation,
    Clamping,
    ContinualNudging,
    ConvLayer,
    CostNudging,
    Dendrites,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError
from tests.oracles.dendritic import Layers
from tests.oracles.vectors import flat, relative_error, slope

pytestmark = pytest.mark.usefixtures("double")

LABELS = torch.tensor([0, 1, 2, 3, 1])
TARGET = functional.one_hot(LABELS, 4).double()
BRANCHES = {
    "published": Dendrites(),
    "dense apical": Dendrites(3, 4, density=0.4, gain=0.7, apical_dense=True),
    "one branch": Dendrites(1, 1, density=1.0, gain=1.0),
}
ORDERS = ["synchronous", "asynchronous"]


def made(sizes=(6, 7, 5, 4), dendrites=BRANCHES["published"], **more):
    arguments = {"neuron": "shifted_sigmoid", "time_step": TimeStep("lognormal", mean=0.8, spread=0.3, min=0.4)}
    steps = {"free_steps": 12, "nudged_steps": 5, "seed": 3}
    return Network(sizes, dendrites=dendrites, **{**arguments, **steps, **more})


def images(network, seed=0):
    return torch.rand(len(LABELS), network.sizes[0], generator=torch.Generator().manual_seed(seed))


def close(actual, expected, tolerance=1e-10):
    assert_close(list(actual), list(expected), rtol=tolerance, atol=tolerance)


def nudge(beta):
    return lambda state: beta * (TARGET - state)


# ---------------------------------------------------------------- branches and masks


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
    before, steps = network(x), network.drive(x)
    gradients = torch.autograd.grad(before.square().sum(), list(network.parameters()))
    with torch.no_grad():
        for connection in network.connections:
            connection.weight.add_(1.0 - connection.mask)
            if connection.apical is not None:
                connection.apical.sub_(3.0 * (1.0 - connection.apical_mask))
    after = network(x)
    assert torch.equal(after, before)
    assert torch.equal(network.drive(x), steps)
    assert all(map(torch.equal, torch.autograd.grad(after.square().sum(), list(network.parameters())), gradients))
    bptt = made(nudging=Backpropagation())
    bptt.load_state_dict(network.state_dict())
    reference = made(nudging=Backpropagation())
    assert torch.equal(bptt(x), reference(x))


@pytest.mark.parametrize("rule", ["contrast", "vector_field"])
@pytest.mark.parametrize("nudging", [LinearNudging(), CostNudging(), Backpropagation()])
def test_masked_weights_get_no_gradient_and_stay_zero(nudging, rule):
    """Exactly zero, so that no optimiser makes a step of it; under momentum and weight decay."""
    network = made(rule=rule)
    x = images(network)
    network.nudging = nudging if not isinstance(nudging, CostNudging) else network.nudging
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        if isinstance(nudging, CostNudging):
            loss = nudging.loss(network, network.free_phase(x), LABELS)
        else:
            loss = SquaredError()(network(x), LABELS)
        loss.backward()
        optimizer.step()
        for connection in network.connections:
            assert not connection.weight[connection.mask == 0].any()
            assert not connection.weight.grad[connection.mask == 0].any()
            if connection.apical is not None:
                assert not connection.apical[connection.apical_mask == 0].any()
                assert connection.apical.grad.any()
            assert connection.weight.grad.any()


# ---------------------------------------------------------------- steps


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
        states = free.dynamics.relax(free.drive, states, 1, nudge(0.7)).states
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
    CostNudging().loss(network, network.free_phase(images(network)), LABELS).backward()
    assert calls.count(True) == 1
    assert calls.count(False) == 2 * (12 + 2 * 5)


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("phases", ["centered", "one_sided"])
@pytest.mark.parametrize("dendrites", BRANCHES.values(), ids=BRANCHES)
@pytest.mark.parametrize("neuron", ["shifted_sigmoid", "hard_sigmoid"])
def test_the_rule_contrasts_each_layers_own_phi_at_the_same_nudged_state(dendrites, phases, order, neuron):
    network = made(dendrites=dendrites, relaxation=order, neuron=neuron)
    layers, x, beta = Layers.of(network), images(network), 0.6
    free = layers.relax(x, 12, order=order)
    first = layers.relax(x, 5, free, nudge(beta), order)
    second = layers.relax(x, 5, free, nudge(-beta), order) if phases == "centered" else free
    factor = -1.0 / ((2.0 * beta if phases == "centered" else beta) * len(x))
    loss = CostNudging(beta, phases).loss(network, network.free_phase(x), LABELS)
    actual = torch.autograd.grad(loss, list(network.parameters()))
    close(actual, [factor * g for g in layers.contrast(x, first, second)])


@pytest.mark.parametrize("rule", ["vector_field", "predictive"])
@pytest.mark.parametrize("dendrites", BRANCHES.values(), ids=BRANCHES)
def test_the_other_rules_take_the_presynaptic_states_of_one_phase(dendrites, rule):
    """The change of a layer's state times the derivative of its force: at the free equilibrium, or (predictive) in the
    nudged phase."""
    network = made(dendrites=dendrites, rule=rule)
    layers, x, beta = Layers.of(network), images(network), 0.6
    free = layers.relax(x, 12)
    nudged = layers.relax(x, 5, free, nudge(beta))
    sent = nudged if rule == "predictive" else free
    change = sum(((a - b) * layers.force(i, x, sent)).sum() for i, (a, b) in enumerate(zip(nudged, free, strict=True)))
    expected = torch.autograd.grad(change * (-1.0 / (beta * len(x))), layers.parameters)
    loss = CostNudging(beta, "one_sided").loss(network, network.free_phase(x), LABELS)
    close(torch.autograd.grad(loss, list(network.parameters())), expected)


def gradient(network, x, nudging):
    """Of the cross-entropy, for the parameters and, last, the input."""
    network.nudging = nudging
    x = x.clone().requires_grad_()
    return torch.autograd.grad(functional.cross_entropy(network(x), LABELS), [*network.parameters(), x])


def loss_of(output):
    return functional.cross_entropy(output, LABELS)


@pytest.mark.parametrize("followed", [None, 5])
@pytest.mark.parametrize("dendrites", BRANCHES.values(), ids=BRANCHES)
def test_the_twin_is_backpropagation_through_all_or_the_last_steps(dendrites, followed):
    network = made(dendrites=dendrites)
    x = images(network)
    close(gradient(network, x, Backpropagation(followed)), Layers.of(network).bptt(loss_of, x, 12, followed))


BETAS = [2.0**-k for k in (7, 8, 9, 10)]


@pytest.mark.parametrize(("phases", "order"), [("one_sided", 1.0), ("centered", 2.0)])
def test_without_hidden_layers_the_estimate_tends_to_backpropagation(phases, order):
    """Nothing is fed back, so the branches are a feed-forward map and the estimate is exact but for beta: its bias
    falls as beta or beta squared, for parameters and input. A wrong factor 1 / B or sign leaves a bias that stays."""
    network = made((6, 4), Dendrites(5, density=0.6), free_steps=120, nudged_steps=120)
    x = images(network)
    expected = flat(Layers.of(network).bptt(loss_of, x, 120))
    errors = [relative_error(flat(gradient(network, x, LinearNudging(beta, phases))), expected) for beta in BETAS]
    assert slope(errors, BETAS) == pytest.approx(order, abs=0.05)
    assert errors[-1] < 5e-3


@pytest.mark.parametrize("rule", ["contrast", "vector_field"])
def test_without_feedback_the_estimate_is_exact_in_the_last_layer_and_zero_below(rule):
    """gain = 0: no layer but the last is nudged. With hidden layers and feedback of its own the estimate is exact in
    no layer, whatever beta: the network is no gradient system."""
    network = made((6, 5, 4), Dendrites(gain=0.0), free_steps=60, nudged_steps=60, rule=rule)
    x = images(network)
    exact = Layers.of(network).bptt(loss_of, x, 60)
    found = gradient(network, x, LinearNudging(1e-4))
    for name, g, e in zip(dict(network.named_parameters()), found, exact, strict=False):
        if name in ("connections.1.weight", "connections.1.bias"):
            assert relative_error(g, e) < 1e-6, name
        else:
            assert not g.any(), name
    assert not found[-1].any()


def test_with_mirrored_branches_that_are_all_on_it_is_plain_equilibrium_propagation():
    """One branch without a mask, positive currents and apical weights that are the transposed basal ones: the case in
    which there is an energy, and the estimate tends to backpropagation in every layer."""
    plain = Network([6, 7, 5, 4], neuron="shifted_sigmoid", free_steps=60, nudged_steps=60, seed=3)
    network = made(dendrites=Dendrites(1, 1, 1.0, 0.5), time_step=TimeStep("scalar", mean=1.0), free_steps=60)
    network.nudged_steps = 60
    with torch.no_grad():
        for dense in plain.connections:
            dense.weight.abs_().mul_(0.5)
            dense.bias.abs_()
        for ours, dense in zip(network.connections, plain.connections, strict=True):
            ours.weight.copy_(dense.weight[None])
            ours.bias.copy_(dense.bias[None])
            if ours.apical is not None:
                ours.apical.copy_(dense.weight.T[None] / 0.5)
    for dt in plain.time_steps:
        dt.fill_(1.0)
    plain.load_state_dict(plain.state_dict())
    x = images(network)
    close([network(x)], [plain(x)])
    nudging = LinearNudging(1e-3)
    expected, actual = gradient(plain, x, nudging), gradient(network, x, nudging)
    names = [name for name, _ in network.named_parameters()]
    basal = [g for name, g in zip(names, actual, strict=False) if "apical" not in name]
    close([g.reshape_as(e) for g, e in zip([*basal, actual[-1]], expected, strict=True)], expected)
    exact = Layers.of(network).bptt(loss_of, x, 60)
    assert relative_error(flat(actual[:2]), flat(exact[:2])) < 1e-4  # the input's synapses, which nothing feeds back to


# ---------------------------------------------------------------- sleep


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


# ---------------------------------------------------------------- state, refusals


def test_arguments_as_json_and_state_rebuild_the_network():
    """Masks are state: drawn anew, they would make another network of the same weights."""
    network = made(dendrites=BRANCHES["dense apical"], rule="vector_field", inhibition=0.3)
    plain = json.loads(json.dumps(network.arguments()))
    assert plain["dendrites"] == vars(BRANCHES["dense apical"])
    rebuilt = Network(**plain | {"time_step": TimeStep(**plain["time_step"])}, seed=8)
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
        ({"basal": 0}, ["network.dendrites.basal", ">= 1", "got 0"]),
        ({"apical": 0}, ["network.dendrites.apical", ">= 1", "got 0"]),
        ({"density": 0.0}, ["network.dendrites.density", "(0, 1]", "got 0.0"]),
        ({"density": 1.5}, ["network.dendrites.density", "(0, 1]", "got 1.5"]),
        ({"density": float("nan")}, ["network.dendrites.density", "nan"]),
        ({"gain": -0.1}, ["network.dendrites.gain", "at least 0", "got -0.1"]),
        ({"gain": float("inf")}, ["network.dendrites.gain", "got inf"]),
    ],
)
def test_branches_out_of_range_are_refused(arguments, words):
    with pytest.raises(ConfigError) as error:
        Dendrites(**arguments)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dynamics": "energy"}, ["network.dynamics", "no energy", "prototypical", "got energy"]),
        ({"firing": "bernoulli"}, ["network.firing", "leave it rate"]),
        ({"feedback": "untied"}, ["network.feedback", "apical", "leave it tied"]),
        ({"feedback_scale": 0.5}, ["network.feedback_scale", "network.dendrites.gain", "got 0.5"]),
        ({"residual_links": 2, "sizes": (6, 5, 5, 5, 4)}, ["network.residual_links", "got 2"]),
        ({"sizes": ((1, 8, 8), ConvLayer(2), 4)}, ["network.dendrites", "convolutional"]),
    ],
)
def test_what_has_no_meaning_beside_branches_is_refused(arguments, words):
    with pytest.raises(ConfigError) as error:
        made(**arguments)
    assert all(word in str(error.value) for word in words), error.value


def test_holomorphic_phases_are_refused():
    network = made()
    with pytest.raises(ConfigError, match=r"learner.phases: `holomorphic` cannot follow rectified branches"):
        network.check(LinearNudging(0.5, "holomorphic"))
    for gradient in (LinearNudging(), CostNudging(nudge="outside")):
        network.check(gradient)


def test_other_rules_follow_the_same_contrast():
    """Clamping contrasts the clamped with the free state; the steps of C-EP add up to the contrast of cost nudging."""
    network = made()
    layers, x = Layers.of(network), images(network)
    free = layers.relax(x, 12)
    clamped = [*free[:-1], TARGET]
    for _ in range(5):
        clamped = [*layers.step(x, clamped)[:-1], TARGET]
    loss = Clamping().loss(network, network.free_phase(x), LABELS)
    actual = torch.autograd.grad(loss, list(network.parameters()))
    close(actual, [-g / len(x) for g in layers.contrast(x, clamped, free)])
    nudging = ContinualNudging(0.6, "one_sided")
    total = [sum(parts) for parts in zip(*nudging.updates(network, network.free_phase(x), LABELS), strict=True)]
    ends = layers.relax(x, 5, free, nudge(0.6))
    close(total, [-g / (0.6 * len(x)) for g in layers.contrast(x, ends, free)])
