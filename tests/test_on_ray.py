"""Cells as tasks of a Ray cluster: the same results as one after another, and what is lost with a node is run again."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest

import clep
from clep import tracking
from clep.errors import ConfigError, MissingExtraError
from clep.on_ray import engine
from clep.schema import EngineSection
from tests.pipelines.test_deaths import WAITS

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`")

SMALL = ["stream.experiences=2", "stream.samples_per_experience=20", "stream.evaluation_samples=20"]
SMALL += ["learner.epochs=1", "strategy.sleep_replay.calibration=published"]
SMALL += ["strategy.sleep_replay.steps=50", "seeds=[0]", "controls=[]"]


@pytest.fixture
def cluster():
    """A head without room for tasks, where the command is, and two nodes for one task each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield made
    made.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(MissingExtraError, match=r"^engine: `ray` is not installed; .*\[ray\]"),
        engine(EngineSection(name="ray"), 1),
    ):
        pass


@pytest.mark.slow
@with_ray
def test_an_address_without_a_cluster_is_refused():
    with (
        pytest.raises(ConfigError, match=r"^engine\.address: no Ray cluster answers at 127\.0\.0\.1:1 "),
        engine(EngineSection(name="ray", address="127.0.0.1:1"), 1),
    ):
        pass


def node_of(process, cluster):
    """The node that a process belongs to: the one whose raylet started it."""
    while process > 1:
        for node in cluster.worker_nodes:
            if process in [each.process.pid for each in node.all_processes["raylet"]]:
                return node
        with open(f"/proc/{process}/stat") as file:
            process = int(file.read().rpartition(")")[2].split()[1])
    raise AssertionError("no node")


@pytest.mark.slow
@with_ray
@pytest.mark.timeout(900)
def test_a_lost_node_costs_its_cells_only_and_results_are_those_of_one_after_another(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "waits.py").write_text(WAITS)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-m", "clep", "compare", "--engine", "ray", f"engine.address={cluster.address}"]
    words = [*SMALL, f"tracking.uri={uri}", "cells=[[naive],[sleep_replay],['waits:Waits']]"]
    process = subprocess.Popen(
        [*command, *words], cwd=tmp_path, env={**os.environ, "TMPDIR": "/tmp"}, stderr=subprocess.PIPE
    )
    while not (waiting := list(tmp_path.glob("waits-*"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    worker = int(waiting[0].name.removeprefix("waits-"))
    cluster.remove_node(node_of(worker, cluster), allow_graceful=False)
    (tmp_path / "go").touch()
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    runs = [run for run in tracking.runs_of(uri) if "cell" in run.tags]
    ended = sorted((run.tags["cell"], run.status) for run in runs)
    assert [status for cell, status in ended if cell == "waits:Waits"].count("FINISHED") == 1
    assert ("waits:Waits", "FAILED") in ended
    assert {("naive", "FINISHED"), ("sleep_replay", "FINISHED")} <= set(ended)
    parent = next(run for run in tracking.runs_of(uri) if "comparison" in run.tags)
    there = clep.load_comparison(parent.run_id, tracking_uri=uri)
    here = clep.compare(None, [*words, "workers=0"])
    assert [run.accuracy_matrix for run in there.runs] == [run.accuracy_matrix for run in here.runs]
    assert [run.logged for run in there.runs] == [run.logged for run in here.runs]


@pytest.mark.slow
@with_ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_closes_the_runs_and_leaves_no_process(tmp_path, number):
    (tmp_path / "waits.py").write_text(WAITS)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["cells=[['waits:Waits']]", "controls=[]", "seeds=[0]", f"tracking.uri={uri}", "stream.experiences=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "clep", "compare", "--engine", "ray", "workers=1", *words],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": "/tmp"},
    )
    while not list(tmp_path.glob("waits-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    assert {run.status for run in tracking.runs_of(uri)} == {"KILLED"}
    left = subprocess.run(["ps", "-o", "pid=,stat=,args=", "-s", str(process.pid)], capture_output=True, text=True)
    assert [line for line in left.stdout.splitlines() if " Z" not in line] == []
