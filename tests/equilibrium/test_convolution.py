"""Convolutional layers: which ones fit."""

import pytest
import torch

from clep.equilibrium import (
    POOLINGS,
    ConvLayer,
)
from clep.errors import ConfigError
from tests.oracles.networks import biased

IMAGE = (1, 8, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConvLayer(4, pooling="median"), ["pooling", "`median`", *POOLINGS]),
        (lambda: ConvLayer(0), ["channels", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, kernel=0), ["kernel", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, stride=0), ["stride", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, pool=0), ["pool", "at least 1", "got 0"]),
        (lambda: ConvLayer(4, padding=-1), ["padding", "at least 0", "got -1"]),
        (lambda: biased([64, ConvLayer(4), 10]), ["channels", "images (C, H, W)", "(64,)"]),
        (lambda: biased([(8, 8), ConvLayer(4), 10]), ["channels", "images (C, H, W)", "(8, 8)"]),
        (lambda: biased([IMAGE, 5, ConvLayer(4), 10]), ["channels", "images (C, H, W)", "(5,)"]),
        (
            lambda: biased([(1, 5, 9), ConvLayer(4, kernel=5, pool=3, pooling="average"), 10]),
            ["kernel", "5 x 9", "too small", "kernel 5", "padding 0", "stride 1", "pool 3"],
        ),
        (lambda: biased([IMAGE, *[ConvLayer(4)] * 3, 10]), ["kernel", "3 x 3", "too small", "fewer layers"]),
        (lambda: biased([(1, 2, 8), ConvLayer(4, pooling="none"), 10]), ["kernel", "2 x 8", "too small"]),
    ],
)
def test_convolutions_that_do_not_fit_are_refused(make, words):
    """Torch would say `Output size is too small`, or nothing until the first batch."""
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value).startswith(f"{words[0]}: ")
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("kernel", [3, 4])
def test_the_smallest_image_that_fits_is_accepted(kernel):
    """One pixel less is refused, and no more than that: without pooling its side does not count."""
    for pooling, side in (("none", kernel), ("max", kernel + 1), ("average", kernel + 1)):
        layer = ConvLayer(2, kernel, pooling=pooling)
        assert biased([(1, side, side), layer, 3])(torch.rand(2, 1, side, side)).shape == (2, 3)
        with pytest.raises(ConfigError, match="too small"):
            biased([(1, side, side - 1), layer, 3])
