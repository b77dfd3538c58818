"""Runs are written to a real MLflow store and read back with MLflow's own client."""

import math
from pathlib import Path

import pytest

from clep import metric_names, tracking

from .runs import new_run, points

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def test_a_run_is_read_back_as_it_was_written(store, experiment, client, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"\x00\x01")
    params = tracking.flatten({"learner": {"lr": 0.1}, "seed": 0})
    with new_run(store, experiment, "comparison") as parent:
        tags = {"strategies": "naive", "seed": 0}
        with new_run(store, experiment, "naive, seed 0", tags, params, parent.run_id) as run:
            run.log(
                {metric_names.ACCURACY_SEEN: 0.75, metric_names.ACCURACY_EXPERIENCE.format(experience=3): 0.5}, step=2
            )
            run.log({metric_names.ACCURACY_SEEN: 0.5}, step=3)
            run.log_series(metric_names.TRAIN_LOSS, [2.0, 1.0, 0.5], [0, 10, 20])
            run.artifact(tmp_path / "weights.pt")
            run.text("seed: 0\n", "config.yaml")

    read = client.get_run(run.run_id)
    assert points(client, run.run_id, "accuracy/seen") == [(2, 0.75), (3, 0.5)]
    assert points(client, run.run_id, "accuracy/experience_03") == [(2, 0.5)]
    assert points(client, run.run_id, "train/loss") == [(0, 2.0), (10, 1.0), (20, 0.5)]
    assert read.data.params == {"learner.lr": "0.1", "seed": "0"}
    assert read.data.tags.items() >= {
        ("strategies", "naive"),
        ("seed", "0"),
        ("mlflow.parentRunId", parent.run_id),
        ("mlflow.runName", "naive, seed 0"),
        ("mlflow.source.name", "clep"),
    }
    assert read.data.tags["mlflow.user"]
    assert "mlflow.parentRunId" not in client.get_run(parent.run_id).data.tags
    assert read.info.experiment_id == experiment
    assert read.info.status == "FINISHED"
    assert sorted(file.path for file in client.list_artifacts(run.run_id)) == ["config.yaml", "weights.pt"]
    with tracking.artifacts(store, run.run_id, "weights.pt") as copy:
        assert copy.read_bytes() == b"\x00\x01"
    assert not copy.exists()


def test_artifacts_lie_next_to_the_store_and_not_in_the_working_directory(store, experiment, tmp_path):
    with new_run(store, experiment) as run:
        run.text("hello", "note.txt")
    folder = Path(store.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert [path.read_text() for path in folder.rglob("note.txt") if run.run_id in str(path)] == ["hello"]
    assert list(tmp_path.iterdir()) == []


def test_every_metric_name_is_accepted_by_mlflow(store, experiment, client):
    fields = {"layer": 7, "experience": 7, "measure": "magnitude", "when": "before", "cell": "a b", "number": "n"}
    names = {name.format(**fields) for name in metric_names.METRICS}
    assert len(names) > 40
    with new_run(store, experiment) as run:
        run.log(dict.fromkeys(names, 1.0), step=0)
    assert set(client.get_run(run.run_id).data.metrics) == names


def test_undefined_and_infinite_values_are_left_out(store, experiment, client):
    values = {"none": None, "nan": math.nan, "inf": math.inf, "minus": -math.inf, "zero": 0.0}
    with new_run(store, experiment) as run:
        run.log(values, step=0)
        run.log_series("series", [1.0, math.nan, 3.0], [0, 1, 2])
    assert client.get_run(run.run_id).data.metrics.keys() == {"zero", "series"}
    assert points(client, run.run_id, "series") == [(0, 1.0), (2, 3.0)]


def test_a_series_with_fewer_steps_than_values_is_refused(store, experiment):
    with pytest.raises(ValueError, match="shorter"), new_run(store, experiment) as run:
        run.log_series("series", [1.0, 2.0], [0])


def test_more_points_and_parameters_than_one_batch_holds_all_arrive(store, experiment, client):
    """MLflow's stores refuse batches of more than 1 000 entities or 100 parameters."""
    with new_run(store, experiment, params={f"p{k}": k for k in range(250)}) as run:
        run.log_series("long", range(2500), range(2500))
        run.log({f"wide_{k}": k for k in range(1200)}, step=0)
    assert points(client, run.run_id, "long") == [(k, k) for k in range(2500)]
    read = client.get_run(run.run_id)
    assert len(read.data.metrics) == 1201
    assert read.data.params == {f"p{k}": str(k) for k in range(250)}


def test_metrics_are_sent_in_few_batches_and_visible_after_a_flush(store, experiment, client, monkeypatch):
    with new_run(store, experiment) as run:
        calls = []
        send = run._delivery._client.log_batch
        monkeypatch.setattr(run._delivery._client, "log_batch", lambda *a, **k: (calls.append(1), send(*a, **k)))
        for step in range(300):
            run.log({"a": step, "b": step}, step=step)
        assert calls == []
        run.flush()
        assert len(calls) == 1
        assert len(points(client, run.run_id, "a")) == 300


def test_flatten_makes_dotted_names_and_cuts_values_to_the_length_mlflow_accepts(store, experiment, client):
    config = {"stream": {"name": "digits", "order": [1, 0]}, "strategy": {}, "none": None, "long": "x" * 9000}
    flat = tracking.flatten(config)
    assert flat == {
        "stream.name": "digits",
        "stream.order": "[1, 0]",
        "strategy": "{}",
        "none": "None",
        "long": "x" * 6000,
    }
    with new_run(store, experiment, params=flat) as run:
        pass
    assert client.get_run(run.run_id).data.params == flat
    assert tracking.flatten({}) == {}


def leave(run, exception, metric="a"):
    """Log one point and leave the run's block by an exception."""
    with run:
        run.log({metric: 1.0}, step=4)
        raise exception


@pytest.mark.parametrize(
    ("exception", "status", "error"),
    [
        (KeyboardInterrupt(), "KILLED", None),
        (SystemExit(3), "KILLED", None),
        (ValueError("the loss is not finite"), "FAILED", "ValueError: the loss is not finite"),
        (RuntimeError("x" * 9000), "FAILED", "RuntimeError: " + "x" * 486),
    ],
)
def test_the_status_says_how_the_block_was_left_and_nothing_buffered_is_lost(
    store, experiment, client, exception, status, error
):
    run = new_run(store, experiment)
    with pytest.raises(type(exception)) as caught:
        leave(run, exception)
    assert caught.value is exception
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags.get("error")) == (status, error)
    assert read.info.end_time is not None
    assert points(client, run.run_id, "a") == [(4, 1.0)]


def test_the_callers_exception_wins_when_the_store_fails_as_well(store, experiment, client, caplog):
    run = new_run(store, experiment)
    with pytest.raises(ZeroDivisionError):
        leave(run, ZeroDivisionError("first"), metric="a name * that MLflow refuses")
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags["error"]) == ("FAILED", "ZeroDivisionError: first")
    assert f"Run {run.run_id} is incomplete" in caplog.text


def test_a_run_whose_metrics_could_not_be_stored_is_not_finished(store, experiment, client):
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="Invalid"), new_run(store, experiment) as run:
        run.log({"a name * that MLflow refuses": 1.0}, step=0)
    assert client.get_run(run.run_id).info.status == "FAILED"


def test_parameters_that_cannot_be_stored_leave_no_run_running(store, experiment, client):
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="Invalid"), new_run(store, experiment, params={"a * name": 1}):
        pytest.fail("the block must not be entered")
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]


def test_a_run_whose_process_died_is_ended_from_outside(store, experiment, client):
    run = new_run(store, experiment).__enter__()
    assert client.get_run(run.run_id).info.status == "RUNNING"
    tracking.end(store, run.run_id, "FAILED", "killed by signal 9")
    read = client.get_run(run.run_id)
    assert (read.info.status, read.data.tags["error"]) == ("FAILED", "killed by signal 9")
