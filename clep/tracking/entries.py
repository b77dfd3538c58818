"""What can be written to a store, an entry each: how it is sent, and how it is sent once more without doubling it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clep.tracking.journal import Entry
from clep.tracking.store import load_mlflow

CREATED = "clep.created"
"""Tag of every run: a key of its own, by which it is found if the answer with its id was lost."""


def create(client: Any, entry: Entry, *, again: bool = False) -> str:
    """Create a run and return its id; if it may have been created before, only if it was not."""
    if again:
        condition = f"tags.`{CREATED}` = '{entry['tags'][CREATED]}'"
        if found := client.search_runs([entry["experiment_id"]], condition):
            return str(found[0].info.run_id)
    keys = "experiment_id", "start_time", "tags", "run_name"
    return str(client.create_run(**{key: entry[key] for key in keys}).info.run_id)


def send(client: Any, run_id: str, entry: Entry, files: Path | None = None, *, again: bool = False) -> None:
    """Send an entry of a run that exists.

    Args:
        client: MLflow's client of the store.
        run_id: the run.
        entry: what to send.
        files: the folder with its files, if it has any.
        again: whether it may have been sent before, and the answer was lost.
    """
    _SENDERS[entry["kind"]](client, run_id, entry, files, again)


def _batch(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    entities = load_mlflow().entities
    metrics = [entities.Metric(*point) for point in entry["metrics"]]
    if again:
        keys = {metric.key for metric in metrics}
        known = {
            (point.key, point.value, point.timestamp, point.step)
            for key in keys
            for point in client.get_metric_history(run_id, key)
        }
        metrics = [each for each in metrics if (each.key, each.value, each.timestamp, each.step) not in known]
    params = [entities.Param(key, value) for key, value in entry["params"].items()]
    client.log_batch(run_id, metrics, params, synchronous=True)  # MLflow splits what is long


def _files(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    if files is not None:
        client.log_artifacts(run_id, str(files))
    elif entry["whole"]:
        client.log_artifacts(run_id, entry["source"])
    else:
        client.log_artifact(run_id, entry["source"])


def _text(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    client.log_text(run_id, entry["text"], entry["name"])


def _inputs(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    entities = load_mlflow().entities
    found = []
    for values in entry["inputs"]:
        fields = {key: value for key, value in values.items() if key != "context"}
        tags = [entities.InputTag("mlflow.data.context", values["context"])]
        found.append(entities.DatasetInput(entities.Dataset(**fields), tags))
    client.log_inputs(run_id, found)


def _tag(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    client.set_tag(run_id, entry["key"], entry["value"])


def _view(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    client.set_experiment_tag(entry["experiment_id"], entry["key"], entry["value"])


def _reopen(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    client.update_run(run_id, status="RUNNING", name=entry["name"])
    if "error" in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, "error")


def _register(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    name = entry["name"]
    if again and client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        return
    exceptions = load_mlflow().exceptions
    try:
        client.create_registered_model(name)
    except exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{entry['folder']}"
    client.create_model_version(name, source, run_id=run_id, await_creation_for=0)


def _end(client: Any, run_id: str, entry: Entry, files: Path | None, again: bool) -> None:
    client.set_terminated(run_id, entry["status"], entry["end_time"])


_SENDERS: dict[str, Callable[[Any, str, Entry, Path | None, bool], None]] = {
    "batch": _batch,
    "files": _files,
    "text": _text,
    "inputs": _inputs,
    "tag": _tag,
    "view": _view,
    "reopen": _reopen,
    "register": _register,
    "end": _end,
}
