"""The digits: the split of scikit-learn's file."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from clep.datasets import load
from tests.datasets.writers import same


def test_the_split_is_a_partition_of_the_whole_file():
    """An image in both parts would let a model be tested on what it has learnt by heart."""
    dataset = load("digits")
    rows = torch.cat([dataset.x_train, dataset.x_test]).flatten(1).mul(16).int().numpy()
    labelled = np.c_[rows, torch.cat([dataset.y_train, dataset.y_test]).numpy()]
    file = np.c_[load_digits().data.astype(int), load_digits().target]
    assert len(np.unique(file, axis=0)) == len(file) == 1797  # no two images are equal, so rows identify images
    assert sorted(labelled.tolist()) == sorted(file.tolist())


def test_a_fifth_of_every_class_is_for_testing():
    dataset = load("digits")
    assert len(dataset.y_test) == 360
    train, test = dataset.y_train.bincount(), dataset.y_test.bincount()
    assert ((test - 0.2 * (train + test)).abs() < 1).all()


def test_writers_are_mixed():
    """The file is in the order of its writers: its last fifth is other people, where joint training loses 6 %."""
    last = {row.tobytes() for row in (load_digits().data[-360:] / 16).astype(np.float32)}
    in_test = sum(row.numpy().tobytes() in last for row in load("digits").x_test.flatten(1))
    assert 40 < in_test < 110  # 72 of 360 expected


def test_the_split_does_not_depend_on_global_seeds():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is the point
    first = load("digits")
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert same(first, load("digits"))


def test_images_are_float32_from_0_to_1_with_one_channel():
    dataset = load("digits")
    assert dataset.x_train.shape == (1437, 1, 8, 8)
    assert dataset.x_train.dtype == dataset.x_test.dtype == torch.float32
    assert dataset.y_train.dtype == dataset.y_test.dtype == torch.int64
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 1)
    assert (dataset.name, dataset.classes) == ("digits", 10)


def test_nothing_is_looked_for_under_root(tmp_path):
    load("digits", root=tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
