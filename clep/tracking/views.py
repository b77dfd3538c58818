"""The view of a comparison in MLflow's chart page: bars and curves of its own runs, grouped by cell.

MLflow keeps such a view in a tag of the experiment and opens it by a key in the link. The format is that of MLflow's UI
and may change, so a view is an offer: it is stored only for versions that are known to read it, and a link without one
still opens the charts of the same runs.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from clep import metric_names
from clep.tracking.address import charts_link
from clep.tracking.run import Run
from clep.tracking.store import client_of, load_mlflow

_TAG = "mlflow.sharedViewState."
_VERSION = 1  # of the state below; part of the key, so that a new version does not meet an old state
_LONGEST = 20_000  # characters of an experiment's tag
_FIRST, _BEYOND = (3, 1), (4, 0)  # versions of MLflow whose UI reads this format

_BARS = (
    metric_names.FINAL_FORGETTING_SINCE_TRAINING,
    metric_names.FINAL_FORGETTING,
    metric_names.FINAL_ACCURACY,
    metric_names.FINAL_LEARNED_IN_TRAINING,
)
_LINES = (metric_names.FORGETTING_SINCE_TRAINING_AVERAGE, metric_names.ACCURACY_SEEN)
_FEWEST_BARS = 20
_STEPS = {"xAxisKey": "step", "selectedXAxisMetricKey": "", "lineSmoothness": 0}


def runs_filter(parent_run_id: str, others: Iterable[str] = ()) -> str:
    """The filter of MLflow that finds the runs of a comparison.

    Args:
        parent_run_id: the run of the comparison.
        others: ids of all its runs, if some are children of other runs: MLflow has no `or`.
    """
    if ids := sorted(others):
        return f"attributes.run_id IN ({', '.join(f'{each!r}' for each in ids)})"
    return f"tags.`mlflow.parentRunId` = '{parent_run_id}'"


def store_view(parent: Run, run_filter: str, *, group_by: str, groups: Sequence[str]) -> str:
    """Store the view of a comparison and return its key; empty if this version of MLflow is not known to read it.

    Args:
        parent: the run of the comparison.
        run_filter: finds its runs; see `runs_filter`.
        group_by: tag that the runs of a cell share.
        groups: its values.
    """
    text = json.dumps(_state(run_filter, group_by, groups), separators=(",", ":"))
    packed = f"deflate;{base64.b64encode(zlib.compress(text.encode(), 9)).decode()}"
    if not _readable(load_mlflow().__version__) or len(packed) > _LONGEST:
        return ""
    key = _key(parent.run_id)
    # Without the envelope of a view that a user saves: MLflow lets users save only 40, and these must not count.
    parent.tag_experiment(_TAG + key, packed)
    return key


def comparison_link(uri: str, experiment_id: str, parent_run_id: str) -> str:
    """The address within the UI of the charts of a comparison: its stored view if there is one, or else MLflow's own
    charts of its runs."""
    key = _key(parent_run_id)
    stored = _TAG + key in client_of(uri).get_experiment(experiment_id).tags
    return charts_link(experiment_id, view=key) if stored else charts_link(experiment_id, runs_filter(parent_run_id))


def _key(parent_run_id: str) -> str:
    return f"clep{_VERSION}-{parent_run_id}"


def _readable(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return _FIRST <= numbers < _BEYOND


def _state(run_filter: str, group_by: str, groups: Sequence[str]) -> dict[str, Any]:
    """What MLflow's page restores: filter, order, groups and charts."""
    bars = [_bar(name, max(_FEWEST_BARS, len(groups))) for name in _BARS]
    lines = [_line(name) for name in _LINES]
    return {
        "searchFilter": run_filter,
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": ["tags.`seed`", *(f"metrics.`{name}`" for name in _BARS)],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [*bars, *lines],
        "compareRunSections": [_section("bars", "In the end"), _section("lines", "Over the stream")],
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": group_by}]},
        "groupsExpanded": {f"tag.{group_by}.{group}": False for group in groups},
        "globalLineChartConfig": _STEPS,
    }


def _section(name: str, title: str) -> dict[str, Any]:
    kept = {"isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": f"clep-{name}", "name": title, "display": True, **kept}


def _bar(metric: str, count: int) -> dict[str, Any]:
    return _chart("BAR", metric, "bars", count)


def _line(metric: str) -> dict[str, Any]:
    scales = {"xAxisScaleType": "linear", "scaleType": "linear", "range": {}, "ignoreOutliers": False}
    axes = {"yAxisKey": "metric", "yAxisExpressions": [], "selectedMetricKeys": [metric]}
    common = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True}
    return _chart("LINE", metric, "lines", _FEWEST_BARS) | _STEPS | scales | axes | common


def _chart(kind: str, metric: str, section: str, count: int) -> dict[str, Any]:
    return {
        "uuid": f"clep-{metric}",
        "type": kind,
        "metricKey": metric,
        "displayName": metric,
        "metricSectionId": f"clep-{section}",
        "runsCountToCompare": count,
        "deleted": False,
        "isGenerated": False,
    }
