"""The stored view of a comparison: MLflow's own format, which it must be able to read."""

import base64
import json
import zlib

import pytest

from clep import tracking
from clep.tracking import views

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1

CELLS = ["naive | digits | ep | 01234567", "ewc+sleep | digits | ep | 89abcdef"]


def stored(client, experiment, key):
    """What MLflow's UI does with the tag: inflate it, and read it as JSON."""
    text = client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{key}"]
    header, _, packed = text.partition(";")
    assert header == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def store_view(store, experiment, groups=CELLS):
    with new_run(store, experiment) as parent:
        return tracking.store_view(parent, "a filter", group_by="clep.cell", groups=groups)


def test_a_view_shows_bars_and_curves_of_its_own_runs_grouped_by_cell(store, experiment, client):
    state = stored(client, experiment, store_view(store, experiment))
    assert state["searchFilter"] == "a filter"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "clep.cell"}]
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert set(state["groupsExpanded"]) == {f"tag.clep.cell.{cell}" for cell in CELLS}
    charts = {chart["metricKey"]: chart["type"] for chart in state["compareRunCharts"]}
    assert charts == {
        "final/forgetting_since_training": "BAR",
        "final/forgetting": "BAR",
        "final/accuracy": "BAR",
        "final/learned_in_training": "BAR",
        "forgetting_since_training/average": "LINE",
        "accuracy/seen": "LINE",
    }
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections


def test_thirty_cells_have_a_bar_each(store, experiment, client):
    cells = [f"a cell with a long name number {i} | digits | hts_ep | {i:08x}" for i in range(30)]
    state = stored(client, experiment, store_view(store, experiment, cells))
    bars = [chart for chart in state["compareRunCharts"] if chart["type"] == "BAR"]
    assert all(chart["runsCountToCompare"] >= 30 for chart in bars)


def test_the_link_of_a_comparison_falls_back_to_its_runs_where_no_view_is_stored(store, experiment):
    with new_run(store, experiment) as parent:
        plain = views.comparison_link(store, experiment, parent.run_id)
        key = tracking.store_view(parent, "a filter", group_by="clep.cell", groups=CELLS)
    assert "viewStateShareKey" not in plain
    assert "mlflow.parentRunId" in plain
    assert f"viewStateShareKey={key}" in views.comparison_link(store, experiment, parent.run_id)


@pytest.mark.parametrize(("version", "known"), [("3.17.2", True), ("3.1.0", True), ("4.0.0", False), ("dev", False)])
def test_a_version_of_mlflow_that_may_not_read_the_view_gets_none(
    store, experiment, client, monkeypatch, version, known
):
    monkeypatch.setattr(views.load_mlflow(), "__version__", version)
    assert bool(store_view(store, experiment)) is known
    tags = client.get_experiment(experiment).tags
    assert any(name.startswith("mlflow.sharedViewState.") for name in tags) is known


def test_a_view_that_mlflow_could_not_store_is_left_out(store, experiment):
    """One of a comparison of thousands of reused runs: a tag holds 20 000 characters, and ids do not compress."""
    import hashlib

    ids = [hashlib.md5(str(i).encode()).hexdigest() for i in range(2000)]
    found = tracking.runs_filter("0123", ids)
    with new_run(store, experiment) as parent:
        assert tracking.store_view(parent, found, group_by="clep.cell", groups=CELLS) == ""


def test_the_filter_finds_the_runs_of_a_comparison_and_reused_ones(store, experiment, client):
    with new_run(store, experiment) as parent, new_run(store, experiment, parent=parent.run_id) as child:
        pass
    with new_run(store, experiment) as reused:
        pass
    for others, expected in ([], {child.run_id}), ([child.run_id, reused.run_id], {child.run_id, reused.run_id}):
        runs = client.search_runs([experiment], tracking.runs_filter(parent.run_id, others))
        assert {run.info.run_id for run in runs} == expected
