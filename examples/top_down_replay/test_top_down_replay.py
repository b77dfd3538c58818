"""Dreams of a linear network against their closed form; what is rehearsed and kept; clep's own checks."""

import pytest
import torch
from top_down_replay import TopDownReplay
from torch import nn

import clep
from clep.testing import strategy_tests

TestContract = strategy_tests("top_down_replay:TopDownReplay", per_class=3, steps=3)


def knowing(x, **parameters):
    """A strategy that has seen the inputs `x`."""
    strategy = TopDownReplay(**parameters)
    strategy.state |= {"count": len(x), "sum": x.double().sum(0), "squares": x.double().square().sum(0)}
    return strategy


def knowing_what(other, **parameters):
    """A strategy that has seen what another one has."""
    strategy = TopDownReplay(**parameters)
    strategy.state |= other.state
    return strategy


def run(*strategies):
    """The network after a short stream of two experiences, of five classes each."""
    stream = clep.stream("digits", experiences=2, samples_per_experience=60, seed=0)
    network = clep.Network([64, 16, 10], free_steps=15, nudged_steps=5)
    clep.Training(clep.Learner(network, lr=0.05), list(strategies), epochs=4, seed=0).run(stream)
    return network


def test_a_dream_of_a_linear_network_is_where_descent_leads():
    """With output w x, descent multiplies the error by 1 - rate w^2 in each step."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [2.0]]))
    strategy = knowing(torch.tensor([[0.1], [0.3]]), noise=0.0, steps=3, rate=0.1)
    error = (2.0 * 0.2 - 1.0) * (1.0 - 0.1 * 4.0) ** 3
    assert float(strategy.dream(model, torch.tensor([1]))) == pytest.approx((1.0 + error) / 2.0)


def test_an_equilibrium_network_dreams_what_backpropagation_through_its_relaxation_would():
    """Small nudges and long relaxations: the estimate for the input is then the gradient."""
    network = clep.Network([6, 8, 3], seed=1, neuron="tanh", free_steps=80, nudged_steps=80)
    x, y = torch.rand(20, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2])
    dreams = [
        knowing(x, rate=0.5, steps=5).dream(network.with_gradient(gradient), y)
        for gradient in (clep.LinearNudging(beta=0.05, phases="centered"), clep.Backpropagation())
    ]
    start = knowing(x, steps=0).dream(network, y)
    assert (dreams[0] - start).abs().max() > 0.1
    torch.testing.assert_close(dreams[0], dreams[1], atol=1e-3, rtol=0.0)


def test_dreams_begin_with_the_mean_and_the_spread_of_the_inputs():
    x = 0.5 + 0.05 * torch.randn(4000, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.5, 1.0, 2.0])
    dreams = knowing(x, steps=0).dream(nn.Linear(3, 2), torch.zeros(4000, dtype=torch.long))
    torch.testing.assert_close(dreams.mean(0), x.mean(0), atol=0.01, rtol=0.0)
    torch.testing.assert_close(dreams.std(0), x.std(0), atol=0.0, rtol=0.1)


def test_descent_makes_dreams_that_the_network_takes_for_their_classes():
    network = run(strategy := TopDownReplay(per_class=5, steps=5))
    y = torch.tensor(strategy.state["classes"]).repeat_interleave(10)

    def loss(dreams):
        return (network(dreams) - torch.eye(10)[y]).square().sum().item()

    noise, dreams = (knowing_what(strategy, rate=1.0, steps=steps).dream(network, y) for steps in (0, 20))
    assert loss(dreams) < 0.9 * loss(noise)


def test_every_earlier_class_is_rehearsed_and_no_input_is_kept():
    strategy = TopDownReplay(per_class=4, steps=2)
    rehearsed = []
    strategy.rehearse = lambda x, y: rehearsed.append((tuple(x.shape), sorted(y.bincount().tolist())[-6:]))
    run(strategy)
    assert rehearsed == [((20, 1, 8, 8), [0, 4, 4, 4, 4, 4])]
    memory = strategy.memory()
    assert memory.exemplars == 0
    assert memory.statistics_bytes == 2 * 64 * 8 + 11 * 8  # a mean and a spread; ten classes and a count


def test_dreams_change_what_is_learned_and_noise_alone_something_else():
    cases = ((), (TopDownReplay(per_class=4, steps=0),), (TopDownReplay(per_class=4, steps=3),))
    plain, noise, dreams = (run(*strategies).connections[0].weight for strategies in cases)
    assert not torch.equal(plain, noise)
    assert not torch.equal(noise, dreams)
