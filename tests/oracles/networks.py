"""Networks and losses as the tests of gradients ask for them."""

from dataclasses import replace

from clep.equilibrium import Network, SquaredError


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
