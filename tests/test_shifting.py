"""Images moved by a few pixels."""

import torch

from clep.shifting import shifted

GENERATOR = torch.Generator().manual_seed(0)


def test_every_shift_up_to_the_limit_is_equally_likely_and_moves_all_channels_alike():
    image = torch.zeros(2, 7, 7)
    image[:, 2:5, 2:5] = torch.randn(2, 3, 3, generator=GENERATOR)  # with margins, a shift is a rotation
    rolled = torch.stack([image.roll((down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)])
    moved = shifted(image.expand(900, -1, -1, -1), 1, GENERATOR)
    same = (moved[:, None] == rolled).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    assert same.sum(0).min() > 60  # 100 each are expected, with a standard deviation of 9.4


def test_what_comes_in_repeats_the_margin():
    ramp = torch.arange(5.0).expand(50, 3, 5)
    moved = shifted(ramp, 2, GENERATOR)
    shifts = moved[:, 0, 2] - 2.0  # how far each was moved to the left
    torch.testing.assert_close(moved, (ramp + shifts[:, None, None]).clamp(0.0, 4.0))
    assert shifts.unique().tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_images_stay_where_they_are_with_a_limit_of_0():
    images = torch.randn(3, 1, 4, 5, generator=GENERATOR)
    assert torch.equal(shifted(images, 0, GENERATOR), images)
