"""CIFAR-10: what the pickled batches say, and what is wrong with a damaged one."""

import hashlib

import numpy as np
import pytest
import torch

from clep.datasets import load
from clep.datasets.cifar10 import CIFAR10_FILES
from clep.errors import DataError, InputWarning
from tests.datasets.writers import python2_pickle, write_cifar


def test_planes_rows_and_columns_are_where_the_format_puts_them(tmp_path):
    """Channels read last would still give (N, 3, 32, 32) after a reshape, of scrambled pictures."""
    write_cifar(tmp_path)
    dataset = load("cifar10", root=tmp_path, download=False)
    assert dataset.x_train.shape == (10, 3, 32, 32)
    assert dataset.x_test.shape == (2, 3, 32, 32)
    first = torch.full((3, 32, 32), 1.0)
    first[0, 2, 7], first[1, 3, 1], first[2, 31, 30] = 255, 200, 100
    assert torch.equal(dataset.x_train[0], first / 255)


def test_batches_keep_their_order_and_labels(tmp_path):
    write_cifar(tmp_path)
    dataset = load("cifar10", root=tmp_path, download=False)
    assert dataset.y_train.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert dataset.y_test.tolist() == [5, 0]
    assert dataset.x_train[:, 0, 0, 0].mul(255).round().tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert dataset.x_test[:, 0, 0, 0].mul(255).round().tolist() == [6, 6]


def test_old_pickles_load_without_a_warning(tmp_path, recwarn):
    """NumPy 2.4.0 to 2.4.4 warn about the integers that Python 2's pickles pass to dtype."""
    write_cifar(tmp_path)
    load("cifar10", root=tmp_path, download=False)
    assert [warning.category for warning in recwarn] == [InputWarning]  # of clep, see below


def test_files_that_are_not_as_published_are_named_once_and_read(tmp_path, recwarn, monkeypatch):
    from torchvision.datasets.cifar import CIFAR10

    folder = write_cifar(tmp_path)
    published = [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in CIFAR10_FILES]
    monkeypatch.setattr(CIFAR10, "train_list", published[:-1])
    monkeypatch.setattr(CIFAR10, "test_list", published[-1:])
    load("cifar10", root=tmp_path, download=False)
    assert list(recwarn) == []
    (folder / "data_batch_3").write_bytes(python2_pickle(np.zeros((2, 3072), np.uint8), [3, 0]))
    assert len(load("cifar10", root=tmp_path, download=False).x_train) == 10
    (said,) = recwarn
    assert said.category is InputWarning
    assert str(said.message).startswith(f"{folder}: not as published: data_batch_3; read as data of the same layout")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a CIFAR-10 batch"),
        (python2_pickle(np.zeros((2, 3072), np.uint8), [0, 1])[:3000], "not a CIFAR-10 batch"),
        (b"\x80\x02}.", "not a CIFAR-10 batch .*data"),
        (
            python2_pickle(np.zeros((2, 3071), np.uint8), [0, 1]),
            r"\(N, 3072\) .* got uint8 data of shape \(2, 3071\)",
        ),
        (python2_pickle(np.zeros((2, 3072), np.uint8), [0]), r"N labels, got .* and \(1,\) labels"),
    ],
)
def test_a_damaged_batch_is_named(tmp_path, content, complaint):
    file = write_cifar(tmp_path) / "data_batch_3"
    file.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as error:
        load("cifar10", root=tmp_path, download=False)
    assert str(error.value).startswith(f"{file}: ")
    assert str(error.value).endswith("Delete it and download it again.")


def test_a_failed_download_lists_the_six_batches(tmp_path):
    with pytest.raises(DataError, match=r"CIFAR10 is not in .* the download failed") as error:
        load("cifar10", root=tmp_path)
    assert f"these 6 files into {tmp_path / 'cifar-10-batches-py'}" in str(error.value)
    assert ", ".join(CIFAR10_FILES) in str(error.value)
