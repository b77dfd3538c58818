"""How nudged phases are arranged: one-sided, with random signs, centered, on a circle, mirrored."""

import functools
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import clep
from clep.equilibrium import CEP, PHASES, RULES, STARTS, ConvLayer, CostNudging, LinearNudging
from clep.errors import ConfigError
from tests.oracles.networks import LABELS, LOSSES, biased, gradient_by, gradient_of
from tests.oracles.vectors import flat, relative_error


def test_the_number_of_phases_is_the_one_documented(phases_run):
    """Centered phases that begin at the free states run as one, of twice the batch."""
    alone = [("one_sided", "free", 1), ("random_sign", "free", 1), ("centered", "free", 1), ("holomorphic", "free", 3)]
    for phases, start, expected in [*alone, ("centered", "mirrored", 2)]:
        network = biased([5, 7, 4], neuron="tanh", gradient=LinearNudging(0.5, phases, start=start))
        phases_run.clear()
        loss = LOSSES["mse"](network(torch.rand(6, 5)))
        assert phases_run == [False]
        loss.backward()
        assert phases_run == [False] + [True] * expected


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("form", ["linear", "cost"])
def test_centered_is_the_mean_of_the_two_one_sided_estimates(form):
    """(a - c) / 2 beta = [(a - b) / beta + (c - b) / -beta] / 2: a factor of two in either would go unnoticed as a
    learning rate."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)

    def estimate(beta, phases):
        if form == "cost":
            return flat(gradient_by(CostNudging(beta, phases), network, x))
        network.gradient = LinearNudging(beta, phases)
        return flat(gradient_of(LOSSES["mse"], network, x))

    mean = (estimate(0.3, "one_sided") + estimate(-0.3, "one_sided")) / 2
    assert_close(estimate(0.3, "centered"), mean, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_random_sign_is_one_sided_with_either_sign():
    """Each draw is exactly one of the two one-sided estimates, both come up, and the seed decides which."""

    def draws(seed):
        network, x = biased([5, 7, 4], seed=seed), torch.linspace(0.0, 1.0, 30).reshape(6, 5)
        estimates = {}
        for sign in (1.0, -1.0):
            network.gradient = LinearNudging(sign * 0.3, "one_sided")
            estimates[sign] = flat(gradient_of(LOSSES["mse"], network, x))
        assert relative_error(estimates[1.0], estimates[-1.0]) > 1e-3
        network.gradient = LinearNudging(0.3, "random_sign")
        signs = []
        for _ in range(24):
            drawn = flat(gradient_of(LOSSES["mse"], network, x))
            signs += [sign for sign, estimate in estimates.items() if torch.allclose(drawn, estimate, 1e-12, 1e-12)]
        assert len(signs) == 24
        assert set(signs) == {1.0, -1.0}
        return signs

    assert draws(2) == draws(2)
    assert draws(2) != draws(3)


@pytest.mark.parametrize("gradient", [LinearNudging, CostNudging, CEP])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beta": 0.0}, ["beta: ", "other than 0", "divided by it", "got 0.0", "0.1 to 1"]),
        ({"phases": "free"}, ["phases: ", "`free`", *PHASES]),
        ({"phases": "centred"}, ["phases: ", "`centred`", "did you mean `centered`?", *PHASES]),
        ({"rule": "hebb"}, ["rule: ", "`hebb`", *RULES]),
        ({"start": "zero"}, ["start: ", "`zero`", *STARTS]),
        ({"phases": "holomorphic", "points": 1}, ["points: ", "at least 2", "got 1"]),
        (
            {"phases": "one_sided", "start": "mirrored"},
            ["start: ", "`mirrored`", "`centered`", "got phases=one_sided", "use phases=centered"],
        ),
        (
            {"phases": "holomorphic", "start": "mirrored"},
            ["start: ", "`mirrored`", "got phases=holomorphic", "use phases=centered"],
        ),
    ],
)
def test_phases_without_meaning_are_refused(gradient, arguments, words):
    """Also where an estimate is made from another one, as strategies and configurations do."""
    for make in (gradient, functools.partial(replace, gradient())):
        with pytest.raises(ConfigError) as error:
            make(**arguments)
        assert str(error.value).startswith(words[0])
        assert all(word in str(error.value) for word in words), error.value
        assert not str(error.value).endswith(".")


IMAGE = (1, 8, 8)


@pytest.mark.parametrize("layer", [ConvLayer(2, pooling="average"), ConvLayer(2, pooling="none"), 6])
@pytest.mark.parametrize(
    "gradient", [LinearNudging(0.1, "holomorphic"), CostNudging(0.5, "holomorphic", nudge="outside"), LinearNudging()]
)
def test_phases_with_a_meaning_are_taken_by_a_learner_and_give_every_weight_a_gradient(layer, gradient):
    """A refusal that was too wide would take away what is published."""
    network, x = biased([IMAGE, layer, 4], neuron="tanh"), torch.rand(6, *IMAGE)
    learner = clep.Learner(network, gradient=gradient)
    learner.loss(learner.predict(x), LABELS).backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("gradient", [LinearNudging(), CostNudging(nudge="outside")])
def test_max_pooling_and_branches_take_real_phases(gradient):
    for network in (biased([IMAGE, ConvLayer(2), 4]), biased([64, 5, 4], feedback="dendritic")):
        learner = clep.Learner(network, gradient=gradient)
        learner.loss(learner.predict(torch.rand(6, *IMAGE)), LABELS).backward()
        assert network.connections[0].weight.grad.any()
