"""`clep run`: numbers, MLflow record, determinism, and every way in which a run can end."""

import csv
import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import weakref

import mlflow
import numpy as np
import pytest
import torch

import clep
from clep import config, metrics, tracking
from clep.build import build_stream, build_training
from clep.errors import ConfigError, DataError, DivergenceError
from tests.datasets.test_image_folder import write
from tests.oracles.stores import empty_store

from .conftest import SMALL


def client(result):
    return mlflow.MlflowClient(tracking_uri=result.tracking_uri)


def history(result, name):
    return {m.step: m.value for m in client(result).get_metric_history(result.run_id, name)}


@pytest.fixture(scope="module")
def slept(tmp_path_factory):
    """One run that the tests below only look at."""
    tracked = {"tracking": {"uri": empty_store(tmp_path_factory.mktemp("slept"))}}
    watched = {"learner": SMALL["learner"] | {"hidden_states": True}}
    return clep.run(SMALL | watched | tracked | {"strategies": ["awake_rehearsal", "sleep_replay"]})


def test_every_number_of_a_run_follows_from_its_accuracy_matrix(slept):
    matrix = slept.matrix
    assert matrix.shape == (5, 5)
    sizes = [len(e) for e in clep.stream("digits", seed=0).test]
    assert slept.accuracy == pytest.approx(metrics.seen_accuracy(matrix, sizes))
    assert slept.forgetting == pytest.approx(np.mean([matrix[j, j] - matrix[4, j] for j in range(4)]))
    assert slept.backward_transfer == pytest.approx(-slept.forgetting)
    assert slept.learned_accuracy == pytest.approx(np.trace(matrix) / 5)
    assert slept.accuracy_seen[-1] == slept.accuracy
    before = slept.matrix_before
    since_training = [before[j, j] - matrix[4, j] for j in range(4)]
    assert slept.forgetting_since_training == pytest.approx(np.mean(since_training))
    assert slept.learned_in_training == pytest.approx(np.trace(before) / 5)
    assert not np.array_equal(before, matrix)  # sleep changes something
    assert slept.sizes == sizes
    assert [label for labels in slept.classes for label in labels] == list(clep.stream("digits", seed=0).class_order)
    assert slept.updates == 5 * 2 + 4 * 2  # two batches of 32 in each experience, two more of rehearsal from the second
    labels = np.concatenate([e.samples.y for e in clep.stream("digits", seed=0).test])
    assert slept.chance == pytest.approx(np.bincount(labels).max() / len(labels))


def test_mlflow_holds_the_contract_of_metrics_with_the_experience_as_step(slept):
    assert history(slept, "accuracy/seen") == pytest.approx(dict(enumerate(slept.accuracy_seen)))
    for j in range(5):
        column = {i: slept.matrix[i, j] for i in range(5)}
        assert history(slept, f"accuracy/experience_{j:02d}") == pytest.approx(column)
    assert history(slept, "forgetting/experience_01") == pytest.approx(
        {i: slept.matrix[1, 1] - slept.matrix[i, 1] for i in range(2, 5)}
    )
    assert 0 not in history(slept, "forgetting/average")
    for name in (
        "accuracy/average",
        "accuracy/learned",
        "consolidation/accuracy_before",
        "consolidation/accuracy_after",
        "sleep/accuracy_before",
        "sleep/accuracy_after",
        "sleep/firing_rate_layer_1",
        "sleep/weight_change_layer_2",
        "memory/exemplars",
        "memory/exemplar_bytes",
        "memory/statistics_bytes",
        "time/train_seconds",
        "time/consolidation_seconds",
        "time/eval_seconds",
    ):
        assert sorted(history(slept, name)) == [0, 1, 2, 3, 4], name
    assert sorted(history(slept, "forward_transfer")) == [1, 2, 3, 4]
    assert sorted(history(slept, "forgetting/max_average")) == [1, 2, 3, 4]
    steps = sorted(history(slept, "train/loss"))
    assert len(steps) >= 10
    data = client(slept).get_run(slept.run_id).data
    assert data.metrics["final/accuracy"] == slept.accuracy
    assert data.metrics["final/forgetting_since_training"] == slept.forgetting_since_training
    assert data.metrics["final/learned_accuracy"] == slept.learned_accuracy
    assert history(slept, "final/accuracy") == {0: slept.accuracy}
    assert data.metrics["memory/statistics_bytes"] >= 64 * 4  # the mean input
    assert data.tags["strategies"] == "awake_rehearsal+sleep_replay"
    assert data.tags["seed"] == "0"
    assert {"stream", "network", "class_order", "version", "strategy.sleep_replay.feedback"} <= set(data.tags)
    assert data.params["learner.lr"] == "0.05"
    assert data.params["strategy.sleep_replay.steps"] == "200"


def test_artifacts_hold_the_config_the_matrix_a_plot_and_a_checkpoint(slept, tmp_path):
    names = {artifact.path for artifact in client(slept).list_artifacts(slept.run_id)}
    pictures = {"report.html", "hidden_states.png"}
    matrices = {"accuracy_matrix.csv", "accuracy_before_consolidation.csv"}
    assert names == pictures | matrices | {"config.yaml", "model", "result.json"}
    path = client(slept).download_artifacts(slept.run_id, "accuracy_matrix.csv", str(tmp_path))
    with open(path) as file:
        rows = list(csv.reader(file))
    np.testing.assert_allclose(np.array(rows[-1][-5:], dtype=float), slept.matrix[-1])


def test_the_hidden_states_of_a_free_phase_are_recorded_at_each_of_its_steps(slept):
    """Magnitudes of units in [0, 1], of which at most as many vary as there are."""
    magnitude, dimensions = history(slept, "hidden/magnitude_layer_1"), history(slept, "hidden/participation_layer_1")
    steps = clep.load(slept.run_id, tracking_uri=slept.tracking_uri).network.spec.free_steps
    assert sorted(magnitude) == sorted(dimensions) == list(range(1, steps + 1))
    assert all(0.0 < value < 1.0 for value in magnitude.values())
    assert all(1.0 <= value <= 64.0 for value in dimensions.values())
    assert not history(slept, "hidden/magnitude_layer_2")


def test_the_stored_config_reproduces_the_run_to_the_bit(slept, tmp_path):
    path = client(slept).download_artifacts(slept.run_id, "config.yaml", str(tmp_path))
    again = clep.run(path)
    assert again.accuracy_matrix == slept.accuracy_matrix
    first, second = (clep.load(r.run_id, tracking_uri=r.tracking_uri) for r in (slept, again))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_loaded_learner_has_the_final_accuracy_of_its_run(slept):
    learner = clep.load(slept.run_id, tracking_uri=slept.tracking_uri)
    hits = [float((learner(e.samples.x).argmax(1) == e.samples.y).float().mean()) for e in clep.stream("digits").test]
    assert hits == pytest.approx(slept.accuracy_matrix[-1])


def test_the_json_of_a_run_has_no_nan_even_for_joint_training(small):
    values = json.loads(json.dumps(clep.run(small | {"strategies": ["joint"]}).to_json(), allow_nan=False))
    assert values["forgetting"] is None
    assert values["learned_accuracy"] is None
    assert values["accuracy_matrix"][:4] == [[None] * 5] * 4
    assert all(0 <= v <= 1 for v in values["accuracy_matrix"][4])
    assert set(values["seconds"]) == {"train", "consolidation", "eval", "total"}


def test_a_run_gives_back_the_callers_random_state_and_threads(small):
    before = torch.get_rng_state(), random.getstate()
    torch.set_num_threads(2)
    clep.run(small)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_the_data_of_a_run_are_gone_after_it(small, monkeypatch):
    """Without the garbage collector's own visits, which come late: it counts objects and not bytes."""
    from clep import datasets

    load, images = datasets.load, []

    def watched(*args, **kwargs):
        data = load(*args, **kwargs)
        images.append(weakref.ref(data.x_train))
        return data

    monkeypatch.setattr(datasets, "load", watched)
    gc.disable()
    try:
        clep.run(small)
        assert [image() for image in images] == [None]
    finally:
        gc.enable()


def test_test_labels_reach_no_weight(small, monkeypatch):
    """Permuting the test labels changes accuracies and not one bit of the final weights."""
    from clep import datasets

    chosen = small | {"strategies": ["awake_rehearsal", "sleep_replay"]}
    honest = clep.run(chosen)
    load = datasets.load

    def permuted(*args, **kwargs):
        data = load(*args, **kwargs)
        data.y_test.copy_(data.y_test.roll(1))
        return data

    monkeypatch.setattr(datasets, "load", permuted)
    blind = clep.run(chosen)
    assert blind.accuracy_matrix != honest.accuracy_matrix
    first, second = (clep.load(r.run_id, tracking_uri=r.tracking_uri) for r in (honest, blind))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("strategies", [["sleep_replay"], ["joint"]])
def test_measuring_every_epoch_changes_nothing_else(strategies, small):
    """The evaluations run free phases of their own: they must change neither the weights nor what is reported of the
    last training batch. The accuracy after the last epoch is the accuracy before consolidation."""
    chosen = small | {"strategies": strategies, "learner": {"epochs": 3, "lr": 0.05}}
    plain = clep.run(chosen)
    measured = clep.run(chosen | {"learner": chosen["learner"] | {"evaluate_epochs": True}})
    assert measured.accuracy_matrix == plain.accuracy_matrix
    assert (measured.residual, measured.unsettled) == (plain.residual, plain.unsettled)
    assert measured.residual > 0.0
    assert plain.accuracy_epochs == []
    epochs = measured.accuracy_epochs
    assert len(epochs) == (3 if strategies == ["joint"] else 15)
    assert history(measured, "accuracy/epoch") == pytest.approx(dict(enumerate(epochs, start=1)))
    if strategies == ["joint"]:
        assert epochs[-1] == pytest.approx(measured.accuracy)
    else:
        before = history(measured, "sleep/accuracy_before")
        assert epochs[2::3] == pytest.approx([before[i] for i in range(5)])


def test_a_diverging_run_is_failed_in_mlflow_with_what_came_before(small):
    with pytest.raises(DivergenceError, match=r"diverged at experience 0, .*connections"):
        clep.run(small | {"learner": {"lr": 1.0, "weight_decay": 1e12}})
    store = mlflow.MlflowClient(tracking_uri=small["tracking"]["uri"])
    (run,) = store.search_runs([store.get_experiment_by_name("clep").experiment_id])
    assert run.info.status == "FAILED"
    assert "diverged at experience 0" in run.data.tags["error"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ["slep_replay"]}, r"unknown strategy `slep_replay`; did you mean `sleep_replay`"),
        ({"strategies": ["avalanche.training:DER"]}, r"is an Avalanche template, not a plugin"),
        ({"strategy": {"naive": {"speed": 1}}}, r"strategy\.naive\.speed: unknown key"),
        (
            {"strategies": ["sleep_replay"], "strategy": {"sleep_replay": {"decay": 2.0}}},
            r"sleep_replay\.decay: exp",
        ),
        (
            {"strategies": ["ewc"], "learner": {"gradient": "cost"}},
            r"learner\.gradient: CostNudging cannot .* EWCPlugin",
        ),
        ({"stream": {"experiences": 11}}, r"stream\.experiences: expected an integer in \[1, 10\]"),
        ({"network": {"neuron": "hard_sigmiod"}}, r"network\.neuron: unknown neuron"),
        ({"device": "cuda"}, r"device: `cuda` was asked for"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_recorded(changes, message, small, tmp_path):
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match=message):
        clep.run(small | changes, [f"tracking.uri=sqlite:///{tmp_path}/new.db"])
    assert not (tmp_path / "new.db").exists()


def test_missing_data_are_refused_with_the_path_and_the_way_out(small, tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte"):
        clep.run(small | {"stream": "mnist", "data": {"root": str(tmp_path), "download": False}})


def test_a_users_own_npz_file_is_a_stream(small, tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.random((4, 12))
    y = np.repeat(np.arange(4), 50)
    x = (centres[y] + 0.05 * rng.standard_normal((200, 12))).clip(0, 1).astype(np.float32)
    np.savez(tmp_path / "own.npz", x_train=x[::2], y_train=y[::2], x_test=x[1::2], y_test=y[1::2])
    stream = {"name": "npz", "path": str(tmp_path / "own.npz"), "experiences": 2}
    result = clep.run(small | {"stream": stream, "learner": {"epochs": 20, "lr": 0.1}, "strategies": ["joint"]})
    assert result.accuracy > 0.95


def test_ctrl_c_ends_the_run_as_killed_with_what_it_has_logged(tmp_path):
    """The signal arrives in the middle of a fit, where Lightning would turn it into exit code 1."""
    uri = f"sqlite:///{tmp_path}/m.db"
    experiment = tracking.prepare(uri, "clep")
    store = mlflow.MlflowClient(tracking_uri=uri)
    command = [sys.executable, "-m", "clep", "run", "learner.epochs=100", f"tracking.uri={uri}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    while process.poll() is None:
        runs = store.search_runs([experiment])
        if runs and "accuracy/seen" in runs[0].data.metrics:
            break
        time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    (run,) = store.search_runs([experiment])
    assert run.info.status == "KILLED"
    assert not math.isnan(run.data.metrics["accuracy/seen"])


def test_the_default_config_is_digits():
    assert config.compose().stream.name == "digits"


@pytest.mark.parametrize("network", config.builtin("network"))
def test_every_network_runs_by_its_name_and_changes_all_its_parameters(network, small):
    """What the file of a network leaves out, or sets against its learning rule, fails here and not at the user's."""
    composed = config.compose({**small, "network": {"name": network}, "strategies": ["naive"]})
    training = build_training(composed, stream := build_stream(composed))
    before = {name: p.detach().clone() for name, p in training.template.model.named_parameters()}
    training.run(stream)
    for name, p in training.template.model.named_parameters():
        assert not torch.equal(before[name], p), name


def test_class_names_are_in_the_result_the_tags_and_the_page_of_a_run(tmp_path):
    uri = empty_store(tmp_path)
    words = [f"stream.path={write(tmp_path / 'images')}", "stream.experiences=3", f"tracking.uri={uri}"]
    order = "stream.class_order=[cherry 2,Berry,apple]"
    result = clep.run(None, ["stream=folder", *words, order, "network.hidden=[8]", "learner.epochs=1"])
    assert result.class_names == [["cherry 2"], ["Berry"], ["apple"]]
    assert tracking.run_of(uri, result.run_id).tags["class_names"] == "cherry 2,Berry,apple"
    with tracking.artifacts(uri, result.run_id, "report.html") as page:
        assert ">cherry 2<" in page.read_text(encoding="utf-8")
