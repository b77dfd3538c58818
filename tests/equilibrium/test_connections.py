"""Connections: their initial weights, the angle of their feedback, and contrasts without loss of digits."""

import math

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import ConvLayer, LinearNudging, Network
from clep.errors import ConfigError
from tests.oracles.networks import biased, gradient_of
from tests.oracles.vectors import relative_error


def test_untied_feedback_is_drawn_apart_from_the_weights():
    """Tied and untied twins of a seed start from the same weights, and feedback at about a right angle to them."""
    tied, untied = biased([60, 50, 40], seed=4), biased([60, 50, 40], feedback="untied", seed=4)
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
    network = biased(sizes, init="glorot", feedback="untied", seed=1)
    for connection in network.connections:
        like = torch.nn.init.xavier_uniform_(torch.empty_like(connection.weight))
        for weight in (connection.weight.detach(), connection.feedback.detach()):
            assert float(weight.abs().max()) == pytest.approx(float(like.abs().max()), rel=0.02)
            assert float(weight.std()) == pytest.approx(float(like.std()), rel=0.06)


def test_initial_weights_are_uniform_up_to_one_over_the_root_of_the_units_below():
    """As in `torch.nn.Linear`."""
    network = biased([400, 100, 30], seed=1).requires_grad_(False)
    for connection, below in zip(network.connections, (400, 100), strict=True):
        bound = 1 / math.sqrt(below)
        assert 0.99 * bound < float(connection.weight.abs().max()) <= bound
        assert float(connection.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert 0.8 * bound < float(connection.bias.abs().max()) <= bound


def test_a_contrast_keeps_the_digits_that_nearly_equal_states_have():
    """a1 b1' - a2 b2' in float32 has errors of 6e-8 whatever the contrast: 1 % of it where states differ by 1e-5."""
    connection = biased([9, 7], seed=1).connections[0]
    below, above = torch.rand(64, 9), torch.rand(64, 7)
    first = (below, above)
    second = (below + 1e-5 * torch.rand(64, 9), above + 1e-5 * torch.rand(64, 7))
    weight, bias = connection.differences(first, second, None, 1.0)
    b1, a1, b2, a2 = (t.double() for t in (*first, *second))
    assert relative_error(weight.double(), a1.T @ b1 - a2.T @ b2) < 1e-5
    assert relative_error(bias.double(), (a1 - a2).sum(0)) < 1e-5
    same = connection.differences(first, (below.clone(), above.clone()), None, 1.0)
    assert not torch.stack([g.abs().max() for g in same]).any()


# ---------------------------------------------------------------- connections of one's own

OWN = """
    import torch
    from torch import nn
    from clep.equilibrium import Connection

    class Written(Connection):
        '''above . gain * W below, written out.'''

        gain = 1.0

        def __init__(self, below, units, wiring):
            super().__init__(below, (units,))
            (n,) = below
            bound = wiring.bound(n, units)
            self.weight = nn.Parameter(torch.empty(units, n).uniform_(-bound, bound, generator=wiring.generator))

        def up(self, below, base=None, out=None):
            drive = self.gain * torch.einsum("ij,bj->bi", self.weight, below)
            return (drive if base is None else drive + base), None

        def add_down(self, base, above, route=None, out=None):
            return base + self.gain * torch.einsum("ij,bi->bj", self.weight, above)

        def pull_back(self, above, below):
            return self.gain * torch.einsum("ij,bi->bj", self.weight, above)

        def differences(self, first, second, presynaptic, coefficient):
            (below_1, above_1), (below_2, above_2) = first, second
            if presynaptic is not None:
                below_1 = below_2 = presynaptic[0]
            product = torch.einsum("bi,bj->ij", above_1, below_1) - torch.einsum("bi,bj->ij", above_2, below_2)
            return [coefficient * self.gain * product]

    class Doubled(Written):
        gain = 2.0

    def function(below, units, wiring): ...
"""


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("rule", ["contrast", "vector_field"])
@pytest.mark.parametrize("order", ["synchronous", "asynchronous"])
def test_a_connection_of_ones_own_that_does_what_dense_does_gives_the_same_network(own_module, order, rule):
    """All that a network asks of a connection is in its contract: states, updates and the input's gradient agree."""
    options = {"relaxation": order, "seed": 3, "gradient": LinearNudging(0.4, rule=rule)}
    dense, own = (
        Network([6, 5, 4, 3], connection=connection, **options)
        for connection in ("dense", f"{own_module(OWN)}:Written")
    )
    x = torch.rand(5, 6)
    assert all(map(torch.equal, dense.parameters(), own.parameters()))
    assert_close(list(own.free_phase(x).states), list(dense.free_phase(x).states), rtol=0.0, atol=1e-12)

    def loss(output):
        return output.square().sum()

    assert_close(gradient_of(loss, own, x), gradient_of(loss, dense, x), rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_a_connection_of_ones_own_learns_by_its_own_phi(own_module):
    """Twice the weights in Phi: the network of doubled weights, whose gradient is doubled too."""
    own = Network([6, 5, 3], connection=f"{own_module(OWN)}:Doubled", init="glorot", seed=3)
    dense, x = Network([6, 5, 3], init="glorot", seed=3), torch.rand(5, 6)
    with torch.no_grad():
        for connection in dense.connections:
            connection.weight.mul_(2.0)

    def loss(output):
        return output.square().sum()

    assert_close(own(x), dense(x), rtol=0.0, atol=1e-12)
    (*ours, ours_x), (*theirs, theirs_x) = gradient_of(loss, own, x), gradient_of(loss, dense, x)
    assert_close([*ours, ours_x], [*(2.0 * g for g in theirs), theirs_x], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("densse", r"unknown connection `densse`; did you mean `dense`\?.*import path"),
        ("no_such_module:It", r"cannot import `no_such_module:It`"),
        ("MODULE:function", r"`own_.*:function` is not a class derived from `clep\.equilibrium\..*Connection`"),
        ("builtins:dict", r"`builtins:dict` is not a class derived from `clep\.equilibrium\..*Connection`"),
    ],
)
def test_what_is_no_connection_is_refused(own_module, name, message):
    name = name.replace("MODULE", own_module(OWN))
    with pytest.raises(ConfigError, match=f"^connection: {message}"):
        Network([6, 5, 3], connection=name)
