"""Heterogeneous time steps: their mean, bounds, spread and seed."""

import numpy as np
import pytest

from clep.equilibrium import DISTRIBUTIONS, TimeStep
from clep.equilibrium.time_steps import draw_time_steps, harmonic_mean
from clep.errors import ConfigError

DRAWN = [name for name in DISTRIBUTIONS if name != "scalar"]
SPREADS = {
    "lognormal": (0.25, 0.5, 1.0, 2.0),
    "gamma": (0.25, 0.5, 1.0),
    "normal": (0.1, 0.2, 0.5),
    "uniform": (0.2, 0.5, 1.0),
}


def draw(time_step, n=300, seed=0):
    return draw_time_steps(time_step, [n], np.random.default_rng(seed))


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.6, 0.8])
@pytest.mark.parametrize(("distribution", "spread"), [(d, s) for d in DRAWN for s in SPREADS[d]])
def test_mean_after_clipping_is_the_one_asked_for(distribution, spread, mean):
    """Clipping a log-normal of mean 0.8 to [0.05, 1] leaves 0.55: the network would be slower as well as heterogeneous,
    and a comparison with a scalar step would confound the two."""
    for n, seed in ((10, 1), (300, 2), (3000, 3)):
        steps = draw(TimeStep(distribution, mean=mean, spread=spread), n, seed)
        assert steps.shape == (n,)
        assert steps.mean() == pytest.approx(mean, rel=0.01)
        assert steps.min() >= 0.05
        assert steps.max() <= 1.0
        assert len(np.unique(steps)) > 1


def test_bounds_are_the_ones_asked_for():
    steps = draw(TimeStep("lognormal", mean=0.5, spread=1.5, min=0.3, max=0.7))
    assert steps.min() == 0.3
    assert steps.max() == 0.7
    assert steps.mean() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("distribution", "width"),
    [
        ("lognormal", lambda dt: np.log(dt).std()),
        ("gamma", lambda dt: dt.std() / dt.mean()),
        ("normal", lambda dt: dt.std() / dt.mean()),
        ("uniform", lambda dt: (dt.max() - dt.min()) / 2 / dt.mean()),
    ],
)
@pytest.mark.parametrize("spread", [0.1, 0.25])
def test_spread_means_what_the_documentation_says(distribution, width, spread):
    """Where clipping is out of reach. A variance taken for a standard deviation would pass every test of the mean."""
    steps = draw(TimeStep(distribution, mean=0.01, spread=spread, min=1e-9), n=100_000)
    assert width(steps) == pytest.approx(spread, rel=0.02)


def test_scalar_steps_and_a_spread_of_zero_are_all_equal():
    assert (draw(TimeStep("scalar", mean=0.7, spread=0.9)) == 0.7).all()
    for distribution in DRAWN:
        assert (draw(TimeStep(distribution, mean=0.7, spread=0.0)) == 0.7).all()


@pytest.mark.parametrize("distribution", DRAWN)
def test_with_one_draw_per_layer_its_neurons_share_a_step_and_the_mean_over_neurons_stays(distribution):
    time_step = TimeStep(distribution, mean=0.5, spread=0.3, per="layer")
    steps = np.split(draw_time_steps(time_step, [50, 30, 4], np.random.default_rng(1)), [50, 80])
    assert [len(np.unique(layer)) for layer in steps] == [1, 1, 1]
    assert len({layer[0] for layer in steps}) == 3
    assert np.concatenate(steps).mean() == pytest.approx(0.5, rel=0.01)


def test_the_harmonic_mean_is_that_of_the_clipped_steps():
    """For steps uniform on [a, b] it is (b - a) / ln(b / a). What the clipped tail contributes must be in it."""
    wide = TimeStep("uniform", mean=0.5, spread=0.8)  # on [0.1, 0.9]
    assert harmonic_mean(wide) == pytest.approx(0.8 / np.log(9.0), rel=0.01)
    clipped = TimeStep("lognormal", mean=0.6, spread=1.0)
    steps = draw(clipped, n=200_000, seed=5)
    assert harmonic_mean(clipped) == pytest.approx(1.0 / np.mean(1.0 / steps), rel=0.01)
    assert harmonic_mean(TimeStep("scalar", mean=0.7)) == pytest.approx(0.7)


@pytest.mark.parametrize("distribution", DRAWN)
def test_the_generator_decides_the_steps(distribution):
    time_step = TimeStep(distribution, mean=0.5, spread=0.3)
    assert (draw(time_step, seed=4) == draw(time_step, seed=4)).all()
    assert (draw(time_step, seed=4) != draw(time_step, seed=5)).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"distribution": "lognormall"},
            ["distribution: ", "`lognormall`", "did you mean `lognormal`?", *DISTRIBUTIONS],
        ),
        ({"min": 0.0}, ["min: ", "(0, 1]", "got 0.0"]),
        ({"mean": 0.01}, ["mean: ", "min <= mean <= max", "got 0.05 <= 0.01 <= 1.0"]),
        ({"mean": 0.9, "max": 0.8}, ["mean: ", "min <= mean <= max", "got 0.05 <= 0.9 <= 0.8"]),
        ({"max": 1.5}, ["max: ", "(0, 1]", "got 1.5"]),
        ({"spread": -0.1}, ["spread: ", "at least 0", "got -0.1"]),
        ({"per": "network"}, ["per: ", "`network`", "neuron", "layer"]),
    ],
)
def test_bad_arguments_are_refused_with_the_key_and_what_is_allowed(arguments, words):
    with pytest.raises(ConfigError) as error:
        TimeStep(**arguments)
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words)


def test_a_mean_out_of_reach_is_refused():
    """Half of a very wide normal is negative and clipped to `min`, so that a high mean cannot be had."""
    message = r"^time_step.spread: no normal distribution of spread 50.0 clipped to .* has a mean of 0.9; use a smaller"
    with pytest.raises(ConfigError, match=message):
        draw(TimeStep("normal", mean=0.9, spread=50.0))
