"""What the tests of several files of this room use."""

from clep import tracking


def new_run(store, experiment, name="a run", tags=None, params=None, parent=None):
    return tracking.Run(store, experiment, name, tags=tags or {}, params=params or {}, parent_run_id=parent)


def points(client, run_id, name):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def text_of(uri, run_id, name):
    with tracking.artifacts(uri, run_id, name) as path:
        return path.read_text()
