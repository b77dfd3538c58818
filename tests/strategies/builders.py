"""What the tests of sleep share: a network, its weights, whether they changed, and the published form of sleep."""

import torch
from clep.strategies.sleep_replay import SleepReplay

import clep


def awake(bias=False, seed=1, sizes=(64, 20, 10)):
    return clep.Network(list(sizes), bias=bias, seed=seed)


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def unchanged(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def published(**options):
    return SleepReplay(calibration="published", **options)
