"""Stacked gradient descent, against torch's own optimisers."""

import torch

from clep.equilibrium import Network
from clep.population.descent import Descent, descends
from clep.population.stack import Stack

SETTINGS = [
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.2, "momentum": 0.0, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.5},
]
CLIPS = [0.3, None, 5.0]


def networks() -> list[Network]:
    return [Network([4, 3, 2], seed=seed, bias=True) for seed in range(3)]


def test_each_network_moves_as_by_its_own_optimizer():
    """Rates, momentum, decay and clipping differ; the second half goes on from the momentum of the first."""
    drawn = torch.Generator().manual_seed(0)
    alone, together = networks(), networks()
    own = [torch.optim.SGD(n.parameters(), **options) for n, options in zip(alone, SETTINGS, strict=True)]
    optimizers = [torch.optim.SGD(n.parameters(), **options) for n, options in zip(together, SETTINGS, strict=True)]
    for _ in range(2):
        stack = Stack([network.body() for network in together])
        descent = Descent(stack)
        for i, (optimizer, clip) in enumerate(zip(optimizers, CLIPS, strict=True)):
            descent.enter(i, optimizer, clip)
        for _ in range(3):
            gradients = [torch.rand(row.shape, generator=drawn) for row in stack.rows]
            for i, (network, optimizer) in enumerate(zip(alone, own, strict=True)):
                for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                    parameter.grad = gradient[i].clone()
                if CLIPS[i] is not None:
                    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIPS[i])
                optimizer.step()
            descent.step(gradients, range(3))
        for i, optimizer in enumerate(optimizers):
            stack.store(i)
            descent.leave(i, optimizer)
    for one, other in zip(alone, together, strict=True):
        for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_only_plain_descent_of_all_parameters_is_stacked():
    parameters = list(Network([4, 3, 2]).parameters())
    assert descends(torch.optim.SGD(parameters, lr=0.1, momentum=0.9), parameters)
    assert not descends(torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True), parameters)
    assert not descends(torch.optim.SGD(parameters[:1], lr=0.1), parameters)
    assert not descends(torch.optim.AdamW(parameters), parameters)
