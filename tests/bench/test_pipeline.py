"""`clep bench pipeline`: all sides learn the same, and what is printed is what was measured."""

import dataclasses
import json

import pytest
import torch

from clep import bench, cli
from clep.bench import cases, pipeline
from clep.bench.cases import PipelineCase
from clep.errors import ClepError

SMALL = PipelineCase((64, 8, 10), experiences=2, epochs=1, batch=128, free_steps=4, nudged_steps=2, rounds=2)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cases, "PIPELINES", {"pipeline": SMALL})


def test_json_has_the_fields_of_the_contract_and_the_sides_end_alike(quick, capsys):
    assert cli.main(["bench", "pipeline", "--json"]) == 0
    timings = json.loads(capsys.readouterr().out)
    assert [timing["network"] for timing in timings] == ["ep", "mlp"]
    for timing in timings:
        assert list(timing) == [field.name for field in dataclasses.fields(pipeline.PipelineTiming)]
        assert min(timing[key] for key in timing if key.endswith(("microseconds", "ratio"))) > 0.0
        assert timing["updates"] == 12  # 2 experiences of about 720 samples in batches of 128


def test_a_side_that_learns_something_else_is_an_error(quick, monkeypatch):
    monkeypatch.setitem(pipeline.SIDES, "clep", lambda network, stream, case: None)
    with pytest.raises(ClepError, match="clep ends with other weights than the bare loop for `ep`"):
        bench.bench(["pipeline"])


def test_the_weights_are_compared_to_the_bit():
    one = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    assert pipeline.differing({"bare": one, "clep": other}) is None
    with torch.no_grad():
        other.bias[0] += 1e-6
    assert pipeline.differing({"bare": one, "clep": other}) == "clep"
