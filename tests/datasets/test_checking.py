"""What every reader refuses: labels that number no classes, and files that are no files."""

import io
import os
import pickle
import re
import zipfile

import numpy as np
import pytest

from clep.datasets import load
from clep.datasets.cifar10 import CIFAR10_FILES
from clep.errors import ConfigError, DataError
from tests.datasets.writers import LABELS, TRAIN_IMAGES, TRAIN_LABELS, idx, write_cifar, write_idx, write_npz


def from_npz(root, labels):
    return load("npz", path=write_npz(root, x_train=np.eye(6), x_test=np.eye(6)[:2], y_train=np.array(labels)))


def from_idx(root, labels):
    (write_idx(root) / TRAIN_LABELS).write_bytes(idx(np.array(labels, np.uint8)))
    return load("mnist", root=root, download=False)


def from_cifar(root, labels):
    """The labels in six images of the first batch; Python 3 writes it, and any number may be a label."""
    batch = {"data": np.full((6, 3072), 255, np.uint8), "labels": list(labels)}
    (write_cifar(root) / CIFAR10_FILES[0]).write_bytes(pickle.dumps(batch, protocol=2))
    return load("cifar10", root=root, download=False)


READERS = {"npz": from_npz, "idx": from_idx, "cifar": from_cifar}


BAD_LABELS = [
    ([0, 1, 2, 3, 4, 255], r"has no sample of class [56]\b.*, but labels go up to 255"),
    ([0, 1, 2, 3, 4, 99], r"has no sample of class [56]\b.*, but labels go up to 99"),
    ([0, 1, 2, 3, 4, -1], r"has the negative label -1"),
    ([0, 1, 2, 3, 4, 0.5], r"must be integers of shape \(N,\), got float64"),
    ([0, 1, 2, 3, 4, 2**64 - 1], r"(has the label 18446744073709551615|must be integers)"),
]
OF_READERS = [
    (reader, labels, complaint)
    for reader in READERS
    for labels, complaint in BAD_LABELS
    if reader != "idx" or set(labels) <= set(range(256))  # whose format holds bytes
]


@pytest.mark.parametrize(("reader", "labels", "complaint"), OF_READERS)
def test_labels_that_number_no_classes_are_refused_by_every_reader(tmp_path, reader, labels, complaint):
    with pytest.raises(DataError, match=complaint) as error:
        READERS[reader](tmp_path, labels)
    assert str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize("reader", READERS)
def test_the_same_readers_take_labels_that_are_right(tmp_path, reader):
    assert READERS[reader](tmp_path, [0, 1, 2, 0, 1, 2]).y_train[:6].tolist() == [0, 1, 2, 0, 1, 2]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_batch_is_not_run(tmp_path):
    ran = tmp_path / "ran"
    file = write_cifar(tmp_path) / CIFAR10_FILES[2]
    file.write_bytes(pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "x": Evil(str(ran))}))
    with pytest.raises(
        DataError, match=rf"^{re.escape(str(file))}: not a CIFAR-10 batch .*posix\.mkdir, which no array"
    ):
        load("cifar10", root=tmp_path, download=False)
    assert not ran.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_batches_of_every_pickle_protocol_are_read(tmp_path, protocol):
    folder = write_cifar(tmp_path)
    batch = {"data": np.full((2, 3072), 200, np.uint8), "labels": [1, 0]}
    (folder / CIFAR10_FILES[0]).write_bytes(pickle.dumps(batch, protocol=protocol))
    assert load("cifar10", root=tmp_path, download=False).x_train[0, 0, 0, 0] == np.float32(200) / np.float32(255)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    for path, kind in ((tmp_path / "pipe.npz", "a named pipe"), (tmp_path / "folder.npz", "folder")):
        os.mkfifo(path) if "pipe" in kind else path.mkdir()
        with pytest.raises(DataError, match=rf"^{path}: is {kind}, not a file"):
            load("npz", path=path)
    with pytest.raises(DataError, match=r"^/dev/zero: is a device, not a file"):
        load("npz", path="/dev/zero")
    raw = write_idx(tmp_path)
    (raw / TRAIN_IMAGES).unlink()
    os.mkfifo(raw / TRAIN_IMAGES)
    with pytest.raises(DataError, match=rf"^{raw / TRAIN_IMAGES}: is a named pipe"):
        load("mnist", root=tmp_path, download=False)


@pytest.mark.parametrize("path", ["x" * 300 + ".npz", "a\0b.npz", "nothing/there.npz"])
def test_a_path_that_cannot_be_is_refused(tmp_path, path):
    with pytest.raises(DataError, match=r"there is no such file|cannot be looked at|correct the path"):
        load("npz", path=tmp_path / path)


def test_a_home_folder_that_is_not_there_is_refused_with_its_key():
    with pytest.raises(ConfigError, match=r"^path: `~nobody-here/x\.npz`: "):
        load("npz", path="~nobody-here/x.npz")


def test_an_array_that_promises_more_than_memory_holds_is_refused(tmp_path):
    """The header is 128 bytes; the array it describes is 8 TB."""
    path = write_npz(tmp_path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, header.getvalue() if name == "x_train.npy" else content)
    with pytest.raises(DataError, match=rf"^{path}: `x_train` cannot be read"):
        load("npz", path=path)


def test_the_writers_make_files_that_load(tmp_path):
    assert from_idx(tmp_path, LABELS["train"]).classes == 3
