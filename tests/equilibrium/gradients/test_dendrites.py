"""Every estimate in dendritic networks, against the plain functions of the oracle."""

import pytest
import torch
from torch.nn import functional

from clep.equilibrium import (
    CEP,
    Backpropagation,
    Clamping,
    CostNudging,
    Dendrites,
    LinearNudging,
    TimeStep,
)
from tests.oracles.branches import BRANCHES, LABELS, ORDERS, TARGET, close, images, made, nudge
from tests.oracles.dendritic import Layers
from tests.oracles.networks import biased, change, loss_by, updates_by
from tests.oracles.vectors import flat, relative_error, slope

pytestmark = pytest.mark.usefixtures("double")


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
    loss = loss_by(CostNudging(beta, phases), network, x, LABELS)
    actual = torch.autograd.grad(loss, list(network.parameters()))
    close(actual, [factor * g for g in layers.contrast(x, first, second)])


@pytest.mark.parametrize("rule", ["vector_field", "predictive"])
@pytest.mark.parametrize("dendrites", BRANCHES.values(), ids=BRANCHES)
def test_the_other_rules_take_the_presynaptic_states_of_one_phase(dendrites, rule):
    """The change of a layer's state times the derivative of its force: at the free equilibrium, or (predictive) in the
    nudged phase."""
    network = made(dendrites=dendrites)
    layers, x, beta = Layers.of(network), images(network), 0.6
    free = layers.relax(x, 12)
    nudged = layers.relax(x, 5, free, nudge(beta))
    sent = nudged if rule == "predictive" else free
    change = sum(((a - b) * layers.force(i, x, sent)).sum() for i, (a, b) in enumerate(zip(nudged, free, strict=True)))
    expected = torch.autograd.grad(change * (-1.0 / (beta * len(x))), layers.parameters)
    loss = loss_by(CostNudging(beta, "one_sided", rule=rule), network, x, LABELS)
    close(torch.autograd.grad(loss, list(network.parameters())), expected)


@pytest.mark.parametrize("rule", ["contrast", "vector_field"])
@pytest.mark.parametrize("estimate", [LinearNudging, CostNudging, Backpropagation])
def test_masked_weights_get_no_gradient_and_stay_zero(estimate, rule):
    """Exactly zero, so that no optimiser makes a step of it; under momentum and weight decay."""
    network = made()
    x = images(network)
    by = estimate() if estimate is Backpropagation else estimate(rule=rule)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_by(by, network, x, LABELS).backward()
        optimizer.step()
        for connection in network.connections:
            assert not connection.weight[connection.mask == 0].any()
            assert not connection.weight.grad[connection.mask == 0].any()
            if connection.apical is not None:
                assert not connection.apical[connection.apical_mask == 0].any()
                assert connection.apical.grad.any()
            assert connection.weight.grad.any()


def gradient(network, x, by):
    """Of the cross-entropy, for the parameters and, last, the input."""
    network = network.with_gradient(by)
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
    network = made((6, 5, 4), Dendrites(gain=0.0), free_steps=60, nudged_steps=60)
    x = images(network)
    exact = Layers.of(network).bptt(loss_of, x, 60)
    found = gradient(network, x, LinearNudging(1e-4, rule=rule))
    for name, g, e in zip(dict(network.named_parameters()), found, exact, strict=False):
        if name in ("connections.1.weight", "connections.1.bias"):
            assert relative_error(g, e) < 1e-6, name
        else:
            assert not g.any(), name
    assert not found[-1].any()


def test_with_mirrored_branches_that_are_all_on_it_is_plain_equilibrium_propagation():
    """One branch without a mask, positive currents and apical weights that are the transposed basal ones: the case in
    which there is an energy, and the estimate tends to backpropagation in every layer."""
    plain = biased([6, 7, 5, 4], neuron="shifted_sigmoid", free_steps=60, nudged_steps=60, seed=3)
    network = made(dendrites=Dendrites(1, 1, 1.0, 0.5), time_step=TimeStep("scalar", mean=1.0), free_steps=60)
    change(network, nudged_steps=60)
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
    by = LinearNudging(1e-3)
    expected, actual = gradient(plain, x, by), gradient(network, x, by)
    names = [name for name, _ in network.named_parameters()]
    basal = [g for name, g in zip(names, actual, strict=False) if "apical" not in name]
    close([g.reshape_as(e) for g, e in zip([*basal, actual[-1]], expected, strict=True)], expected)
    exact = Layers.of(network).bptt(loss_of, x, 60)
    assert relative_error(flat(actual[:2]), flat(exact[:2])) < 1e-4  # the input's synapses, which nothing feeds back to


def test_other_rules_follow_the_same_contrast():
    """Clamping contrasts the clamped with the free state; the steps of C-EP add up to the contrast of cost nudging."""
    network = made()
    layers, x = Layers.of(network), images(network)
    free = layers.relax(x, 12)
    clamped = [*free[:-1], TARGET]
    for _ in range(5):
        clamped = [*layers.step(x, clamped)[:-1], TARGET]
    loss = loss_by(Clamping(), network, x, LABELS)
    actual = torch.autograd.grad(loss, list(network.parameters()))
    close(actual, [-g / len(x) for g in layers.contrast(x, clamped, free)])
    updates = updates_by(CEP(0.6, "one_sided"), network, x, LABELS)
    total = [sum(parts) for parts in zip(*updates, strict=True)]
    ends = layers.relax(x, 5, free, nudge(0.6))
    close(total, [-g / (0.6 * len(x)) for g in layers.contrast(x, ends, free)])
