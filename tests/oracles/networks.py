"""Networks and losses as the tests of gradients ask for them."""

from dataclasses import replace

import torch
from torch.nn import functional

from clep.equilibrium import Network, SquaredError, TimeStep


def biased(sizes, **options):
    """A network with biases, so that comparisons cover every kind of parameter, and with few nudged steps."""
    return Network(sizes, **{"bias": True, "nudged_steps": 4} | options)


def change(network, **options):
    """Give a network other options of its spec; its weights stay."""
    network.spec = replace(network.spec, **options)


def loss_by(gradient, network, x, labels, cost=None):
    """The loss whose `backward()` delivers an estimate, whatever gradient the network has; squared error by default."""
    return gradient.loss(gradient.predict(network, x), labels, cost or SquaredError())


def updates_by(gradient, network, x, labels, cost=None):
    """The gradients of an estimate that moves the weights step by step."""
    return gradient.updates(gradient.predict(network, x), labels, cost or SquaredError())


LABELS = torch.tensor([0, 1, 2, 3, 1, 2])
MIXED = TimeStep("lognormal", mean=0.8, spread=0.3, min=0.4)


def arbitrary(output):
    """A loss that is neither a squared error nor a sum over samples."""
    return (output.sin() * torch.arange(1.0, 5.0)).sum().exp() + output.std()


LOSSES = {
    "mse": lambda output: SquaredError()(output, LABELS),
    "cross_entropy": lambda output: functional.cross_entropy(output, LABELS),
    "arbitrary": arbitrary,
}
"""Losses of six samples and four outputs."""

_SMALL = [2.0**-k for k in range(8, 15)]
BETAS = {"one_sided": _SMALL, "random_sign": _SMALL, "centered": _SMALL, "holomorphic": [2.0**-k for k in range(3, 8)]}
SLOPES = {"one_sided": 1.0, "random_sign": 1.0, "centered": 2.0, "holomorphic": 4.0}
SMALLEST = {"one_sided": 1e-3, "random_sign": 1e-3, "centered": 1e-6, "holomorphic": 1e-6}
"""Of each arrangement of phases: betas, the power of beta that the error follows, and the error that is reached."""


def settled(sizes=(5, 7, 4), steps=120, **options):
    """A smooth network whose phases converge to the last digit."""
    options = {"neuron": "shifted_sigmoid", "time_step": MIXED, "seed": 2} | options
    return biased(sizes, free_steps=steps, nudged_steps=steps, **options)


def gradient_of(loss, network, x):
    """Gradient of `loss(network(x))` for the parameters and, last, the input."""
    x = x.clone().requires_grad_()
    return list(torch.autograd.grad(loss(network(x)), [*network.parameters(), x]))


def gradient_by(gradient, network, x, labels=LABELS, factor=1.0):
    """The estimate of the gradient of `factor` times the squared error, for the parameters."""
    loss = factor * loss_by(gradient, network, x, labels)
    return list(torch.autograd.grad(loss, list(network.parameters())))
