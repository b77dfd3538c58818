"""`clep bench`: both sides do the same work, and what is printed is what was measured."""

import json

import pytest
import torch

from clep import bench, cli
from clep.bench import cases, updates
from clep.bench.cases import Case
from clep.equilibrium import ConvLayer
from clep.errors import ConfigError

SMALL = Case((20, 15, 12, 4), batch=6)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cases, "UPDATES", {"small": SMALL})
    monkeypatch.setattr(updates, "_ROUNDS", 2)


def batch():
    return torch.rand(6, 20, dtype=torch.float64), torch.randint(4, (6,))


def test_the_explicit_update_equals_the_autograd_baseline():
    """A ratio between two sides that compute different things says nothing."""
    assert updates.update_difference(SMALL, "synchronous", *batch()) < 1e-10


def test_the_explicit_update_of_convolutions_equals_the_autograd_baseline():
    """In double precision: in single precision rounding turns winners of max pooling around, on either side."""
    layers = tuple(ConvLayer(channels, kernel=3, padding=1) for channels in (4, 6))
    case = Case(((3, 8, 8), *layers, 4), batch=5)
    x, y = torch.rand(5, 3, 8, 8, dtype=torch.float64), torch.randint(4, (5,))
    assert updates.update_difference(case, "synchronous", x, y) < 1e-10


def test_the_difference_is_one_when_the_updates_have_nothing_in_common(monkeypatch):
    monkeypatch.setattr(updates, "explicit_update", lambda *_: None)
    assert updates.update_difference(SMALL, "synchronous", *batch()) == pytest.approx(1.0)


def test_the_asynchronous_update_differs_only_as_far_as_neither_has_converged():
    converged = Case(SMALL.sizes, batch=6, free_steps=400, nudged_steps=400, beta=0.1)
    assert updates.update_difference(converged, "asynchronous", *batch()) < 1e-6


def test_the_products_are_those_of_the_algorithm():
    """20-15-12-4: the drive once, then up and down per step above it, and the products of the weight changes."""
    steps = SMALL.free_steps + 2 * SMALL.nudged_steps
    counts = [n for n, _ in updates._products(SMALL, "synchronous")]
    assert counts == [1, 1, steps, steps, 2, steps, steps, 2]


def test_json_has_the_fields_of_the_contract_and_asynchronous_takes_half_the_sweeps(quick, capsys):
    assert cli.main(["bench", "small", "--json"]) == 0
    timings = json.loads(capsys.readouterr().out)
    assert [(t["case"], t["relaxation"], t["sweeps"]) for t in timings] == [
        ("small", "synchronous", 20),
        ("small", "asynchronous", 10),
    ]
    for timing in timings:
        assert timing["ratio"] == pytest.approx(timing["images_per_second"] / timing["baseline_images_per_second"])
        assert timing["floor_fraction"] > 0
        states_and_drive = 6 * (15 + 12 + 4 + 15) * 4
        assert timing["peak_bytes"] > states_and_drive
    assert timings[0]["max_relative_update_difference"] < 1e-4


@pytest.mark.parametrize("name", ["mlp1", "mlp2"])
def test_an_update_takes_at_most_four_copies_of_the_states_and_the_drive_beside_its_gradients(name):
    """Free, upper and lower states and one buffer. A temporary of the weights' size, or a phase that keeps its
    trajectory, would pass every other test."""
    case = cases.UPDATES[name]
    network = updates.network_of(case)
    x, y = torch.rand(case.batch, case.sizes[0]), torch.randint(10, (case.batch,))
    updates.explicit_update(network, case, x, y)  # what is made at its first use
    network.zero_grad()
    peak = updates.peak_bytes(lambda: updates.explicit_update(network, case, x, y))
    gradients = sum(parameter.nbytes for parameter in network.parameters())
    states_and_drive = 4 * case.batch * (sum(case.sizes[1:]) + case.sizes[1])
    assert peak - gradients <= 4 * states_and_drive


def test_an_unknown_case_is_refused_with_the_known_ones(quick):
    with pytest.raises(ConfigError, match=r"^cases: unknown case `smal`; did you mean `small`"):
        bench.bench(["smal"])


@pytest.mark.usefixtures("quick")
def test_no_threads_are_refused():
    with pytest.raises(ConfigError, match=r"^threads: expected an integer of at least 1, got 0"):
        bench.bench(threads=0)


def test_threads_are_given_back(quick):
    torch.set_num_threads(2)
    bench.bench(["small"], threads=1)
    assert torch.get_num_threads() == 2
