"""Dendritic networks that tests share, and their nudge."""

import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import Dendrites, TimeStep
from tests.oracles.networks import biased

LABELS = torch.tensor([0, 1, 2, 3, 1])
TARGET = functional.one_hot(LABELS, 4).double()
BRANCHES = {
    "published": Dendrites(),
    "dense apical": Dendrites(3, 4, density=0.4, gain=0.7, apical_dense=True),
    "one branch": Dendrites(1, 1, density=1.0, gain=1.0),
}
ORDERS = ["synchronous", "asynchronous"]


def made(sizes=(6, 7, 5, 4), dendrites=BRANCHES["published"], **more):
    arguments = {"neuron": "shifted_sigmoid", "time_step": TimeStep("lognormal", mean=0.8, spread=0.3, min=0.4)}
    steps = {"free_steps": 12, "nudged_steps": 5, "seed": 3}
    return biased(sizes, feedback="dendritic", dendrites=dendrites, **{**arguments, **steps, **more})


def images(network, seed=0):
    return torch.rand(len(LABELS), network.sizes[0], generator=torch.Generator().manual_seed(seed))


def close(actual, expected, tolerance=1e-10):
    assert_close(list(actual), list(expected), rtol=tolerance, atol=tolerance)


def nudge(beta):
    return lambda state: beta * (TARGET - state)
