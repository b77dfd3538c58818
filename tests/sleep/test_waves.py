"""Waves of spontaneous activity, and what is kept of the inputs to make them."""

import torch

from clep.sleep import Seen, waves


def seen_of(*batches):
    seen = Seen()
    for x in batches:
        seen.add(x, torch.zeros(len(x), dtype=torch.int64))
    return seen


def made(seen, n=1000):
    return waves(seen, n, torch.Generator().manual_seed(1))


def test_what_is_seen_in_parts_is_what_is_seen_at_once():
    x = torch.randn(30, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    parts, whole = seen_of(x[:7], x[7:11], x[11:]), seen_of(x)
    torch.testing.assert_close(parts.mean, x.mean(0))
    assert (parts.count, parts.low, parts.high) == (whole.count, whole.low, whole.high) == (30, x.min(), x.max())


def test_every_pixel_is_at_its_largest_as_often_as_its_mean_says():
    mean = torch.linspace(0.0, 1.0, 28 * 28).view(1, 28, 28)
    x = made(seen_of(mean[None], torch.ones_like(mean)[None], torch.zeros_like(mean)[None]))
    assert set(x.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(x.mean(0), (mean + 1.0) / 3.0, rtol=0.0, atol=1e-3)


def test_images_are_alike_at_near_places_and_other_inputs_are_not():
    flat = torch.full((2, 1, 28, 28), 1.0)
    flat[1] = 0.0
    x = made(seen_of(flat))[:, 0]
    near, far = (torch.corrcoef(torch.stack([x[:, 14, 5], x[:, 14, 5 + d]]))[0, 1] for d in (1, 16))
    assert near > 0.8
    assert abs(far) < 0.2
    vectors = made(seen_of(flat.flatten(1)))
    assert abs(torch.corrcoef(vectors[:, :2].T)[0, 1]) < 0.1


def test_the_channels_of_a_wave_are_those_of_one_place():
    x = made(seen_of(torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])))
    assert torch.equal(x[:, 0], x[:, 2])


def test_inputs_below_zero_have_waves_between_their_smallest_and_largest():
    x = torch.randn(200, 40, generator=torch.Generator().manual_seed(0))
    found = made(seen_of(x))
    assert found.unique().tolist() == [float(x.min()), float(x.max())]
    torch.testing.assert_close(found.mean(0), x.mean(0), rtol=0.0, atol=0.01)
