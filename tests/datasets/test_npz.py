"""Arrays of your own: what a file must contain, and what is wrong with one that does not."""

import re

import numpy as np
import pytest
import torch

from clep.datasets import load
from clep.errors import DataError
from tests.datasets.writers import write_npz


def test_float_vectors_are_kept_as_stored(tmp_path):
    dataset = load("npz", path=str(write_npz(tmp_path, x_test=np.array([[-3.0, 0.5], [1.0, 1e4]]))), scale=1)
    assert dataset.x_train.tolist() == [[0.0, 0.5], [1.0, 0.25], [0.5, 0.5], [0.0, 0.0]]
    assert dataset.x_test.tolist() == [[-3.0, 0.5], [1.0, 1e4]]
    assert dataset.x_train.dtype == torch.float32
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == ([0, 1, 2, 0], [1, 0])
    assert (dataset.y_train.dtype, dataset.classes, dataset.name) == (torch.int64, 3, "npz")


@pytest.mark.parametrize(("type_", "top"), [(np.uint8, 2**8 - 1), (np.uint16, 2**16 - 1), (np.uint64, 2**64 - 1)])
def test_unsigned_integers_are_scaled_by_the_range_of_their_type(tmp_path, type_, top):
    """Not by the largest value found: that would depend on the data, classes to come included."""
    x_train, x_test = np.full((4, 2, 3, 3), top // 5, type_), np.zeros((2, 2, 3, 3), type_)
    x_train[0] = top // 5 * 4
    dataset = load("npz", path=write_npz(tmp_path, x_train=x_train, x_test=x_test))
    assert dataset.x_train.shape == (4, 2, 3, 3)
    assert torch.allclose(dataset.x_train[1:], torch.tensor(0.2), atol=1e-6)
    assert dataset.x_test.abs().max() == 0


@pytest.mark.parametrize(("type_", "top"), [(np.uint8, 255), (np.float64, 1), (np.dtype(">f4"), 1)])
def test_images_without_a_channel_get_one(tmp_path, type_, top):
    x = top * np.random.default_rng(0).integers(0, 2, (4, 3, 5)).astype(type_)
    dataset = load("npz", path=write_npz(tmp_path, x_train=x, x_test=x[:2]))
    assert dataset.x_train.shape == (4, 1, 3, 5)
    assert np.array_equal(dataset.x_train[:, 0], x > 0)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"y_test": None, "x_test": None}, "no `x_test`, `y_test`; add it. The file has: x_train, y_train"),
        ({"x_train": np.zeros(4)}, r"`x_train` must be .*, got float64 of shape \(4,\)"),
        ({"x_train": np.zeros((4, 1, 2, 2, 2))}, r"`x_train` must be .* of shape \(4, 1, 2, 2, 2\)"),
        ({"x_test": np.zeros((2, 2), complex)}, "`x_test` must be .*, got complex128"),
        ({"x_test": np.array([["a", "b"]] * 2)}, "`x_test` must be .*, got <U1"),
        ({"x_train": np.array([[0.0, np.nan]] * 4)}, "`x_train` has 4 values that are NaN or infinite"),
        ({"x_test": np.array([[0.0, -np.inf], [0.0, 0.0]])}, "`x_test` has 1 values that are NaN or infinite"),
        ({"x_test": np.array([[0.0, 1e39], [0.0, 0.0]])}, "`x_test` has 1 values .* infinite in float32"),
        ({"x_test": np.zeros((2, 3))}, r"`x_test`: samples of shape \(3,\), but \(2,\) in .*`x_train`"),
        ({"x_train": np.zeros((0, 2))}, "`x_train`: empty"),
        ({"x_train": np.zeros((3, 2))}, "`y_train`: 4 labels, but 3 samples in .*`x_train`"),
        ({"y_test": np.array([0, 1, 1])}, "`y_test`: 3 labels, but 2 samples in .*`x_test`"),
        ({"y_train": np.array([0.0, 1.0, 2.0, 0.0])}, "`y_train` must be integers .*, got float64"),
        ({"y_train": np.eye(4, dtype=int)}, r"`y_train` must be .*, got int64 of shape \(4, 4\)"),
        ({"y_test": np.array([0, -1])}, "`y_test` has the negative label -1"),
        ({"y_train": np.array([1, 2, 3, 1])}, "`y_train` has no sample of class 0, but labels go up to 3"),
        ({"y_train": np.array([0, 1, 3, 1])}, "`y_train` has no sample of class 2, but labels go up to 3"),
        ({"y_test": np.array([0, 10**12])}, "`y_test` has the label 10{12};"),
        ({"y_test": np.array([0, 2**64 - 1], np.uint64)}, "`y_test` has the label 18446744073709551615"),
        ({"y_train": np.array([0, 1, None, 1])}, "`y_train` cannot be read .*allow_pickle"),
    ],
)
def test_an_array_that_does_not_fit_is_named_with_its_file(tmp_path, changes, complaint):
    path = write_npz(tmp_path, **changes)
    with pytest.raises(DataError, match=complaint) as error:
        load("npz", path=path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'data.npz'}: there is no such file")):
        load("npz", path=tmp_path / "data.npz")


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda content: b"x_train,y_train\n"])
def test_a_file_that_is_no_npz_is_named(tmp_path, damage):
    path = write_npz(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=re.escape(f"{path}: not an npz file, or cut short")):
        load("npz", path=path)


def test_a_flipped_byte_is_noticed(tmp_path):
    path = write_npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(0.125).tobytes()) + 6] ^= 1  # inside x_test: the zip's checksum no longer fits
    path.write_bytes(content)
    with pytest.raises(DataError, match="`x_test` cannot be read"):
        load("npz", path=path)
