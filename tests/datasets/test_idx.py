"""MNIST and its relatives: what the files say, and what is wrong with a damaged one."""

import gzip
import re

import numpy as np
import pytest
import torch
import torchvision

from clep.datasets import load
from clep.errors import DataError
from tests.datasets.writers import (
    IMAGES,
    LABELS,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    idx,
    listing,
    same,
    write_idx,
)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_images_and_labels_are_those_of_the_files(tmp_path, name, folder):
    write_idx(tmp_path, folder)
    dataset = load(name, root=str(tmp_path), download=False)
    assert dataset.x_train.shape == (6, 1, 4, 5)
    assert dataset.x_test.dtype == torch.float32
    assert np.array_equal(dataset.x_train[:, 0], IMAGES["train"] / np.float32(255))
    assert np.array_equal(dataset.x_test[:, 0], IMAGES["t10k"] / np.float32(255))
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == (
        LABELS["train"].tolist(),
        LABELS["t10k"].tolist(),
    )
    assert (dataset.name, dataset.classes, dataset.y_train.dtype) == (name, 3, torch.int64)


@pytest.mark.parametrize("train", [True, False])
def test_the_reading_is_torchvisions(tmp_path, monkeypatch, train):
    """torchvision parses the same files independently: a transposed or shifted image shows."""
    monkeypatch.undo()
    write_idx(tmp_path)
    dataset, oracle = load("mnist", root=tmp_path), torchvision.datasets.MNIST(str(tmp_path), train=train)
    x, y = (dataset.x_train, dataset.y_train) if train else (dataset.x_test, dataset.y_test)
    assert torch.equal(x[:, 0], oracle.data / 255)
    assert torch.equal(y, oracle.targets)


@pytest.mark.parametrize("compress", [False, True])
def test_a_read_only_root_is_enough_and_stays_as_it_is(tmp_path, compress):
    """The mode binds no superuser, so the listing is compared as well."""
    raw = write_idx(tmp_path / "root", compress=compress)
    before = listing(tmp_path)
    try:
        for folder in (raw, raw.parent, tmp_path / "root"):
            folder.chmod(0o555)
        load("mnist", root=tmp_path / "root")
    finally:
        for folder in (tmp_path / "root", raw.parent, raw):
            folder.chmod(0o755)
    assert listing(tmp_path) == before


def test_compressed_files_give_equal_tensors(tmp_path):
    write_idx(tmp_path / "plain")
    write_idx(tmp_path / "compressed", compress=True)
    assert same(load("mnist", root=tmp_path / "plain"), load("mnist", root=tmp_path / "compressed"))


def test_a_plain_file_goes_before_its_compressed_form(tmp_path):
    raw = write_idx(tmp_path)
    (raw / f"{TRAIN_IMAGES}.gz").write_bytes(b"half a download")
    assert len(load("mnist", root=tmp_path).x_train) == 6


_GZIPPED = gzip.compress(idx(IMAGES["t10k"]), mtime=0)  # with a time, tests would differ between two processes
_EMPTY = gzip.compress(b"", mtime=0)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        (f"{TRAIN_IMAGES}.gz", b"<html>not found</html>", "cannot be read .*gzip"),
        (f"{TEST_IMAGES}.gz", _GZIPPED[:-20], "cannot be read"),
        (f"{TEST_IMAGES}.gz", _GZIPPED[:10] + b"\xff" * 60, "cannot be read .*block"),
        (f"{TEST_IMAGES}.gz", _EMPTY[:-8] + b"?" * 8, "cannot be read .*CRC"),
        (TRAIN_IMAGES, idx(LABELS["train"]), "begin with 00 00 08 03, got 14 that begin with 00 00 08 01"),
        (TRAIN_LABELS, idx(IMAGES["train"]), "begin with 00 00 08 01, got 136 that begin with 00 00 08 03"),
        (TRAIN_LABELS, b"", "expected 8 bytes or more .*, got 0 that begin with nothing"),
        (TEST_IMAGES, idx(IMAGES["t10k"])[:11], "expected 16 bytes or more .*, got 11 "),
        (TEST_IMAGES, idx(IMAGES["t10k"])[:-1], r"59 bytes after the header, which promises \[3, 4, 5\]"),
        (TEST_LABELS, idx(LABELS["t10k"]) + b"\0", r"4 bytes after the header, which promises \[3\]"),
        (TRAIN_LABELS, idx(LABELS["train"][:-1]), f"5 labels, but 6 samples in .*{TRAIN_IMAGES}"),
        (TEST_LABELS, idx(LABELS["train"]), f"6 labels, but 3 samples in .*{TEST_IMAGES}"),
        (TEST_IMAGES, idx(IMAGES["t10k"][:, 1:]), rf"shape \(3, 5\), but \(4, 5\) in .*{TRAIN_IMAGES}"),
        (TRAIN_IMAGES, idx(IMAGES["train"][:0]), "empty"),
        (TRAIN_IMAGES, bytes((0, 0, 8, 3)) + bytes(4) + b"\xff" * 8, r"empty: its header promises \[0, 4294967295, "),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path, file, content, complaint):
    raw = write_idx(tmp_path, compress=file.endswith(".gz"))
    (raw / file).write_bytes(content)
    with pytest.raises(DataError, match=complaint) as error:
        load("mnist", root=tmp_path, download=False)
    assert str(error.value).startswith(f"{raw / file}: ")
    assert re.search("Delete .* and download .* again", str(error.value))
