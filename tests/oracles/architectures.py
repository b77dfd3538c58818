"""Networks of every kind that two-phase estimates are tested on."""

import numpy as np
import torch
from torch.nn import functional

from clep.equilibrium import ConvLayer, SquaredError, TimeStep
from tests.oracles.networks import biased

MIXED = TimeStep("lognormal", mean=0.7, spread=0.3, min=0.3)
LABELS = torch.tensor([0, 1, 2, 3, 1])
TARGET = functional.one_hot(LABELS, 4).double()
AVERAGE, MAX = ConvLayer(3, 3, padding=1, pooling="average"), ConvLayer(3, 3, padding=1, pooling="max")
ARCHITECTURES = {
    "dense": {"sizes": [5, 7, 6, 4]},
    "no hidden layer": {"sizes": [5, 4]},
    "residual links": {"sizes": [5, 6, 5, 6, 4], "residual_links": 2},
    "max pool": {"sizes": [(2, 6, 7), MAX, 5, 4]},
    "two max pools": {"sizes": [(1, 9, 8), MAX, ConvLayer(3, 2), 4], "neuron": "hard_sigmoid"},
    "average pool": {"sizes": [(2, 6, 7), AVERAGE, 4]},
    "energy": {"sizes": [5, 7, 6, 4], "dynamics": "energy"},
}


def made(name, **more):
    arguments = {"neuron": "shifted_sigmoid", "time_step": MIXED, "free_steps": 150, "nudged_steps": 6, "seed": 2}
    return biased(**{**arguments, **ARCHITECTURES[name], **more})


def images_of(network):
    return torch.rand(len(LABELS), *network.shapes[0])


def cross_entropy(output):
    return functional.cross_entropy(output, LABELS)


def squared(output):
    return SquaredError()(output, LABELS)


def wavy(*shape):
    """Numbers in [-1, 1] without an order, the same whenever they are asked for."""
    return torch.sin(37.0 * torch.arange(1.0 + np.prod(shape))[1:]).reshape(shape)
