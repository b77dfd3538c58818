"""Every test: one thread, fixed seeds, its own working folder, data folder and tracking store."""

import gc
import os
import sys

import pytest
import torch

os.environ["CLEP_PROGRESS"] = "0"


_MANY = 100
_loaded = 0


def pytest_runtest_setup():
    """What has been imported is kept from the garbage collector. Every run ends with a collection, which would look at
    all objects of all libraries, and take most of a second."""
    global _loaded
    if len(sys.modules) > _loaded + _MANY:
        _loaded = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # otherwise torch's compiler reports it all as leaked when this process ends


@pytest.fixture(autouse=True)
def _isolated(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # One for all: it holds digests of files by their places, and MLflow's empty store, which takes a second to make.
    monkeypatch.setenv("CLEP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def double():
    """float64 for everything that is created in the test: what oracle tests run in."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
