"""What the check of a graphics card times: the same updates, recorded or not."""

from dataclasses import replace

import pytest
import torch

from clep.bench.cases import Case
from clep.graphs import Graphs
from scripts import gpu_updates
from tests.oracles.tape import Recorder


def test_both_sides_make_the_same_updates(monkeypatch):
    weights = []
    learner_of = gpu_updates.clep.Learner
    made = gpu_updates.updates.network_of

    def by_torch(case):
        """A card, which the recorder stands in for, has no compiled steps."""
        network = made(case)
        network.spec = replace(network.spec, compiled="off")
        return network

    monkeypatch.setattr(gpu_updates.updates, "network_of", by_torch)
    monkeypatch.setattr(gpu_updates.clep, "Learner", lambda *a, **k: weights.append(learner_of(*a, **k)) or weights[-1])
    case, record = Case((8, 6, 3), batch=4), Recorder()
    for graphs in (None, Graphs(required=True, record=record)):
        update = gpu_updates.update_of(case, "cpu", graphs)
        for _ in range(6):
            update()
    usual, recorded = (list(learner.parameters()) for learner in weights)
    assert all(torch.equal(one, other) for one, other in zip(usual, recorded, strict=True))
    assert record.replays == 3


def test_the_table_has_a_line_for_each_case(monkeypatch, capsys):
    monkeypatch.setattr(gpu_updates, "CASES", {"tiny": Case((8, 6, 3), batch=4), "other": Case((8, 3), batch=4)})
    gpu_updates.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_a_cuda_graph_is_never_slower_than_updates_as_usual():
    """For small networks the launches are what takes the time; the table of `scripts/gpu_check.sh` says how much."""
    for name in ("digits 64", "digits 256"):
        calls = gpu_updates.sides(gpu_updates.CASES[name])
        found = gpu_updates.milliseconds({side: calls[side] for side in ("cuda", "cuda graph")})
        assert found["cuda graph"] <= found["cuda"]
