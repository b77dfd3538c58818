"""The range of inputs: the same picture in any type and range gives the same inputs, or a question with its answer."""

import re
import warnings

import numpy as np
import pytest
import torch

from clep.datasets import load
from clep.errors import ConfigError, InputWarning
from tests.datasets.writers import IMAGES, TRAIN_IMAGES, idx, write_idx, write_npz

BYTES = np.arange(0, 256, 17, dtype=np.uint8).reshape(4, 4)  # sixteen levels, black and white among them


def loaded(tmp_path, x, x_test=None, **options):
    path = write_npz(tmp_path, x_train=x, x_test=x[:2] if x_test is None else x_test)
    return load("npz", path=path, **options)


@pytest.mark.parametrize("type_", ["u1", "u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8", ">i4", ">f8"])
@pytest.mark.filterwarnings("ignore::clep.errors.InputWarning")
def test_bytes_in_any_type_are_the_same_inputs(tmp_path, type_):
    dataset = loaded(tmp_path, BYTES.astype(type_))
    assert torch.equal(dataset.x_train, torch.from_numpy(BYTES.astype(np.float32) / np.float32(255)))


@pytest.mark.parametrize("type_", ["?", "u1", "u8", "i8", "f4"])
def test_two_levels_0_and_1_are_taken_as_they_are_in_any_type(tmp_path, type_):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = loaded(tmp_path, (BYTES > 100).astype(type_))
    assert torch.equal(dataset.x_train, torch.from_numpy((BYTES > 100).astype(np.float32)))


def test_whole_floats_that_are_read_as_bytes_are_told_with_the_key_that_confirms_it(tmp_path):
    with pytest.warns(InputWarning, match=r"`x_train`: float32 from 0 to 255, .* set stream\.scale=255 to confirm"):
        loaded(tmp_path, BYTES.astype("f4"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded(tmp_path, BYTES.astype("f4"), scale=255).x_train.max() == 1
        assert loaded(tmp_path, BYTES.astype("f4"), scale=1).x_train.max() == 255


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (BYTES.astype("f8") / 255 * 16, "float64 from 0 to 16: "),
        (BYTES // 17, "uint8 from 0 to 15: "),
        (BYTES.astype("u2") * 16, "uint16 from 0 to 4080: "),
        (BYTES.astype("i8") * 10, "int64 from 0 to 2550: "),
        (BYTES.astype("f4") - 0.5, "float32 from -0.5 to 254.5: negative"),
        (BYTES.astype("f4") / 127.5 - 1, "float32 from -1 to 1: negative"),
        (BYTES.astype("i2") - 128, "int16 from -128 to 127: negative"),
    ],
)
def test_an_unclear_range_is_refused_and_every_answer_it_offers_works(tmp_path, x, words):
    with pytest.raises(ConfigError, match=rf"^scale: .*`x_train`: {re.escape(words)}") as error:
        loaded(tmp_path, x)
    answers = re.findall(r"stream\.(scale|standardize)=([\w.]+)", str(error.value))
    assert ("scale", "1") in answers
    assert len(answers) >= 2
    for key, value in answers:
        given = loaded(tmp_path, x, **{key: True if value == "true" else float(value)}).x_train
        if key == "scale":
            assert torch.allclose(given, torch.from_numpy(x.astype("f4") / np.float32(float(value))))
            assert value == "1" or given.max() <= 1
        else:
            assert abs(float(given.mean())) < 1e-5


@pytest.mark.parametrize(
    ("x", "x_test"),
    [
        (BYTES, BYTES[:2] / 255),
        (BYTES / 255, BYTES[:2]),
        (BYTES / 255, BYTES[:2] / 255 * 16),
        (BYTES.astype("u2") * 257, BYTES[:2]),
    ],
)
def test_two_parts_on_two_scales_are_refused(tmp_path, x, x_test):
    """The division forgotten in one of them: the network would be tested on other inputs than it learned."""
    if x.dtype == np.uint16:
        x_test = np.array(x_test, np.uint8) > 100
    with pytest.raises(ConfigError, match=r"^scale: .*`x_train` holds .* but .*`x_test` holds .*two scales"):
        loaded(tmp_path, x, x_test)


def test_test_samples_a_little_outside_the_range_of_the_training_samples_are_no_other_scale(tmp_path):
    """As a min-max scaler leaves them, which is fitted to the training samples alone."""
    assert loaded(tmp_path, BYTES / 255, np.array([[-0.1, 1.2, 0, 0]] * 2)).x_test.max() == pytest.approx(1.2)


def test_published_formats_follow_the_same_rule(tmp_path):
    raw = write_idx(tmp_path)
    (raw / TRAIN_IMAGES).write_bytes(idx(IMAGES["train"] // 16))
    with pytest.raises(ConfigError, match=rf"^scale: {raw / TRAIN_IMAGES}: uint8 from 0 to 15"):
        load("mnist", root=tmp_path, download=False)
    given = load("mnist", root=tmp_path, download=False, scale=15).x_train
    assert torch.equal(given[:, 0], torch.from_numpy((IMAGES["train"] // 16).astype("f4") / np.float32(15)))
