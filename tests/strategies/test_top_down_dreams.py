"""Top-down dreams: what descent on the input leads to in closed form, and what is rehearsed and kept."""

import pytest
import torch
from clep.strategies.top_down_dreams import TopDownDreams
from torch import nn

import clep
from clep.dreaming import Statistics
from clep.errors import ConfigError


def knowing(x, **options):
    """A strategy that has seen the inputs `x`."""
    strategy = TopDownDreams(**options)
    strategy.state |= {"inputs": Statistics.of(x, 0), "shape": tuple(x.shape[1:]), "range": (0.0, 1.0)}
    return strategy


def dreamt(steps):
    """What training on digits leaves: the strategy and its result."""
    strategy = TopDownDreams(steps=steps)
    learner = clep.Learner(clep.Network([64, 64, 10], free_steps=12, nudged_steps=4), lr=0.05)
    stream = clep.stream("digits", experiences=3, samples_per_experience=100)
    return strategy, clep.Training(learner, [strategy], epochs=8, seed=0).run(stream)


def test_a_dream_of_a_linear_network_is_where_descent_leads():
    """With output w x, descent multiplies the error by 1 - rate w^2 in each step."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [2.0]]))
    strategy = knowing(torch.full((2, 1), 0.2), steps=3, rate=0.1)  # without spread
    error = (2.0 * 0.2 - 1.0) * (1.0 - 0.1 * 4.0) ** 3
    assert float(strategy.dream(model, torch.tensor([1]))) == pytest.approx((1.0 + error) / 2.0, abs=1e-4)


def test_dreams_begin_with_the_mean_and_the_spread_of_the_inputs_and_stay_in_their_range():
    spreads = torch.tensor([0.02, 0.05, 0.1])
    x = 0.5 + spreads * torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    start = knowing(x, steps=0).dream(nn.Linear(3, 2), torch.zeros(2000, dtype=torch.long))
    torch.testing.assert_close(start.mean(0), torch.full((3,), 0.5), atol=0.02, rtol=0.0)
    torch.testing.assert_close(start.std(0), spreads, atol=0.0, rtol=0.1)
    far = knowing(x, steps=1, rate=1e6).dream(nn.Linear(3, 2), torch.zeros(50, dtype=torch.long))
    assert set(far.unique().tolist()) <= {0.0, 1.0}


def test_dreams_keep_what_noise_with_the_same_labels_does_not():
    (strategy, kept), (_, noise) = dreamt(steps=20), dreamt(steps=0)
    assert kept.matrix[-1].mean() > noise.matrix[-1].mean() + 0.1
    assert strategy.memory().exemplars == 0
    assert strategy.memory().statistics_bytes == 2 * 2 * 64 + 8 * (10 + 2 + 3)  # mean and spread; classes, range, shape


@pytest.mark.parametrize("options", [{"steps": -1}, {"rate": -0.1}, {"samples": 0}, {"per_class": 3}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TopDownDreams(**options)


def test_an_estimate_without_a_gradient_of_the_input_is_refused():
    with pytest.raises(ConfigError, match="CostNudging cannot be used with TopDownDreams"):
        clep.Training(clep.Learner(clep.Network([64, 8, 10]), gradient=clep.CostNudging()), [TopDownDreams()])
