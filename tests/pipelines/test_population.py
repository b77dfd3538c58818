"""`population=auto`: runs of one architecture in one pass, and everything else as it was."""

import mlflow
import pytest

import clep
from clep.errors import UnusedWarning

pytestmark = pytest.mark.slow


def test_runs_in_one_pass_are_recorded_as_runs_of_their_own(small, without_page):
    cells = {"asleep": {"strategies": ["sleep_replay"]}, "inhibited": {"set": ["network.inhibition=0.1"]}}
    cells["joint"] = {"strategies": ["joint"]}
    comparing = small | {"cells": cells, "seeds": [0, 1], "workers": 1}
    with pytest.warns(UnusedWarning, match="the cell `inhibited` trains alone: network.inhibition"):
        together = clep.compare(comparing | {"population": "auto"})
    apart = clep.compare(comparing)
    assert not together.failed
    for one, other in zip(together.runs, apart.runs, strict=True):
        assert (one.label, one.seed) == (other.label, other.seed)
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.01)
    store = mlflow.MlflowClient(tracking_uri=together.tracking_uri)
    tags = [store.get_run(run.run_id).data.tags.get("clep.population") for run in together.runs]
    assert tags == ["4", "4", None, None, "4", "4"]
    for one, other in zip(together.runs, apart.runs, strict=True):
        curve, known = (store.get_metric_history(run.run_id, "accuracy/seen") for run in (one, other))
        assert [point.step for point in curve] == [point.step for point in known] != []
