"""`clep bench sleep`: both sides sleep the same sleep, and what is printed is what was measured."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

from clep import bench, cli
from clep.bench import cases, sleep, updates
from clep.bench.cases import Case, SleepCase
from clep.sleep import CompiledSimulation, Spikes

SMALL = SleepCase((40, 30, 20, 5), 4.0, (0.5, 0.2, 0.02), change=0.01, steps=600, torch_steps=200)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cases, "SLEEPS", {"sleep": SMALL})
    monkeypatch.setattr(sleep, "_ROUNDS", 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_sides_compute_the_same_weights(dtype):
    """A ratio between two sides that compute different things says nothing."""
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-1, 1, (n, m)).astype(dtype) / dtype(m**0.5) for m, n in pairwise(SMALL.sizes)]
    parameters = sleep.parameters_of(SMALL, weights)
    spikes = Spikes.of(rng.random((300, 40)) < 0.1)
    asleep = CompiledSimulation(weights, parameters)
    asleep.run(spikes)
    assert all(count.sum() > 0 for count in asleep.counts)
    for start, ours, theirs in zip(weights, asleep.weights, sleep.torch_loop(weights, parameters, spikes), strict=True):
        assert abs(ours - start).max() > 1e-4
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 if dtype is np.float64 else 1e-6)


def test_json_has_the_fields_of_the_contract(quick, capsys):
    assert cli.main(["bench", "sleep", "--json"]) == 0
    (timing,) = json.loads(capsys.readouterr().out)
    assert list(timing) == [field.name for field in dataclasses.fields(sleep.SleepTiming)]
    assert (timing["case"], timing["steps"], timing["torch_steps"]) == ("sleep", 600, 200)
    assert timing["ratio"] == pytest.approx(timing["torch_seconds"] / timing["seconds"])
    assert timing["seconds_range"][0] <= timing["seconds"] <= timing["seconds_range"][1]
    assert len(timing["spikes_per_step"]) == 4
    assert timing["spikes_per_step"][0] == pytest.approx(4.0, abs=0.6)  # seven standard deviations of 600 steps
    assert all(rate > 0 for rate in timing["spikes_per_step"])
    assert timing["max_weight_difference"] < 1e-3 * timing["max_weight_change"]


def test_the_torch_loop_is_said_to_be_scaled(quick, capsys):
    assert cli.main(["bench", "sleep"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("sleep: 600 steps in ")
    assert "(scaled from 200 steps)" in printed


def test_without_a_case_updates_alone_are_timed(quick, monkeypatch):
    monkeypatch.setattr(cases, "UPDATES", {"small": Case((20, 15, 4), batch=6)})
    monkeypatch.setattr(updates, "_ROUNDS", 2)
    assert [t.case for t in bench.bench().timings] == ["small", "small"]
    both = bench.bench(["small", "sleep"])
    assert [t.case for t in both.timings] == ["small", "small", "sleep"]
    printed = both.to_text().splitlines()
    assert printed[0].startswith("case ")
    assert printed[3].startswith("sleep: ")
