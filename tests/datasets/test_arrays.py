"""From arrays to tensors: standardized samples."""

import numpy as np
import torch

from clep.datasets import load
from tests.datasets.writers import write_idx, write_npz


def test_each_channel_of_the_training_images_has_mean_0_and_deviation_1(tmp_path):
    """The test images move by the same amounts: statistics of their own would hide a shift between the parts."""
    scale, shift = np.array([1, 0.01, 5])[:, None, None], np.array([0, 0.5, -3])[:, None, None]
    x_train, x_test = np.split(np.random.default_rng(0).random((6, 3, 6, 6)) * scale + shift, [4])
    dataset = load("npz", path=write_npz(tmp_path, x_train=x_train, x_test=x_test), standardize=True)
    assert torch.allclose(dataset.x_train.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(dataset.x_train.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    mean, std = x_train.mean((0, 2, 3), keepdims=True), x_train.std((0, 2, 3), keepdims=True)
    assert np.allclose(dataset.x_test, (x_test - mean) / std, atol=1e-4)


def test_vectors_share_one_mean_and_one_deviation(tmp_path):
    """One pair per feature would blow up pixels that are nearly constant, at an image's border for example."""
    x_train = np.array([[0.0, 10.0], [2.0, 12.0], [0.0, 10.0], [2.0, 12.0]])
    dataset = load("npz", path=write_npz(tmp_path, x_train=x_train), standardize=True)
    assert np.allclose(dataset.x_train, (x_train - 6) / np.sqrt(26), atol=1e-6)  # deviations 6, 4, 4, 6


def test_a_constant_channel_becomes_zero(tmp_path):
    x = np.random.default_rng(0).random((4, 2, 3, 3))
    x[:, 1] = 0.1
    dataset = load("npz", path=write_npz(tmp_path, x_train=x, x_test=x[:2]), standardize=True)
    assert dataset.x_train[:, 1].abs().max() < 1e-6
    assert dataset.x_train[:, 0].std() > 0.9


def test_images_are_left_alone_unless_it_is_asked_for(tmp_path):
    write_idx(tmp_path)
    plain, standardized = (load("mnist", root=tmp_path, standardize=choice) for choice in (False, True))
    assert torch.allclose(standardized.x_train * plain.x_train.std(correction=0) + plain.x_train.mean(), plain.x_train)
    assert torch.equal(plain.y_train, standardized.y_train)
    assert plain.x_train.min() >= 0 > standardized.x_train.min()
