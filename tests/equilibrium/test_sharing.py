"""Views of a network share its weights and leave it as it is; phases write nothing onto it."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import clep
from clep.equilibrium import CEP, Adaptation, Backpropagation, Clamping, CostNudging, LinearNudging, SquaredError
from tests.oracles.networks import LABELS, biased, gradient_of, loss_by, updates_by

GRADIENTS = [
    LinearNudging(0.2, "random_sign"),
    LinearNudging(0.2, adaptation=Adaptation()),
    CostNudging(0.2, adaptation=Adaptation()),
    CEP(0.2, "random_sign"),
    Clamping(),
    Backpropagation(5),
]
OPTIONS = {"rates": {}, "spikes": {"dynamics": "bernoulli"}, "images": {"sizes": [(1, 6, 6), 5, 4]}}


def made(**options):
    return biased(**{"sizes": [5, 7, 4], "seed": 2} | options)


def batch(network):
    return torch.rand(6, *network.shapes[0])


def generators(network):
    """The states of the generators that training advances."""
    return [g.bit_generator.state["state"] for g in (network._signs, network._spike_seeds)]


def held(network):
    """What a network and its parts hold."""
    parts = [vars(part) for part in network.modules()]
    return [dict(part) for part in parts] + [
        dict(part[kind]) for part in parts for kind in ("_parameters", "_buffers", "_modules")
    ]


def same(first, second):
    """Whether two networks hold the same things under the same names: the things themselves, no copies."""
    pairs = zip(first, second, strict=True)
    return all(a.keys() == b.keys() and all(a[key] is b[key] for key in a) for a, b in pairs)


def learner_of(network, gradient):
    plain = {"momentum": 0.0} if isinstance(gradient, CEP) else {}
    return clep.Learner(network, gradient=gradient, **plain)


VIEWS = {
    "with_gradient": lambda network, gradient: network.with_gradient(gradient),
    "learner": lambda network, gradient: learner_of(network, gradient).network,
}


# ---------------------------------------------------------------- views


@pytest.mark.parametrize("view_of", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("gradient", GRADIENTS, ids=lambda gradient: type(gradient).__name__)
def test_a_view_has_its_own_gradient_and_leaves_the_networks(view_of, gradient):
    """A learner that set the gradient of the network it was given would change every other learner of that network."""
    own = LinearNudging(0.7)
    network = made(gradient=own)
    before, states, spec = held(network), generators(network), network.spec
    view = view_of(network, gradient)
    assert view.gradient is gradient
    assert network.gradient is own
    view.gradient = Clamping()
    view.spec = replace(view.spec, free_steps=3)
    assert network.gradient is own
    assert network.spec is spec
    assert same(held(network), before)
    assert generators(network) == states


def test_a_learner_without_a_gradient_takes_that_of_the_network():
    own = CostNudging(0.7)
    assert clep.Learner(made(gradient=own)).gradient is own


def test_two_learners_of_one_network_train_the_same_weights_by_their_own_estimates():
    network = made()
    first, second = (learner_of(network, gradient) for gradient in (CostNudging(0.1), Backpropagation()))
    assert isinstance(first.gradient, CostNudging)
    assert isinstance(second.gradient, Backpropagation)
    for learner in (first, second):
        assert list(map(id, learner.network.parameters())) == list(map(id, network.parameters()))


@pytest.mark.parametrize("view_of", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("moved", ["network", "view"])
def test_a_step_is_shared_after_a_change_of_type_and_a_loaded_state_on_either_side(view_of, moved):
    """`to` and `load_state_dict` may replace tensors: a view that kept the old ones would train other weights."""
    network = made()
    view = view_of(network, CostNudging(0.2))
    changed, other = (network, view) if moved == "network" else (view, network)
    changed.to(torch.float64)
    x = batch(network).double()
    for assign in (False, True):
        loaded = made(seed=9).double().state_dict()
        start = {name: value.clone() for name, value in loaded.items()}
        changed.load_state_dict(loaded, assign=assign)
        assert {tensor.dtype for tensor in other.state_dict().values()} == {torch.float64}
        assert_close(dict(other.state_dict()), start, rtol=0.0, atol=0.0)
        loss_by(view.gradient, view, x, LABELS).backward()
        torch.optim.SGD(view.parameters(), lr=0.1).step()
        assert torch.equal(network.connections[0].weight, view.connections[0].weight)
        assert not torch.equal(network.connections[0].weight, start["connections.0.weight"])
        assert torch.equal(network(x), view(x))


def test_views_draw_from_the_same_generators():
    """Two views must not repeat each other's spikes or signs."""
    network = made(dynamics="bernoulli")
    twin, x = made(dynamics="bernoulli"), torch.rand(6, 5)
    views = [network.with_gradient(CostNudging(0.2)), network]
    drawn = [view.free_phase(x).output for view in (*views, *views)]
    assert_close(drawn, [twin.free_phase(x).output for _ in range(4)], rtol=0.0, atol=0.0)
    assert not torch.equal(drawn[0], drawn[1])


# ---------------------------------------------------------------- nothing is written


@pytest.mark.parametrize(
    ("gradient", "options"),
    [
        pytest.param(gradient, options, id=f"{type(gradient).__name__}-{name}")
        for gradient in GRADIENTS
        for name, options in OPTIONS.items()
        if name != "spikes" or not isinstance(gradient, CEP | Backpropagation)  # refused with spikes
    ],
)
def test_phases_write_nothing_onto_the_network(gradient, options):
    """What one free phase left behind would be read as another one's: by a strategy that calls the model itself, by a
    second learner of the same network, by a copy."""
    network = made(**options, gradient=gradient)
    x = batch(network)
    before = held(network)
    network.free_phase(x)
    with torch.no_grad():
        network(x)
    if isinstance(gradient, CEP):
        list(updates_by(gradient, network, x, LABELS))
    else:
        loss_by(gradient, network, x, LABELS).backward()
    assert same(held(network), before)


@pytest.mark.parametrize("dynamics", ["prototypical", "bernoulli"])
def test_only_what_draws_in_training_advances_a_generator(dynamics):
    """Evaluation must not change what training draws next, or accuracy would depend on how often it is measured."""
    network = made(dynamics=dynamics, gradient=LinearNudging(0.2, "random_sign"))
    x = batch(network)

    def advanced(call):
        before = generators(network)
        call()
        return [a != b for a, b in zip(before, generators(network), strict=True)]

    spikes = dynamics == "bernoulli"
    network.eval()
    assert advanced(lambda: network.free_phase(x)) == [False, False]
    network.train()
    assert advanced(lambda: network.free_phase(x)) == [False, spikes]
    assert advanced(lambda: SquaredError()(network(x), LABELS).backward()) == [True, spikes]


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_copy_has_the_gradient_the_draws_and_weights_of_its_own(copied, options):
    """Teachers are copies, and worker processes receive pickles."""
    network = made(**options, gradient=LinearNudging(0.2, "random_sign", adaptation=Adaptation(3, 0.2)))
    x = batch(network)
    network(x).sum().backward()
    network.zero_grad()
    other = copied(network)
    assert other.gradient == network.gradient
    assert other.gradient.adaptation == network.gradient.adaptation
    assert other.spec == network.spec
    expected = [gradient_of(lambda output: output.square().sum(), network, x) for _ in range(3)]
    for update in expected:  # the same signs and spikes, drawn apart
        assert_close(gradient_of(lambda output: output.square().sum(), other, x), update, rtol=0.0, atol=0.0)
    with torch.no_grad():
        other.connections[0].weight.zero_()
    assert network.connections[0].weight.any()
