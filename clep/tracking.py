"""Everything that knows MLflow: where runs are stored, what metrics are called, how a run is written and read back.

Metrics are buffered and sent in few large batches: a call costs 2 ms on SQLite, 50 ms on a server, whatever its size.
MLflow's global state (active run, tracking URI) is never used: runs can be nested, and processes can share a store.
"""

import getpass
import json
import logging
import math
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from clep.errors import ConfigError, DivergenceError

# The metrics of a run. Step = index of the experience just trained, except for TRAIN_* (epoch or update).
ACCURACY_SEEN = "accuracy/seen"
ACCURACY_EPOCH = "accuracy/epoch"  # as accuracy/seen, after each epoch; step = epochs since the start
ACCURACY_AVERAGE = "accuracy/average"
ACCURACY_LEARNED = "accuracy/learned"
ACCURACY_LEARNED_BEFORE = "accuracy/learned_before_consolidation"
ACCURACY_EXPERIENCE = "accuracy/experience_{:02d}"  # .format(j)
FORGETTING_AVERAGE = "forgetting/average"
FORGETTING_EXPERIENCE = "forgetting/experience_{:02d}"  # .format(j)
FORGETTING_MAX_AVERAGE = "forgetting/max_average"
BACKWARD_TRANSFER = "backward_transfer"
FORWARD_TRANSFER = "forward_transfer"
SLEEP_ACCURACY_BEFORE = "sleep/accuracy_before"
SLEEP_ACCURACY_AFTER = "sleep/accuracy_after"
SLEEP_FIRING_RATE = "sleep/firing_rate_layer_{}"  # .format(layer)
SLEEP_WEIGHT_CHANGE = "sleep/weight_change_layer_{}"  # .format(layer)
MEMORY_EXEMPLARS = "memory/exemplars"
MEMORY_EXEMPLAR_BYTES = "memory/exemplar_bytes"
MEMORY_STATISTICS_BYTES = "memory/statistics_bytes"
TRAIN_LOSS = "train/loss"
TRAIN_ACCURACY = "train/accuracy"
RESIDUAL = "train/residual"  # of the relaxation, on the latest batch
FREE_STEPS = "train/free_steps"
UNSETTLED = "train/unsettled"  # share of batches whose free phase oscillated or diverged
HIDDEN_MAGNITUDE = "hidden/magnitude_layer_{}"  # mean |s|, one value per step of a free phase after training
HIDDEN_PARTICIPATION = "hidden/participation_layer_{}"  # participation ratio of the states over samples, likewise
FEEDBACK_ANGLE = "train/feedback_angle_layer_{}"  # degrees between forward and feedback weights
TIME_TRAIN = "time/train_seconds"
TIME_CONSOLIDATION = "time/consolidation_seconds"
TIME_EVAL = "time/eval_seconds"
FINAL_ACCURACY = "final/accuracy"
FINAL_FORGETTING = "final/forgetting"
FINAL_BACKWARD_TRANSFER = "final/backward_transfer"
FINAL_LEARNED_ACCURACY = "final/learned_accuracy"

_BATCH, _VALUE_LENGTH = 1000, 6000  # MLflow's limits: metrics in a request, characters in a parameter

DESCRIPTION_LENGTH = 7500  # of a run, in characters; MLflow cuts tags at 8 000
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI then opens on runs, not on traces

# MLflow reads these from the environment only; what the user has set stays.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # an unreachable server fails after 5 s instead of 4 minutes
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # creating a store is no news
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout holds results only
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

_INDEX = re.compile(r"\[(\d+)\]")  # MLflow has no brackets in names: `threshold[0]` is recorded as `threshold.0`

_logger = logging.getLogger(__name__)


def tracking_uri(uri: str | None) -> str:
    """Where runs are stored: `uri`, else `MLFLOW_TRACKING_URI`, else `mlflow.db` in the working directory.

    A relative SQLite path is made absolute, so that the result means the same store in every directory; an SQLite store
    in memory is refused, since no other process could read it.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path, query = _sqlite_path(uri)
    if path is None:
        return uri
    if str(path) in (".", ":memory:"):
        raise ConfigError(f"tracking.uri: expected the path of an SQLite file, as in sqlite:///mlflow.db, got `{uri}`.")
    return f"{uri.partition(':')[0]}:///{path.expanduser().absolute()}{query}"


def prepare(uri: str, experiment: str) -> str:
    """Open the store, creating it and the experiment if needed, and return the experiment's id.

    Call it once before any `Run`; any number of processes may do so at the same time. Artifacts of a new experiment
    in an SQLite store go to the folder `mlartifacts` next to the file; a server chooses for itself. A store that is
    damaged, unreachable or of another MLflow version, or a deleted experiment, is a ConfigError.
    """
    path, _ = _sqlite_path(uri)
    try:
        if path is None:
            return _experiment_id(uri, experiment, None)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A portable lock, released when its process dies: two processes that create a store at once leave it broken.
        with closing(sqlite3.connect(f"{path}.lock", timeout=120, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            sqlite3.connect(path).close()  # raises for a file that cannot be opened; MLflow would try for a minute
            return _experiment_id(uri, experiment, str(path.parent / "mlartifacts"))
    except Exception as error:  # whatever stops a store from opening: MLflow, SQLAlchemy, Alembic, the file system
        raise ConfigError(
            f"tracking.uri: the MLflow store `{_shown(uri)}` cannot be used ({_short(error)}). Check the address, or "
            "take another store, as in `tracking.uri=sqlite:///new.db`."
        ) from error


class Run:
    """One MLflow run, as a context manager.

    Leaving the block sends what is buffered and ends the run: FINISHED; KILLED on Ctrl-C and `SystemExit`; FAILED with
    the tag `error` on any other exception. Exceptions propagate.

    Args:
        uri, experiment_id: As `tracking_uri` and `prepare` return them.
        name: Shown in the UI, under the run `parent_run_id` if there is one.
        tags, params: By name; `flatten` turns a config into parameters.
    """

    def __init__(
        self,
        uri: str,
        experiment_id: str,
        name: str,
        *,
        tags: Mapping[str, Any],
        params: Mapping[str, Any],
        parent_run_id: str | None = None,
    ) -> None:
        self._mlflow = _mlflow()
        self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        self._uri, self._experiment_id, self._name = uri, experiment_id, name
        parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
        self._tags = {"mlflow.source.name": "clep", "mlflow.user": _user(), **parent}
        self._tags |= {key: str(value) for key, value in tags.items()}
        named = {_INDEX.sub(r".\1", key): str(value) for key, value in params.items()}
        self._params = [self._mlflow.entities.Param(key, value) for key, value in named.items()]
        self._metrics: list[Any] = []
        self.run_id = ""  # known inside the block

    def __enter__(self) -> Self:
        self.run_id = self._client.create_run(self._experiment_id, tags=self._tags, run_name=self._name).info.run_id
        try:
            self.flush()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            try:
                self.flush()
            except BaseException as lost:
                self._end(error or lost)
                raise
            self._end(error)
        except Exception as lost:
            if error is None:
                raise
            # The caller's exception is on its way and says more than a store that failed as well.
            _logger.warning("Run %s is incomplete in `%s`: %s", self.run_id, _shown(self._uri), _short(lost))

    def _end(self, cause: BaseException | None) -> None:
        if cause is None:
            end(self._uri, self.run_id, "FINISHED")
        elif isinstance(cause, KeyboardInterrupt | SystemExit):
            end(self._uri, self.run_id, "KILLED")
        else:
            end(self._uri, self.run_id, "FAILED", f"{type(cause).__name__}: {cause}")

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Buffer metrics of one step. None, NaN and infinities are left out: MLflow stores infinity as 1.8e308."""
        for name, value in metrics.items():
            self.log_series(name, [value], [step])

    def log_series(self, name: str, values: Iterable[float | None], steps: Iterable[int]) -> None:
        """Buffer one metric's points, one step a value; what `log` leaves out is left out."""
        now = int(time.time() * 1000)
        for value, step in zip(values, steps, strict=True):
            if value is not None and math.isfinite(value):
                self._metrics.append(self._mlflow.entities.Metric(name, float(value), now, int(step)))
        if len(self._metrics) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered; what cannot be sent stays buffered."""
        self._client.log_batch(self.run_id, self._metrics, self._params, synchronous=True)  # MLflow splits what is long
        self._metrics, self._params = [], []

    def artifact(self, path: str | Path) -> None:
        """Store a copy of a file under its own name."""
        self._client.log_artifact(self.run_id, str(path))

    def describe(self, markdown: str) -> None:
        """Set the description that the UI shows on the page of this run."""
        self._client.set_tag(self.run_id, "mlflow.note.content", markdown)

    def text(self, text: str, name: str) -> None:
        """Store a text as the file `name`."""
        self._client.log_text(self.run_id, text, name)


def end(uri: str, run_id: str, status: str, error: str = "") -> None:
    """Give a run its final status and an error its tag; by itself only for a run whose process died."""
    client = _mlflow().MlflowClient(tracking_uri=uri)
    if error:
        client.set_tag(run_id, "error", error[:500])
    client.set_terminated(run_id, status)


def provenance() -> dict[str, str]:
    """Tags that say which code runs: `version`, and `git_commit` (`-dirty` if changed) in a git checkout of clep."""
    tags = {"version": metadata.version("clep")}
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # the first command fails in a repository that merely surrounds an installed clep
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        tags["git_commit"] = subprocess.run(describe, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return tags


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """A nested configuration as MLflow parameters: dotted names, values as text of at most 6 000 characters."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{name}": text for name, text in flatten(value).items()}
        else:
            flat[str(key)] = str(value)[:_VALUE_LENGTH]
    return flat


def artifacts(uri: str, run_id: str, name: str) -> Path:
    """Copy one artifact of a run into a new temporary folder, which is then the caller's; ConfigError if it cannot."""
    try:
        path, _ = _sqlite_path(uri)
        if path is not None and not path.is_file():  # MLflow would create it
            raise FileNotFoundError(f"there is no file {path}")
        client = _mlflow().MlflowClient(tracking_uri=uri)
        return Path(client.download_artifacts(run_id, name, tempfile.mkdtemp(prefix="clep-")))
    except Exception as error:  # MLflow passes on whatever its many artifact stores raise
        raise ConfigError(
            f"`{name}` of run `{run_id}` cannot be read from `{_shown(uri)}` ({_short(error)}). Check the run id and "
            "`tracking.uri`."
        ) from error


def beside(uri: str, name: str) -> str:
    """Address of an SQLite file next to the store, or in the working directory if the store is a server."""
    path, _ = _sqlite_path(uri)
    return f"sqlite:///{(Path.cwd() if path is None else path.parent) / name}"


class Found(NamedTuple):
    """A run that has ended and its tags."""

    run_id: str
    tags: dict[str, str]


def finished(uri: str, experiment_id: str, tag: str) -> dict[str, Found]:
    """Value of a tag -> the latest finished run that has it."""
    return _found(uri, experiment_id, tag, "attributes.status = 'FINISHED'")


def diverged(uri: str, experiment_id: str, tag: str) -> dict[str, Found]:
    """Value of a tag -> the latest run that has it and ended in a `DivergenceError`; its tag `error` is the message."""
    kind = DivergenceError.__name__
    return _found(uri, experiment_id, tag, f"attributes.status = 'FAILED' AND tags.error LIKE '{kind}:%'")


def _found(uri: str, experiment_id: str, tag: str, condition: str) -> dict[str, Found]:
    client = _mlflow().MlflowClient(tracking_uri=uri)
    found: dict[str, Found] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"{condition} AND tags.`{tag}` != ''",
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            found.setdefault(run.data.tags[tag], Found(run.info.run_id, dict(run.data.tags)))
        token = page.token
        if not token:
            return found


def ui_command(uri: str) -> str:
    """The shell command that shows the runs, in any working directory; for a server its address."""
    shown = _shown(uri)
    return shown if uri.startswith(("http://", "https://")) else f"mlflow ui --backend-store-uri {shlex.quote(shown)}"


def curves_link(run_ids: Iterable[str], experiment_id: str, metric: str) -> str:
    """The address, within the UI, of a page that shows one metric of several runs as curves over its steps."""
    fields: dict[str, object] = {
        "runs": list(run_ids),
        "experiments": [experiment_id],
        "metric": metric,
        "plot_metric_keys": [metric],
    }
    fields |= {"plot_layout": {"autosize": True, "xaxis": {}, "yaxis": {}}, "deselected_curves": []}
    query = {key: json.dumps(value, separators=(",", ":")) for key, value in fields.items()}
    return f"#/metric?{urlencode(query | {'x_axis': 'step', 'y_axis_scale': 'linear', 'line_smoothness': 1})}"


def _mlflow() -> ModuleType:
    """Import MLflow with our settings; only here, because the import takes 2 s and `clep --help` does without it."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import mlflow

    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())  # in case it was imported before
    return mlflow


def _experiment_id(uri: str, name: str, artifact_location: str | None) -> str:
    mlflow = _mlflow()
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location, tags=_EXPERIMENT_TAGS))
        except mlflow.MlflowException:
            found = client.get_experiment_by_name(name)  # a server has no lock: another process may have been faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise LookupError(f"`{name}` was deleted: restore id {found.experiment_id} or change `tracking.experiment`")
    return str(found.experiment_id)


def _sqlite_path(uri: str) -> tuple[Path | None, str]:
    """The file of an SQLite address and its query (with `?`), or None for another kind of store."""
    scheme, _, rest = uri.partition("://")
    path, mark, query = rest.removeprefix("/").partition("?")
    return (Path(path), mark + query) if scheme.partition("+")[0] == "sqlite" else (None, "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        return "unknown"


def _shown(text: str) -> str:
    """The text without the password that an address in it may hold."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)


def _short(error: BaseException) -> str:
    return _shown(str(error).strip() or type(error).__name__).splitlines()[0][:300]
