"""Checkpoints of others: nothing in them is run, and what cannot be used is refused in one line that names the file."""

import io
import os
import pickle
import sys
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clep
from clep import Learner, Network
from clep.errors import ClepError, ConfigError, DataError


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "learner.ckpt"
    Learner(Network([64, 5, 10])).save(path)
    return path


def content_of(path):
    return torch.load(path, weights_only=True)


def refused(path, says):
    for load in (clep.load, Learner.load_from_checkpoint):
        with pytest.raises(DataError, match=says) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["state_dict", "hyper_parameters", "callbacks"])
@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_in_a_checkpoint_is_run(saved, tmp_path, where, legacy):
    content = content_of(saved)
    content[where] = {**content.get(where, {}), "evil": Evil(tmp_path / "ran")}
    torch.save(content, saved, _use_new_zipfile_serialization=not legacy)
    refused(saved, "asks for code, which is not run")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_is_not_run(tmp_path):
    path = tmp_path / "plain.ckpt"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    refused(path, "asks for code|damaged")
    assert not (tmp_path / "ran").exists()


def test_no_module_that_a_checkpoint_names_is_imported(saved, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nmake = dict\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = content_of(saved)
    content["hyper_parameters"]["_instantiator"] = "evil.make"
    torch.save(content, saved)
    refused(saved, r"it names code to run \(`_instantiator`\)")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["loss", "gradient", "neuron", "connection", "model"])
def test_no_part_that_a_checkpoint_names_by_an_import_path_is_imported(saved, tmp_path, monkeypatch, place):
    """A module runs while it is imported, and what makes a part is called."""
    ran = tmp_path / "ran"
    (tmp_path / "other.py").write_text(f"import os\nos.mkdir({str(ran)!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other", raising=False)
    content = content_of(saved)
    values = content["hyper_parameters"]
    if place == "loss":
        values["loss"] = "other:make"
    elif place == "gradient":
        values["gradient"] = {"name": "other:make"}
    elif place == "model":
        values["network"], values["gradient"] = {"model": "other:make", "input_shape": [64], "classes": 10}, None
    else:
        values["network"] = {**values["network"], place: "other:make"}
    torch.save(content, saved)
    for load in (clep.load, Learner.load_from_checkpoint):
        with pytest.raises(ConfigError, match="`other:make` is not imported: nothing is imported because a file"):
            load(saved)
    assert not ran.exists()
    with pytest.raises(ConfigError, match="cannot import `other:make`"):
        clep.load(saved, trust=True)
    assert ran.exists()
    sys.modules.pop("other", None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(saved, value):
    content = content_of(saved)
    content["state_dict"]["network.connections.1.weight"][2, 3] = value
    torch.save(content, saved)
    refused(saved, "`network.connections.1.weight` holds values that are not finite")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content.pop("hyper_parameters"), "it has no `hyper_parameters`"),
        (lambda content: content.pop("state_dict"), "it has no `state_dict`"),
        (lambda content: content["state_dict"].popitem(), "make no learner"),
        (lambda content: content["state_dict"].update({"more": torch.zeros(1)}), "make no learner"),
        (lambda content: content["state_dict"].update({"network.connections.0.weight": torch.zeros(2, 2)}), "make no"),
        (lambda content: content["state_dict"].update({"network.connections.0.weight": "text"}), "is no tensor"),
        (lambda content: content["hyper_parameters"]["network"].update({"model": 101}), "make no learner"),
    ],
)
def test_a_file_with_other_content_is_refused(saved, change, says):
    content = content_of(saved)
    change(content)
    torch.save(content, saved)
    refused(saved, says)


def test_files_that_are_no_checkpoints_are_refused(saved, tmp_path):
    torch.save([1, 2], tmp_path / "list.ckpt")
    refused(tmp_path / "list.ckpt", "no checkpoint of a learner")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    refused(tmp_path / "empty.ckpt", "damaged, or not a checkpoint")
    (tmp_path / "half.ckpt").write_bytes(saved.read_bytes()[:3000])
    refused(tmp_path / "half.ckpt", "damaged, or not a checkpoint")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("../../out", "text")
    refused(tmp_path / "zip.ckpt", "damaged, or not a checkpoint")
    with pytest.raises(DataError, match="there is no such file"):
        Learner.load_from_checkpoint(tmp_path / "absent.ckpt")


def test_an_open_file_is_read_too(saved):
    assert Learner.load_from_checkpoint(io.BytesIO(saved.read_bytes())).network.depth == 2


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_or_harmless(tmp_path, data):
    whole = tmp_path / "whole.ckpt"
    if not whole.exists():
        Learner(Network([64, 5, 10])).save(whole)
    content = whole.read_bytes()
    start, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 40))
    (tmp_path / "damaged.ckpt").write_bytes(
        content[:start] + data.draw(st.binary(max_size=40)) + content[start + length :]
    )
    try:
        clep.load(tmp_path / "damaged.ckpt")
    except ClepError as error:
        message = str(error)
    else:
        return
    assert len(message) < 1000
