"""A sleep one neuron and one synapse at a time, and the networks that simulations are compared on."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from clep.sleep import CompiledSimulation, Spikes, SpikingParameters, TorchSimulation
from clep.sleep.rule import gate, subset

SIZES = (14, 10, 8, 5)


class PlainSimulation:
    """The rule as the papers state it, one neuron and one synapse at a time, every number rounded to the dtype."""

    def __init__(self, weights, parameters, symmetric=False, shuffled=False, rng=None):
        self.number = weights[0].dtype.type
        self.weights = [w.copy() for w in weights]
        self.parameters, self.symmetric, self.shuffled, self.rng = parameters, symmetric, shuffled, rng
        self.orders = [np.arange(w.shape[1]) for w in weights]
        self.potentials = [np.zeros(len(w), w.dtype) for w in weights]
        self.counts = [np.zeros(len(w), int) for w in weights]
        self.z = [[False] * len(w) for w in weights]

    def step(self, inputs):
        below = [bool(x) for x in inputs]
        for layer in range(len(self.weights)):
            self.integrate(layer, below)
            self.learn(layer, below, self.z[layer])
            below = self.z[layer]

    def integrate(self, layer, below):
        w, v, p = self.weights[layer], self.potentials[layer], self.parameters[layer]
        decay = np.broadcast_to(p.decay, len(v))
        drive = np.zeros_like(v)
        for i in range(len(v)):
            v[i] = v[i] * self.number(decay[i])
            drive[i] = 0.0 if p.inhibition else v[i]  # without inhibition input is added to the potential as it comes
            for j in range(len(below)):
                if below[j]:
                    drive[i] = drive[i] + w[i, j]
            if p.feedback and layer + 1 < len(self.weights) and any(self.z[layer + 1]):
                ratio = p.threshold / self.parameters[layer + 1].threshold
                total = self.number(0.0)
                for k, fired in enumerate(self.z[layer + 1]):
                    if fired:
                        total = total + self.weights[layer + 1][k, i]
                drive[i] = drive[i] + self.number(p.feedback * ratio) * total
        if p.inhibition:
            mean = sum(float(x) / len(v) for x in drive)
            v += np.array([float(x) - float(self.number(p.inhibition)) * mean for x in drive])
        else:
            v[:] = drive
        self.z[layer] = [bool(potential >= self.number(p.threshold)) for potential in v]
        for i, fired in enumerate(self.z[layer]):
            if fired:
                v[i] = 0.0
                self.counts[layer][i] += 1

    def learn(self, layer, below, here):
        w, p = self.weights[layer], self.parameters[layer]
        both_ends = self.symmetric and layer > 0
        if not (p.increment or p.decrement) or not (any(here) or (both_ends and any(below))):
            return
        if self.shuffled:
            chosen = subset.py_func(self.orders[layer], sum(below), self.rng)
            below = [j in chosen for j in range(len(below))]

        def rule(post, pre):
            return 0.0 if not post else p.increment if pre else -p.decrement

        for i in range(len(here)):
            for j in range(len(below)):
                change = rule(here[i], below[j])
                if both_ends:
                    change = 0.5 * (change + rule(below[j], here[i]))
                if here[i] or (both_ends and below[j]):
                    new = float(w[i, j]) + change * gate.py_func(float(w[i, j]), p.gate_width)
                    w[i, j] = min(max(new, -p.bound), p.bound)


def constants(**changes):
    """A layer without gate and without learning, if nothing else is asked for."""
    values = {"decay": 1.0, "threshold": 1.0, "increment": 0.0, "decrement": 0.0, "gate_width": math.inf}
    return SpikingParameters(**(values | changes))


def made(sizes=SIZES, dtype=np.float64, uneven_decay=False, **changes):
    """Weights and constants with which every layer fires now and then."""
    rng = np.random.default_rng(len(sizes))
    weights = [rng.normal(0.1, 0.3, (n, m)).astype(dtype) for m, n in pairwise(sizes)]
    values = {"decay": 0.9, "increment": 0.02, "decrement": 0.013, "gate_width": 0.15} | changes
    decays = [rng.uniform(0.8, 1.0, n) if uneven_decay else values["decay"] for n in sizes[1:]]
    thresholds = np.linspace(1.4, 0.9, len(sizes) - 1)
    return weights, [
        constants(**values | {"threshold": t, "decay": d}) for t, d in zip(thresholds, decays, strict=True)
    ]


def input_rows(steps, size=SIZES[0], share=0.1, seed=7):
    return np.random.default_rng(seed).random((steps, size)) < share


def uneven_rows(steps):
    """Steps with no spikes, a few, and many."""
    return input_rows(steps, share=np.random.default_rng(8).choice([0.0, 0.1, 0.1, 0.7], (steps, 1)))


def torch_of(weights, parameters, **options):
    return TorchSimulation([torch.from_numpy(w) for w in weights], parameters, **options)


def go(sim, *rows):
    """Steps with these input spikes; what every layer fired in the last of them, as lists of 0 and 1."""
    before = sim.counts
    for row in np.atleast_2d(rows):
        before = [count.copy() for count in sim.counts]
        sim.run(Spikes.of(row[None]))
    return [(now - then).tolist() for now, then in zip(sim.counts, before, strict=True)]


BOTH = pytest.mark.parametrize("made_by", [CompiledSimulation, torch_of], ids=["compiled", "torch"])
