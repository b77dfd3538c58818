"""The order of the axes of images."""

import warnings

import numpy as np
import pytest
import torch

import clep
from clep.build import build_learner
from clep.config import compose
from clep.datasets import load
from clep.errors import ConfigError, InputWarning
from tests.datasets.writers import write_idx, write_npz


def loaded(tmp_path, shape, **options):
    x = np.random.default_rng(0).random((4, *shape))
    return x, load("npz", path=write_npz(tmp_path, x_train=x, x_test=x[:2]), **options).x_train


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (12, 20, 3), (20, 12, 4), (8, 6, 2)])
def test_channels_that_are_last_are_recognised_and_told(tmp_path, shape):
    with pytest.warns(InputWarning, match=r"`x_train`: its shape .* set stream\.layout=channels_last to confirm"):
        x, found = loaded(tmp_path, shape)
    assert np.array_equal(found, np.moveaxis(x, -1, 1).astype("f4"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(loaded(tmp_path, shape, layout="channels_last")[1], found)
        assert np.array_equal(loaded(tmp_path, shape, layout="channels_first")[1], x.astype("f4"))


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 28, 28), (3, 12, 20), (2, 3, 3), (64, 4, 4), (512, 1, 1), (8, 8, 8)]
)
def test_channels_that_are_first_stay_there(tmp_path, shape):
    """Feature maps too: many channels of small images."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, found = loaded(tmp_path, shape)
    assert np.array_equal(found, x.astype("f4"))


def test_axes_that_could_be_either_are_asked_for(tmp_path):
    message = r"^layout: .*\(4, 3, 32, 3\) can be .* set stream\.layout=channels_first or channels_last"
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, (3, 32, 3))
    x, found = loaded(tmp_path, (3, 32, 3), layout="channels_last")
    assert np.array_equal(found, np.moveaxis(x, -1, 1).astype("f4"))


@pytest.mark.parametrize("layout", ["auto", "channels_first", "channels_last"])
def test_grey_images_get_their_channel_in_front(tmp_path, layout):
    x, found = loaded(tmp_path, (12, 10), layout=layout)
    assert np.array_equal(found[:, 0], x.astype("f4"))


def test_a_layout_that_would_mean_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^layout: .*vectors have no channels"):
        loaded(tmp_path, (12,), layout="channels_last")
    write_idx(tmp_path)
    assert load("mnist", root=tmp_path, download=False, layout="channels_last").x_train.shape == (6, 1, 4, 5)
    with pytest.raises(ConfigError, match=r"^layout: digits: its format puts the channels first"):
        load("digits", layout="channels_last")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 3, 3), r"\(N, channels, height, width\) = \(4, 2, 3, 3\)"), ((5,), r"\(N, features\) = \(4, 5\)")],
)
def test_a_convolution_that_does_not_fit_names_the_axes_of_the_file(tmp_path, shape, axes):
    x = np.random.default_rng(0).random((4, *shape))
    path = str(write_npz(tmp_path, x_train=x, x_test=x[:2]))
    config = compose(None, ["network=conv_ep", "network.kernel=[5]", "network.padding=[0]"])
    stream = clep.stream("npz", path=path, experiences=1, missing_test="ignore")
    with pytest.raises(ConfigError, match=rf"^network\.\w+: .*; {path}: `x_train` has the axes {axes}$"):
        build_learner(config, stream)
