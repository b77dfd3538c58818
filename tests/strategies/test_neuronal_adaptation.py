"""Neuronal adaptation: on while an experience is trained and at no other time, logged, refused where it cannot be."""

import copy

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from clep.strategies.neuronal_adaptation import NeuronalAdaptation

import clep
from clep.errors import ConfigError
from clep.registry import build


class Watch(SupervisedPlugin):
    """Records at every event whether adaptation is on."""

    def __init__(self):
        super().__init__()
        self.on = {}


def _recorder(event):
    def record(self, strategy, **kwargs):
        self.on.setdefault(event, set()).add(strategy.model.gradient.adaptation is not None)

    return record


for _event in [name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_")) and "eval" not in name]:
    setattr(Watch, _event, _recorder(_event))


def adapt(stream, plugins, model=None, **learner):
    learner = clep.Learner(model or clep.Network([64, 16, 10], seed=2), **({"lr": 0.1} | learner))
    training = clep.Training(learner, plugins, epochs=2, batch_size=16)
    result = training.run(stream)
    return training.template.model, result


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_is_on_during_the_training_of_an_experience_only(digits):
    """Consolidation and evaluation see the plain network."""
    watch = Watch()
    model, _ = adapt(digits, [NeuronalAdaptation(), watch])
    during = {"training_epoch", "training_iteration", "forward", "backward", "update"}
    for event, states in watch.on.items():
        within = event.partition("_")[2] in during or event == "before_training_exp"
        assert states == {within}, event
    assert {"after_training_exp", "before_training", "after_backward"} <= set(watch.on)
    assert model.gradient.adaptation is None


def test_it_logs_the_mean_norms_of_each_experience(digits, monkeypatch):
    norms, add_norms = [], NeuronalAdaptation._add_norms

    def watched(plugin, before, after):
        norms.append((float(before), float(after)))
        add_norms(plugin, before, after)

    monkeypatch.setattr(NeuronalAdaptation, "_add_norms", watched)
    _, result = adapt(digits, [NeuronalAdaptation()])
    assert len(norms) == 18  # 3 experiences, 2 epochs of 3 batches
    for report, part in zip(result.reports, np.split(np.array(norms), 3), strict=True):
        before, after = part.mean(axis=0)
        assert {k: v for k, v in report.numbers.items() if k.startswith("adaptation/")} == pytest.approx(
            {"adaptation/update_norm_before": before, "adaptation/update_norm_after": after}, rel=1e-6
        )
        assert 0 < after < before  # pulled towards the free equilibrium


def test_without_steps_it_is_naive_training_to_the_bit(digits):
    naive, _ = adapt(digits, [])
    idle, result = adapt(digits, [NeuronalAdaptation(steps=0)])
    assert torch.equal(weights_of(naive), weights_of(idle))
    logged = result.reports[-1].numbers
    assert logged["adaptation/update_norm_before"] == logged["adaptation/update_norm_after"] > 0
    for other in (NeuronalAdaptation(), NeuronalAdaptation(rescale=False), NeuronalAdaptation(rate=0.5)):
        assert not torch.equal(weights_of(adapt(digits, [other])[0]), weights_of(naive))


def test_with_cost_nudging_it_adapts_as_well(digits):
    """It touches no loss; the nudged phases are the same code."""
    naive, _ = adapt(digits, [], gradient=clep.CostNudging())
    adapted, result = adapt(digits, [NeuronalAdaptation()], gradient=clep.CostNudging())
    assert not torch.equal(weights_of(naive), weights_of(adapted))
    assert result.reports[0].numbers["adaptation/update_norm_after"] > 0


@pytest.mark.parametrize("rule", ["contrast", "predictive"])
def test_after_a_clamped_phase_it_adapts_as_well(rule, digits):
    runs = {}
    for name, plugins in {"plain": [], "idle": [NeuronalAdaptation(steps=0)], "on": [NeuronalAdaptation()]}.items():
        model = clep.Network([64, 16, 10], seed=2, gradient=clep.LinearNudging(phases="one_sided"))
        runs[name] = adapt(digits, plugins, model, gradient=clep.Clamping(rule=rule))
    plain, idle, on = (weights_of(model) for model, _ in runs.values())
    assert torch.equal(plain, idle)
    assert not torch.equal(plain, on)
    logged = runs["on"][1].reports[0].numbers
    assert 0 < logged["adaptation/update_norm_after"] < logged["adaptation/update_norm_before"]


@pytest.mark.parametrize("gradient", [clep.Backpropagation(), clep.CEP()])
def test_an_estimate_without_a_contrast_at_the_end_of_a_phase_is_refused_before_it_is_trained(gradient, digits):
    model = clep.Network([64, 16, 10], seed=2)
    before = weights_of(model)
    with pytest.raises(
        ConfigError,
        match=rf"^learner\.gradient: .* {type(gradient).__name__} has none; use learner\.gradient=linear",
    ):
        adapt(digits, [NeuronalAdaptation()], model, gradient=gradient, momentum=0.0)
    assert torch.equal(weights_of(model), before)


def test_the_size_of_a_rescaled_update_is_that_of_a_plain_one(digits):
    """One update by plain gradient descent from the same weights: the directions differ, the lengths do not."""
    x, y = digits.train[0].samples.x, digits.train[0].samples.y
    gradients = {}
    for name, plugin in (
        ("plain", NeuronalAdaptation(steps=0)),
        ("rescaled", NeuronalAdaptation()),
        ("shrunk", NeuronalAdaptation(rescale=False)),
    ):
        network = clep.Network([64, 16, 10], seed=2, gradient=clep.LinearNudging(adaptation=plugin.adaptation))
        clep.Learner(network).criterion(network(x), y).backward()
        gradients[name] = torch.cat([p.grad.flatten() for p in network.parameters()])
    plain, rescaled, shrunk = gradients.values()
    torch.testing.assert_close(rescaled.norm(), plain.norm(), rtol=1e-5, atol=0)
    assert shrunk.norm() < 0.99 * plain.norm()
    assert not torch.allclose(rescaled, plain, rtol=1e-3)
    torch.testing.assert_close(rescaled / rescaled.norm(), shrunk / shrunk.norm(), rtol=1e-4, atol=1e-6)


def test_an_ordinary_model_is_refused_before_it_is_trained(digits, mlp):
    model = mlp(64, 20, 10)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        ConfigError, match=r"neuronal_adaptation acts on the second phase .*`Network`; Sequential has none"
    ):
        adapt(digits, [NeuronalAdaptation()], model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value", "message"), [("steps", -1, "expected an integer of at least 0"), ("rate", 1.5, r"in \[0, 1\]")]
)
def test_values_out_of_range_are_refused_by_their_key(key, value, message):
    with pytest.raises(ConfigError, match=rf"^strategy\.neuronal_adaptation\.{key}: .*{message}, got {value}"):
        build(["neuronal_adaptation"], {"neuronal_adaptation": {key: value}})


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"^step: unknown argument `step`; did you mean `steps`\? Valid"):
        NeuronalAdaptation(step=3)
    with pytest.raises(ConfigError, match=r"^watch: unknown argument `watch`"):
        NeuronalAdaptation(watch=print)
