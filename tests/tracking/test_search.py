"""Runs that have ended are found by their tags."""

import pytest

from clep import tracking
from clep.errors import DivergenceError

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def test_the_latest_finished_run_with_a_tag_is_found(store, experiment):
    for key, value in (("a", 1), ("b", 1), ("a", 2)):
        with new_run(store, experiment, tags={"key": key, "value": value}) as run:
            pass
    found = tracking.finished(store, experiment, "key")
    assert set(found) == {"a", "b"}
    assert found["a"].run_id == run.run_id
    assert found["a"].tags["value"] == "2"
    assert tracking.finished(store, experiment, "another tag") == {}


@pytest.mark.parametrize(("error", "found"), [(DivergenceError("the loss is inf"), True), (ValueError("no"), False)])
def test_only_runs_that_diverged_are_found_as_such(store, error, found, request):
    experiment = tracking.prepare(store, request.node.name)
    with pytest.raises(type(error)), new_run(store, experiment, tags={"key": "a"}):
        raise error
    diverged = tracking.diverged(store, experiment, "key")
    assert (set(diverged) == {"a"}) is found
    assert tracking.finished(store, experiment, "key") == {}
    if found:
        assert diverged["a"].tags["error"] == "DivergenceError: the loss is inf"
