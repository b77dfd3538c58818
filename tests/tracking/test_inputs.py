"""Data sets as inputs of a run, with their digests."""

import json

import numpy as np
import pytest

from clep.tracking import Input

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1

X, Y = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3), np.array([1, 0, 1, 0])


def test_a_run_names_its_data_with_role_digest_and_shape(store, experiment, client):
    with new_run(store, experiment) as run:
        run.inputs([Input("mine", "training", "1a2b", X, Y), Input("mine", "evaluation", "3c4d", X[:2], Y[:2])])
    inputs = {each.tags[0].value: each.dataset for each in client.get_run(run.run_id).inputs.dataset_inputs}
    assert set(inputs) == {"training", "evaluation"}
    assert inputs["training"].name == "mine"
    assert inputs["training"].digest == "1a2b"
    assert json.loads(inputs["evaluation"].profile)["num_rows"] == 2
    spec = json.loads(inputs["training"].schema)["mlflow_tensorspec"]["features"][0]["tensor-spec"]
    assert spec == {"dtype": "float32", "shape": [-1, 1, 2, 3]}


def test_mlflow_reads_the_source_of_an_input(store, experiment, client):
    import mlflow.data

    with new_run(store, experiment) as run:
        run.inputs([Input("mine", "training", "1a2b", X, Y)])
    (found,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert mlflow.data.get_source(found.dataset).to_dict()["tags"]["stream"] == "mine"
