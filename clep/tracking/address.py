"""Where runs are stored, and how to look at them: the address of a store, the command and the links of the UI."""

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

from clep.errors import ConfigError
from clep.masking import masked

_DATABASES = {"postgresql", "mysql", "mssql"}  # of those that MLflow can use, the ones that are a server
_TRAINING = {"workflowType": "machine_learning"}  # otherwise the UI opens on traces of language models


def tracking_uri(uri: str | None) -> str:
    """Where runs are stored: `uri`, else `MLFLOW_TRACKING_URI`, else `mlflow.db` in the working directory.

    A relative SQLite path is made absolute, so that the result means the same store from every directory.

    Raises:
        ConfigError: for an SQLite store in memory, since no other process could read it.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path, query = sqlite_path(uri)
    if path is None:
        return uri
    if str(path) in (".", ":memory:"):
        raise ConfigError(f"tracking.uri: expected the path of an SQLite file, as in sqlite:///mlflow.db, got `{uri}`")
    return f"{uri.partition(':')[0]}:///{path.expanduser().absolute()}{query}"


def beside(uri: str, name: str) -> str:
    """Address of an SQLite file next to the store, or in the working directory if the store is a server."""
    path, _ = sqlite_path(uri)
    return f"sqlite:///{(Path.cwd() if path is None else path.parent) / name}"


def state_folder(uri: str, run_id: str = "") -> Path:
    """Where a run keeps what its store does not hold yet: in `clep-state`, beside an SQLite file or in the directory.

    Args:
        uri: the store, as `tracking_uri` returns it.
        run_id: the run; empty for the folder of all runs.

    Example:
        >>> state_folder("sqlite:////data/mlflow.db", "0123abcd").as_posix()
        '/data/clep-state/0123abcd'
    """
    path, _ = sqlite_path(uri)
    return (Path.cwd() if path is None else path.parent) / "clep-state" / run_id


def is_server(uri: str) -> bool:
    """Whether a store is an MLflow server, which has the UI already."""
    return uri.startswith(("http://", "https://"))


def is_database(uri: str) -> bool:
    """Whether a store is a database with a server of its own, without MLflow's.

    Example:
        >>> is_database("postgresql+psycopg2://clep@db/mlflow"), is_database("sqlite:///mlflow.db")
        (True, False)
    """
    scheme, mark, _ = uri.partition("://")
    return bool(mark) and scheme.partition("+")[0] in _DATABASES


def ui_command(uri: str, run_id: str) -> str:
    """The shell command that shows a run or a comparison: it works where the command worked that made it.

    Args:
        uri: the store, as `tracking_uri` returns it.
        run_id: what to show; empty for the latest comparison.
    """
    words = ["clep", "ui", *filter(None, [run_id])]
    if uri != tracking_uri(None):
        words += ["--tracking", shown(uri)]
    return shlex.join(words)


def sync_command(uri: str) -> str:
    """The shell command that delivers what a store lacks.

    Args:
        uri: the store, as `tracking_uri` returns it.

    Example:
        >>> sync_command("http://localhost:5000")
        'clep sync tracking.uri=http://localhost:5000'
    """
    return shlex.join(["clep", "sync", *([] if uri == tracking_uri(None) else [f"tracking.uri={shown(uri)}"])])


def charts_link(experiment_id: str, run_filter: str = "", *, view: str = "") -> str:
    """The address within the UI of the charts of an experiment.

    Args:
        experiment_id: the experiment.
        run_filter: shows only the runs that MLflow finds by it.
        view: key of a stored view, which has a filter of its own.
    """
    chosen = {"viewStateShareKey": view} if view else {"searchFilter": run_filter} if run_filter else {}
    return f"#/experiments/{experiment_id}/runs?{urlencode(_TRAINING | {'compareRunsMode': 'CHART'} | chosen)}"


def run_link(experiment_id: str, run_id: str) -> str:
    """The address within the UI of the page of a run."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{urlencode(_TRAINING)}"


def curves_link(run_ids: Iterable[str], experiment_id: str, metric: str) -> str:
    """The address within the UI of a page that plots one metric of several runs over its steps."""
    fields: dict[str, object] = {
        "runs": list(run_ids),
        "experiments": [experiment_id],
        "metric": metric,
        "plot_metric_keys": [metric],
    }
    fields |= {"plot_layout": {"autosize": True, "xaxis": {}, "yaxis": {}}, "deselected_curves": []}
    query = {key: json.dumps(value, separators=(",", ":")) for key, value in fields.items()}
    return f"#/metric?{urlencode(query | {'x_axis': 'step', 'y_axis_scale': 'linear', 'line_smoothness': 1})}"


def sqlite_path(uri: str) -> tuple[Path | None, str]:
    """The file and the query (with `?`) of an SQLite address; the file is None for another kind of store."""
    scheme, _, rest = uri.partition("://")
    path, mark, query = rest.removeprefix("/").partition("?")
    return (Path(path), mark + query) if scheme.partition("+")[0] == "sqlite" else (None, "")


def shown(text: str) -> str:
    """The text without the credentials that an address in it may contain."""
    return masked(text)
