"""Parts of a user's own, by object and by import path: nothing of clep has to be touched for them."""

import importlib
import sys

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

import clep
from clep.build import build_learner, build_stream, build_training
from clep.config import compose
from clep.equilibrium import SquaredError
from clep.errors import ConfigError
from clep.learner import Learner

MODULE = '''
import math
from dataclasses import dataclass

import torch
from torch import nn

from clep.equilibrium import Backpropagation, Connection, Cost, CostNudging, Gradient, Neuron


@dataclass(frozen=True)
class Scaled(Gradient):
    """Backpropagation through time, times a factor."""

    factor: float = 1.0

    def predict(self, network, x):
        return Backpropagation().predict(network, x)

    def loss(self, prediction, y, criterion):
        return self.factor * criterion(prediction.output, y)


@dataclass(frozen=True)
class Doubled(CostNudging):
    """Cost nudging, twice."""

    def loss(self, prediction, y, criterion):
        return 2.0 * super().loss(prediction, y, criterion)


class Quartic(Cost):
    """The fourth power of the error."""

    def each(self, output, labels):
        return 0.25 * (output - self.target(output, labels)).pow(4).sum(1)

    def nudge(self, output, labels):
        target = self.target(output, labels)
        return lambda state: (target - state).pow(3)


LEAKY = Neuron(
    lambda u: torch.nn.functional.leaky_relu_(u, 0.1).clamp_(max=1.0),
    lambda u: torch.where(u > 0.0, 1.0, 0.1).to(u.dtype),
)


class Plain(Connection):
    """All-to-all, written out: above . W below."""

    def __init__(self, below, units, wiring):
        super().__init__(below, (units,))
        n = math.prod(below)
        bound = wiring.bound(n, units)
        self.weight = nn.Parameter(torch.empty(units, n).uniform_(-bound, bound, generator=wiring.generator))

    def up(self, below, base=None, out=None):
        total = below.flatten(1) @ self.weight.T
        total = total if base is None else base + total
        return (total if out is None else out.copy_(total)), None

    def add_down(self, base, above, route=None, out=None):
        total = base + (above @ self.weight).unflatten(1, self.below)
        return total if out is None else out.copy_(total)

    def pull_back(self, above, below):
        return (above @ self.weight).unflatten(1, self.below)

    def differences(self, first, second, presynaptic, coefficient):
        one, two = (above.T @ below.flatten(1) for below, above in (first, second))
        return [coefficient * (one - two)]


ANSWER = 42
'''
SMALL = ["network.hidden=[12]", "stream.experiences=2", "stream.samples_per_experience=48", "learner.epochs=1"]
PARTS = {
    "gradient": ["learner.gradient=own_parts:Scaled", "learner.gradient_options={factor: 2.0}", "learner.lr=0.05"],
    "gradient that derives from another": ["learner.gradient=own_parts:Doubled", "learner.beta=0.2"],
    "cost": ["learner.loss=own_parts:Quartic"],
    "cost that nudges": ["learner.loss=own_parts:Quartic", "learner.gradient=cost"],
    "neuron": ["network.neuron=own_parts:LEAKY"],
    "neuron in energy-based dynamics": ["network.neuron=own_parts:LEAKY", "network.dynamics=energy"],
    "connection": ["network.connection=own_parts:Plain"],
}


@pytest.fixture
def own_parts(tmp_path, monkeypatch):
    """A module in a folder that Python imports from, as the working directory of `clep run` is one."""
    (tmp_path / "own_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    yield importlib.import_module("own_parts")
    sys.modules.pop("own_parts", None)


def parts_of(learner) -> dict[str, object]:
    network = learner.network
    return {"gradient": type(learner.gradient), "cost": type(learner.criterion), "neuron": network.neuron} | {
        "connection": {type(connection) for connection in network.connections}
    }


@pytest.mark.parametrize("name", PARTS)
def test_a_part_by_its_import_path_trains_a_stream(name, own_parts):
    """A part that was found but not used would train just as well."""
    config = compose(None, [*SMALL, *PARTS[name]])
    stream = build_stream(config)
    training = build_training(config, stream)
    learner = training.template.learner
    expected = {
        "gradient": own_parts.Doubled if "derives" in name else own_parts.Scaled,
        "cost": own_parts.Quartic,
        "neuron": own_parts.LEAKY,
        "connection": {own_parts.Plain},
    }
    kind = name.split()[0]
    assert parts_of(learner)[kind] == expected[kind]
    before = [parameter.detach().clone() for parameter in learner.parameters()]
    result = training.run(stream)
    assert result.matrix.shape == (2, 2)
    assert all(not torch.equal(p, q) for p, q in zip(learner.parameters(), before, strict=True))


@pytest.mark.parametrize("name", PARTS)
def test_a_learner_with_it_comes_back_from_its_checkpoint(name, own_parts, tmp_path):
    config = compose(None, [*SMALL, *PARTS[name]])
    learner = build_learner(config, build_stream(config))
    learner.save(tmp_path / "learner.ckpt")
    with pytest.raises(
        ConfigError, match=r"`own_parts:\w+` is not imported: nothing is imported because a file names it"
    ):
        clep.load(tmp_path / "learner.ckpt")
    loaded = clep.load(tmp_path / "learner.ckpt", trust=True)
    assert parts_of(loaded) == parts_of(learner)
    assert loaded.gradient == learner.gradient
    x = torch.rand(3, 64)
    assert torch.equal(loaded(x), learner(x))


def test_options_of_an_own_gradient_arrive(own_parts):
    config = compose(None, [*SMALL, *PARTS["gradient"]])
    assert build_learner(config, build_stream(config)).gradient == own_parts.Scaled(2.0)
    config = compose(None, [*SMALL, *PARTS["gradient that derives from another"]])
    assert build_learner(config, build_stream(config)).gradient == own_parts.Doubled(0.2)


def gradients_of(learner, x, y) -> list[torch.Tensor]:
    learner.zero_grad()
    learner.loss(learner.predict(x), y).backward()
    return [parameter.grad.clone() for parameter in learner.parameters()]


def test_an_own_gradient_is_what_the_learner_follows(own_parts):
    network = clep.Network([64, 12, 10], seed=1)
    x, y = torch.rand(5, 64), torch.arange(5)
    plain = gradients_of(Learner(network, gradient=clep.Backpropagation()), x, y)
    scaled = gradients_of(Learner(network, gradient=own_parts.Scaled(3.0)), x, y)
    assert_close(scaled, [3.0 * gradient for gradient in plain])


def test_an_own_connection_that_is_dense_gives_the_gradients_of_dense(own_parts):
    x, y = torch.rand(5, 64), torch.arange(5)
    networks = [clep.Network([64, 12, 10], seed=1, connection=name) for name in ("dense", "own_parts:Plain")]
    dense, own = (gradients_of(Learner(network), x, y) for network in networks)
    assert_close(own, dense, rtol=1e-4, atol=1e-6)


def test_an_own_cost_nudges_by_its_own_slope(own_parts):
    """Near the equilibrium the nudged contrast is the gradient of the cost that nudges, not of the squared error."""
    network = clep.Network([64, 12, 10], seed=1, free_steps=200, nudged_steps=200, neuron="shifted_sigmoid")
    x, y = torch.rand(5, 64), torch.arange(5)
    path, gradient = "own_parts:Quartic", clep.CostNudging(0.01)
    own = gradients_of(Learner(network, gradient=gradient, loss=path), x, y)
    exact = gradients_of(Learner(network, gradient=clep.Backpropagation(), loss=path), x, y)
    other = gradients_of(Learner(network, gradient=gradient), x, y)
    for estimate, expected, wrong in zip(own, exact, other, strict=True):
        assert torch.cosine_similarity(estimate.flatten(), expected.flatten(), dim=0) > 0.99
        assert (estimate - expected).norm() < 0.2 * (wrong - expected).norm()


def test_an_own_neuron_is_applied(own_parts):
    network = clep.Network([4, 3, 2], neuron="own_parts:LEAKY", free_steps=1, time_step=clep.TimeStep("scalar", 1.0))
    with torch.no_grad():
        network.connections[0].weight.fill_(-1.0)
    assert_close(network.free_phase(torch.ones(1, 4)).states[0], torch.full((1, 3), -0.4))


def test_plain_lightning_trains_all_of_them_at_once(own_parts):
    network = clep.Network([64, 12, 10], neuron="own_parts:LEAKY", connection="own_parts:Plain")
    learner = Learner(network, gradient=own_parts.Doubled(0.5), loss="own_parts:Quartic", lr=0.05)
    stream = clep.stream("digits", samples_per_experience=64)
    before = network.connections[0].weight.detach().clone()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(learner, stream.train[0].loader(16))
    assert not torch.equal(network.connections[0].weight, before)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("learner.gradient=own_parts:Scalde", "learner.gradient: cannot import `own_parts:Scalde`"),
        ("learner.gradient=no_such_module:Scaled", "learner.gradient: cannot import `no_such_module:Scaled`"),
        ("learner.gradient=own_parts:Quartic", "learner.gradient: `own_parts:Quartic` is not a class derived from"),
        ("learner.gradient=own_parts:ANSWER", "learner.gradient: `own_parts:ANSWER` is not a class derived from"),
        ("learner={gradient: 'own_parts:Scaled', gradient_options: {factro: 2}}", "learner.gradient_options.factro: "),
        ("learner.loss=own_parts:Quadric", "learner.loss: cannot import `own_parts:Quadric`"),
        ("learner.loss=own_parts:Scaled", "learner.loss: `own_parts:Scaled` is not a class derived from"),
        ("network.neuron=own_parts:LAEKY", "network.neuron: cannot import `own_parts:LAEKY`"),
        ("network.neuron=own_parts:ANSWER", "network.neuron: `own_parts:ANSWER` is a int, expected a"),
        ("network={neuron: 'own_parts:LAEKY', dynamics: bernoulli}", "network."),
        ("learner={gradient: clamped}+network.neuron=own_parts:LAEKY", "network.neuron: cannot import"),
        ("network.connection=own_parts:Plian", "network.connection: cannot import `own_parts:Plian`"),
        ("network.connection=own_parts:LEAKY", "network.connection: `own_parts:LEAKY`"),
    ],
)
def test_a_wrong_path_and_a_wrong_kind_name_the_key_and_the_reason(override, text, own_parts):
    stream = build_stream(compose(None, SMALL))
    with pytest.raises(ConfigError) as caught:
        build_learner(compose(None, [*SMALL, *override.split("+")]), stream)
    assert str(caught.value).startswith(text)
    assert not str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("gradient", "options", "text"),
    [
        (
            "own_parts:Scaled",
            "{factro: 2}",
            "factro: unknown option `factro`; did you mean `factor`? Valid options: factor",
        ),
        ("own_parts:Doubled", "{beta: 0.1}", "beta: it has its own key; set learner.beta"),
        ("cost", "{beta: 0.1}", "beta: it has its own key; set learner.beta"),
    ],
)
def test_options_of_a_gradient_that_are_unknown_or_keys_of_the_learner_are_refused(gradient, options, text, own_parts):
    """`learner.beta` has one home, and a second value for it would win or lose silently."""
    config = compose(None, [*SMALL, f"learner.gradient={gradient}", f"learner.gradient_options={options}"])
    with pytest.raises(ConfigError) as caught:
        build_learner(config, build_stream(config))
    assert str(caught.value).startswith(f"learner.gradient_options.{text}")


def test_squared_error_of_ones_own_making_is_the_cost_of_that_name(own_parts):
    """The built-in costs can be named by their paths, too."""
    learner = Learner(clep.Network([4, 3, 2]), loss="clep.equilibrium.costs:SquaredError")
    assert isinstance(learner.criterion, SquaredError)
