"""Activations: their values, ranges and slopes."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import NEURONS, LinearNudging, Network, SquaredError, TimeStep
from clep.errors import ConfigError
from tests.oracles import bptt, phi
from tests.oracles.networks import biased

pytestmark = pytest.mark.usefixtures("double")

U = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)


@pytest.mark.parametrize("name", NEURONS)
def test_activation_equals_its_formula_in_place(name):
    """Relaxation passes a buffer and reads it back: an activation that returned a new tensor would never be applied."""
    u = U.clone()
    result = NEURONS[name](u)
    assert result is u
    assert_close(u, phi.NEURONS[name](U), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("hard_sigmoid", {-0.5: 0.0, 0.0: 0.0, 0.25: 0.25, 1.0: 1.0, 1.5: 1.0}),
        ("half_hard_sigmoid", {-0.5: 0.0, 0.5: 0.25, 1.0: 0.5, 2.0: 1.0, 3.0: 1.0}),
        ("shifted_sigmoid", {0.5: 0.5, 0.75: 0.7310585786300049, 0.0: 0.11920292202211755}),
        ("tanh", {0.0: 0.0, 1.0: 0.7615941559557649, -1.0: -0.7615941559557649}),
    ],
)
def test_activation_at_known_points(name, points):
    values = NEURONS[name](torch.tensor(list(points)))
    assert_close(values, torch.tensor(list(points.values())), rtol=0.0, atol=1e-14)


def test_the_slope_of_the_shifted_sigmoid_is_one_in_the_middle():
    h = 1e-5
    above, below = NEURONS["shifted_sigmoid"](torch.tensor([0.5 + h, 0.5 - h]))
    assert float(above - below) / (2 * h) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", NEURONS)
def test_activation_keeps_nan(name):
    assert torch.isnan(NEURONS[name](torch.tensor([torch.nan]))).all()


# ---------------------------------------------------------------- activations of one's own

OWN = """
    import torch
    from clep.equilibrium import Neuron

    double_range = Neuron(lambda u: u.clamp_(0.0, 2.0), torch.ones_like, bounds=(0.0, 2.0))
    squash = Neuron(lambda u: u.sigmoid_(), lambda u: u.sigmoid() * (1.0 - u.sigmoid()), probability=True)
    number = 3
"""


def test_an_activation_of_ones_own_relaxes_and_learns_by_its_import_path(own_module):
    """Its states go beyond those of any built-in one; steps and gradient are those of the oracle with its formula."""
    module = own_module(OWN)
    steps = {"free_steps": 120, "nudged_steps": 120, "time_step": TimeStep("scalar", mean=0.5)}
    network = biased([6, 5, 4], neuron=f"{module}:double_range", **steps, seed=1)
    with torch.no_grad():
        for connection in network.connections:
            connection.weight.mul_(0.3)  # states stay between the bounds, where rho can be differentiated
            connection.bias.fill_(1.2)
    x, labels = torch.rand(3, 6), torch.tensor([0, 1, 2])
    parts = phi.Parts(
        [c.weight.detach().clone().requires_grad_() for c in network.connections],
        [c.bias.detach().clone().requires_grad_() for c in network.connections],
        lambda u: u.clamp(0.0, 2.0),
        network.time_steps,
    )
    output = bptt.output(x, parts, 120)
    assert 1.0 < float(output.detach().max()) < 2.0
    assert_close(network(x), output, rtol=0.0, atol=1e-12)
    view = network.with_gradient(LinearNudging(1e-4))
    SquaredError()(view(x), labels).backward()
    expected = torch.autograd.grad(SquaredError()(output, labels), parts.parameters)
    assert_close([p.grad for p in network.parameters()], list(expected), rtol=1e-6, atol=1e-8)


def test_the_bounds_of_ones_own_activation_are_those_of_its_energy(own_module):
    module = own_module(OWN)
    network = biased([6, 5, 4], neuron=f"{module}.double_range", dynamics="energy", free_steps=60, seed=1)
    with torch.no_grad():
        network.connections[0].bias.copy_(torch.tensor([9.0, -9.0, 1.3, 1.3, 1.3]))
    low, high = network.free_phase(torch.zeros(3, 6)).states
    assert float(low.max()) == 2.0
    assert float(low.min()) == 0.0
    assert float(high.min()) >= 0.0
    assert float(high.max()) <= 2.0


def test_the_facts_of_ones_own_activation_are_asked(own_module):
    """States that are said to be probabilities may fire; others may not."""
    module = own_module(OWN)
    network = Network([6, 5, 4], neuron=f"{module}:squash", dynamics="bernoulli")
    assert float(network.free_phase(torch.rand(3, 6)).spikes) > 0.0
    with pytest.raises(ConfigError, match=rf"^dynamics: `bernoulli` .*neuron={module}:double_range leaves"):
        Network([6, 5, 4], neuron=f"{module}:double_range", dynamics="bernoulli")


def test_a_network_with_an_activation_of_ones_own_can_be_pickled_and_made_again(own_module):
    network, x = Network([6, 5, 4], neuron=f"{own_module(OWN)}:squash"), torch.rand(3, 6)
    for again in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), Network(**network.arguments())):
        assert torch.equal(again(x), network(x))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hard_sigmod", r"unknown neuron `hard_sigmod`; did you mean `hard_sigmoid`\?.*import path"),
        ("no_such_module:it", r"cannot import `no_such_module:it`"),
        ("MODULE:missing", r"cannot import `own_.*:missing`"),
        ("MODULE:number", r"`own_.*:number` is a int, expected a `clep\.equilibrium\.Neuron`"),
    ],
)
def test_what_is_no_activation_is_refused(own_module, name, message):
    name = name.replace("MODULE", own_module(OWN))
    with pytest.raises(ConfigError, match=f"^neuron: {message}"):
        Network([6, 5, 4], neuron=name)


@pytest.mark.parametrize("name", [name for name, neuron in NEURONS.items() if neuron.ramp is not None])
def test_a_ramp_says_what_the_activation_does(name):
    """Compiled steps know an activation by its ramp alone."""
    neuron, u = NEURONS[name], torch.linspace(-3.0, 3.0, 25)
    slope, lowest, highest = neuron.ramp
    assert torch.equal(neuron(u.clone()), (slope * u).clip(lowest, highest))
