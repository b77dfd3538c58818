"""What the tests of several files of this room use."""

from clep import tracking


def new_run(store, experiment, name="a run", tags=None, params=None, parent=None):
    return tracking.Run(store, experiment, name, tags=tags or {}, params=params or {}, parent_run_id=parent)


def points(client, run_id, name):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def text_of(uri, run_id, name):
    with tracking.artifacts(uri, run_id, name) as path:
        return path.read_text()


def stored(uri, run_id):
    """Status, parameters, files and metrics of a run, but for what depends on the time it took."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    names = [name for name in run.data.metrics if not name.startswith("time/")]
    found = {name: [(p.step, p.value) for p in client.get_metric_history(run_id, name)] for name in names}
    times = {name for name in run.data.metrics if name.startswith("time/")}
    files = {file.path for file in client.list_artifacts(run_id)}
    params = {key: value for key, value in run.data.params.items() if key != "tracking.uri"}
    return run.info.status, found, times, params, files, len(run.inputs.dataset_inputs)
