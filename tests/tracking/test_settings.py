"""The section `tracking` and MLflow's own environment variables."""

import time

import pytest

from clep import build, tracking
from clep.config import compose

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def section(*changes):
    return compose(None, [f"tracking.{change}" for change in changes]).tracking


@pytest.mark.parametrize(
    ("change", "variable", "expected"),
    [((), None, "clep"), ((), "from_env", "from_env"), (("experiment=given",), "from_env", "given")],
)
def test_the_experiment_is_the_configured_one_or_mlflows_or_clep(
    store, client, monkeypatch, change, variable, expected
):
    if variable:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", variable)
    uri, experiment = tracking.open_store(section(f"uri={store}", *change))
    assert (uri, client.get_experiment(experiment).name) == (store, expected)


def test_a_run_is_named_by_the_configuration_or_the_environment_or_by_what_it_is(monkeypatch):
    assert tracking.run_name(section(), "naive seed 0") == "naive seed 0"
    monkeypatch.setenv("MLFLOW_RUN_NAME", "from env")
    assert tracking.run_name(section(), "naive seed 0") == "from env"
    assert tracking.run_name(section("name=given"), "naive seed 0") == "given"


def test_tags_may_be_nested_and_a_note_comes_first():
    assert tracking.own_tags(section("tags.project=thesis", "tags.a.b=1")) == {"project": "thesis", "a.b": "1"}
    assert tracking.described(section("note=Mine."), "What it is.") == "Mine.\n\nWhat it is."
    assert tracking.described(section(), "What it is.") == "What it is."


def test_what_the_section_says_does_not_change_the_identity_of_a_result():
    changes = ["tracking.name=a", "tracking.note=b", "tracking.tags.c=d", "tracking.register=e"]
    given = build.resolved(compose(None, changes))
    assert build.fingerprint(given) == build.fingerprint(build.resolved(compose()))
    assert build.cell_tags(given) == build.cell_tags(build.resolved(compose()))


@pytest.mark.parametrize("asked", [True, False])
def test_mlflows_system_metrics_are_recorded_if_asked_for(store, experiment, client, monkeypatch, asked):
    """They go the way of all metrics, so that a store in trouble costs none of them."""
    if asked:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    with new_run(store, experiment) as run:
        time.sleep(0.5)
    found = client.get_run(run.run_id).data.metrics
    assert any(name.startswith("system/cpu") for name in found) is asked
    if asked:
        history = client.get_metric_history(run.run_id, "system/cpu_utilization_percentage")
        assert [point.step for point in history] == list(range(len(history)))
        assert len(history) > 1
