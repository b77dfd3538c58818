"""What strategies declare of a training iteration, what estimates support, and that both are believed only if true."""

import importlib
import inspect
import pkgutil
import warnings

import avalanche.training.plugins
import pytest
import torch
from avalanche.core import BasePlugin, SupervisedPlugin
from clep.strategies.der import DER
from clep.strategies.si import SI
from torch import nn

import clep
import clep.watching
from clep.capabilities import ITERATION_HOOKS, capabilities, misfits
from clep.errors import ConfigError, DeclarationWarning, RenamedWarning, StrategyError
from clep.plugins import CAPABILITIES
from clep.registry import build
from clep.specs.capabilities import EVERY
from clep.strategy import Strategy

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")

PENALTY, GRADIENTS, OUTPUTS = "adds_penalty", "uses_gradients", "differentiates_outputs"
NOTHING = ("naive", "joint", "awake_rehearsal", "sleep_replay", "neuronal_adaptation", "replay", "gdumb")
BUILT_IN = {name: frozenset() for name in NOTHING} | {
    "ewc": {PENALTY, OUTPUTS},
    "rwalk": {PENALTY, OUTPUTS},
    "si": {PENALTY, GRADIENTS},
    "orthogonal": {GRADIENTS},
    "der": {OUTPUTS},
    "er_ace": {OUTPUTS},
    "resting_rehearsal": {OUTPUTS},
    "lwf": {OUTPUTS},
    "gem": {GRADIENTS, OUTPUTS},
    "agem": {GRADIENTS, OUTPUTS},
    "mir": {GRADIENTS, OUTPUTS},
}
REQUIRED = {
    "ewc": {"ewc_lambda": 1.0},
    "agem": {"patterns_per_experience": 5, "sample_size": 5},
    "mir": {"batch_size_mem": 8},
}
COST = {"cost": clep.CostNudging(), "clamped": clep.Clamping()}


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=2, samples_per_experience=20, class_order="fixed", evaluation_samples=20)


def learner(gradient=None, **options):
    network = clep.Network([64, 8, 10], free_steps=8, nudged_steps=4, seed=3)
    return clep.Learner(network, gradient=gradient, lr=0.1, momentum=0.0, **options)


def train(stream, strategy, gradient=None):
    training = clep.Training(learner(gradient), [strategy], epochs=1, batch_size=10)
    training.run(stream)
    return [p.detach().clone() for p in training.template.model.parameters()]


# declarations


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_known_of_every_built_in_strategy_what_it_does(name):
    """Too little would let an estimate drop a term in silence; too much would refuse a good set."""
    (built,) = build([name], REQUIRED)
    assert capabilities(built) == BUILT_IN[name]


def test_every_plugin_of_avalanche_with_a_hook_of_the_iteration_has_a_row():
    found = {}
    for module in pkgutil.iter_modules(avalanche.training.plugins.__path__, "avalanche.training.plugins."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {name: cls for name, cls in members if issubclass(cls, SupervisedPlugin)}
    hooked = {
        name
        for name, cls in found.items()
        if cls.__module__.startswith("avalanche.training.plugins.")
        and any(ITERATION_HOOKS & vars(c).keys() for c in cls.__mro__ if c not in SupervisedPlugin.__mro__)
    }
    assert hooked - {"Clock"} <= set(CAPABILITIES)


def test_without_a_declaration_the_hooks_tell():
    class Outside(BasePlugin):
        """Knows the events of an experience only."""

    hooks = ("before_forward", "after_forward", "before_backward", "after_backward", "before_update")
    for base in (SupervisedPlugin, Strategy, SI, DER):
        for hook in hooks:
            made = type("Mine", (base,), {hook: lambda self, strategy, **kwargs: None})()
            assert capabilities(made) == (EVERY if base in (SupervisedPlugin, Strategy) else capabilities(base()))
    assert capabilities(Outside()) == capabilities(Strategy()) == frozenset()
    from avalanche.training.plugins import EWCPlugin

    more = type("Mine", (EWCPlugin,), {"after_backward": lambda self, strategy, **kwargs: None})(ewc_lambda=1.0)
    assert capabilities(more) == EVERY
    assert capabilities(type("Same", (EWCPlugin,), {})(ewc_lambda=1.0)) == {PENALTY, OUTPUTS}


def test_one_declaration_says_that_the_others_are_not_done():
    def made(**attributes):
        return type("Mine", (Strategy,), {"before_backward": lambda self, strategy, **kwargs: None, **attributes})()

    assert capabilities(made(adds_penalty=True)) == {PENALTY}
    assert capabilities(made(adds_penalty=False)) == frozenset()
    assert capabilities(made(uses_gradients=True, adds_penalty=True)) == {PENALTY, GRADIENTS}
    with pytest.warns(RenamedWarning, match=r"Mine\.touches_loss` is now `adds_penalty, uses_gradients, diff"):
        assert capabilities(made(touches_loss=True)) == EVERY
    with pytest.warns(RenamedWarning):
        assert capabilities(made(touches_loss=False)) == frozenset()


# refusals


def test_each_estimate_supports_what_its_gradient_can_take():
    from clep.learner import Autograd

    both = {PENALTY, GRADIENTS}
    expected = {clep.CostNudging: both, clep.Clamping: both, clep.CEP: set(), clep.LinearNudging: EVERY}
    expected |= {clep.Backpropagation: EVERY, Autograd: EVERY}
    assert {cls: cls().supports for cls in expected} == expected


def test_a_refusal_names_what_does_not_fit_and_how_to_declare_less():
    assert list(misfits([SI()], clep.CostNudging())) == []
    (text,) = misfits([SI()], clep.CEP())
    assert "which adds a penalty on weights to the loss and reads or changes gradients; the estimate follows" in text
    mine = type("Mine", (Strategy,), {"before_update": lambda self, strategy, **kwargs: None})()
    (text,) = misfits([mine], clep.CostNudging())
    assert "cannot be used with Mine, which differentiates outputs of the network, as far as its hooks tell" in text
    assert text.endswith("Use learner.gradient=linear")


def test_an_old_estimate_with_its_own_loss_supports_nothing():
    with pytest.warns(RenamedWarning, match=r"Old\.needs\.own_loss=True` is now `Old\.supports=frozenset\(\)"):

        class Old(clep.LinearNudging):
            needs = clep.equilibrium.gradients.Needs(own_loss=True)

    assert Old.supports == frozenset()


# penalties beside an estimate that follows its own cost


class Decay(Strategy):
    """Adds strength/2 |theta|^2 to the loss, and notes the gradient of each update."""

    adds_penalty = True

    def __init__(self, *, strength: float = 0.3):
        super().__init__()
        self.strength = strength
        self.gradients = []

    def before_backward(self, strategy, **kwargs):
        strategy.loss += self.strength / 2 * sum(p.square().sum() for p in strategy.model.parameters())

    def after_backward(self, strategy, **kwargs):
        if not self.gradients:
            self.gradients = [p.grad.clone() for p in strategy.model.parameters()]


@pytest.mark.parametrize("gradient", COST)
def test_the_gradient_of_a_penalty_is_added_to_that_of_the_contrast(gradient, stream):
    """Against both computed apart: the contrast of a network alone, and strength * theta."""
    found = {}
    for strength in (0.0, 0.3):
        strategy = Decay(strength=strength)
        fresh = learner(COST[gradient])
        theta = [p.detach().clone() for p in fresh.network.parameters()]
        clep.Training(fresh, [strategy], epochs=1, batch_size=20).run(stream)
        found[strength] = strategy.gradients
    assert any(g.abs().max() > 1e-4 for g in found[0.0])
    for alone, both, weight in zip(found[0.0], found[0.3], theta, strict=True):
        torch.testing.assert_close(both, alone + 0.3 * weight, rtol=1e-6, atol=1e-7)


def test_synaptic_intelligence_acts_under_cost_nudging(stream):
    free, held = (train(stream, SI(si_lambda=strength), clep.CostNudging()) for strength in (0.0, 1e4))
    assert any(not torch.equal(a, b) for a, b in zip(free, held, strict=True))


# what is done without being declared


def doing(hook, act, **declared):
    """A strategy that does something in a hook and declares something."""
    declared = declared or {"adds_penalty": False}
    return type("Mine", (Strategy,), {hook: lambda self, strategy, **kwargs: act(strategy)} | declared)()


def add_penalty(strategy):
    strategy.loss += sum(p.square().sum() for p in strategy.model.parameters())


def double_loss(strategy):
    strategy.loss = 2 * strategy.loss


def double_gradients(strategy):
    for parameter in strategy.model.parameters():
        parameter.grad = parameter.grad * 2


def double_gradients_in_place(strategy):
    next(strategy.model.parameters()).grad.mul_(2)


def add_own_gradients(strategy):
    sum(p.square().sum() for p in strategy.model.parameters()).backward()


def distil(strategy):
    strategy.loss = strategy.loss + strategy.mb_output.square().mean()


def rehearse(strategy):
    strategy.loss = strategy.loss + strategy.model(strategy.mb_x.clone()).square().mean()


def mask(strategy):
    strategy.mb_output = strategy.mb_output * 0.5


def mask_in_place(strategy):
    strategy.mb_output[:, 0] = 0.0


def look_ahead(strategy):
    strategy.model(strategy.mb_x).sum().backward()


HIDDEN = {
    "penalty": ("before_backward", add_penalty, {}, PENALTY),
    "scale": ("before_backward", double_loss, {}, PENALTY),
    "gradients": ("after_backward", double_gradients, {}, GRADIENTS),
    "in place": ("before_update", double_gradients_in_place, {PENALTY: True}, GRADIENTS),
    "own": ("before_forward", add_own_gradients, {PENALTY: True}, GRADIENTS),
    "distil": ("before_backward", distil, {PENALTY: True}, OUTPUTS),
    "rehearse": ("before_backward", rehearse, {PENALTY: True}, OUTPUTS),
    "mask": ("after_forward", mask, {PENALTY: True}, OUTPUTS),
    "mask in place": ("after_forward", mask_in_place, {PENALTY: True}, OUTPUTS),
    "look ahead": ("before_training_iteration", look_ahead, {PENALTY: True, GRADIENTS: True}, OUTPUTS),
}
UNSUPPORTED = {PENALTY: clep.CEP(), GRADIENTS: clep.CEP(), OUTPUTS: clep.CostNudging()}


@pytest.mark.parametrize("case", HIDDEN)
def test_what_is_done_without_a_declaration_is_named_once_and_changes_no_number(case, stream):
    hook, act, declared, capability = HIDDEN[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeclarationWarning)
        undeclared = train(stream, doing(hook, act, **declared))
    texts = [str(w.message) for w in caught if w.category is DeclarationWarning]
    assert len(texts) == 1
    assert texts[0].startswith(f"strategies: Mine.{hook} ")
    assert f"Mine does not declare `{capability} = True`; declare it" in texts[0]
    everything = dict.fromkeys(EVERY, True)
    for a, b in zip(undeclared, train(stream, doing(hook, act, **everything)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", sorted(HIDDEN.keys() - {"gradients", "in place"}))
def test_what_the_estimate_does_not_support_is_an_error_however_it_is_declared(case, stream):
    """C-EP and cost nudging would go on with a wrong number: without the term, or without its gradient."""
    hook, act, declared, capability = HIDDEN[case]
    gradient = UNSUPPORTED[capability]
    if isinstance(gradient, clep.CEP):
        declared = {PENALTY: False}
    with pytest.raises(StrategyError, match=rf"Mine\.{hook} .* does not support that, and the weights would be wrong"):
        train(stream, doing(hook, act, **declared), gradient)
    with pytest.raises(ConfigError, match=r"learner\.gradient: \w+ cannot be used with Mine"):
        train(stream, doing(hook, act, **{capability: True}), gradient)


@pytest.mark.filterwarnings("error::clep.errors.DeclarationWarning")
def test_who_does_what_is_declared_is_not_named(stream):
    class Honest(Decay):
        uses_gradients = True

        def after_forward(self, strategy, **kwargs):
            with torch.no_grad():
                self.log("honest/output", strategy.model(strategy.mb_x).mean())
            self.log("honest/here", strategy.mb_output.detach().mean())

        def before_update(self, strategy, **kwargs):
            double_gradients(strategy)

    for gradient in (None, *COST.values()):
        train(stream, Honest(), gradient)


def test_only_who_declares_less_is_looked_at(stream, monkeypatch):
    """Looking costs time in every update; Avalanche's own evaluator and clock have hooks of a kind too."""
    looked = []
    looking = clep.watching.Watch._looking
    monkeypatch.setattr("clep.watching.Watch._looking", lambda *given: looked.append(given[1:3]) or looking(*given))
    undeclared = type("Mine", (Strategy,), {"before_backward": lambda self, strategy, **kwargs: None})()
    for strategy in (undeclared, Strategy()):
        train(stream, strategy)
    assert looked == []
    train(stream, mine := Decay())
    assert set(looked) == {(mine, "before_backward"), (mine, "after_backward")}


def test_looking_at_a_strategy_changes_no_bit(stream):
    watched = train(stream, Decay())
    everything = type("All", (Decay,), dict.fromkeys(EVERY, True))
    for a, b in zip(watched, train(stream, everything()), strict=True):
        assert torch.equal(a, b)


def test_the_outputs_of_an_ordinary_module_are_watched_too(stream):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    training = clep.Training(clep.Learner(module), [doing("before_backward", rehearse, adds_penalty=True)], epochs=1)
    with pytest.warns(DeclarationWarning, match=r"differentiates outputs of the model, and Mine does not declare"):
        training.run(stream)
