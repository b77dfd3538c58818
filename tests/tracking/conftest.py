"""One store for all tests of this room, an experiment for each test, and MLflow's own client to read them back."""

import pytest

from clep import tracking


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The address of one SQLite store for the whole room: MLflow takes 3 s to create one."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('a store 100%')}/mlflow.db"
    tracking.prepare(uri, "shared")
    return uri


@pytest.fixture
def experiment(store, request):
    return tracking.prepare(store, request.node.name)


@pytest.fixture
def client(store):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


@pytest.fixture
def small():
    """A configuration small enough for tests, without a store."""
    return {
        "stream": {"samples_per_experience": 64},
        "network": {"hidden": [32]},
        "learner": {"epochs": 1, "lr": 0.05},
        "controls": [],
    }
