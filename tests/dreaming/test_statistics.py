"""Statistics of a class against principal component analysis, closed forms and what is drawn from them."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from clep.dreaming import Statistics, packed


@pytest.fixture
def cloud():
    """400 points in 6 dimensions, most of their variance along two."""
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(2, 6)) * np.array([[3.0], [1.5]])
    return torch.as_tensor(generator.normal(size=(400, 2)) @ factors + 0.3 * generator.normal(size=(400, 6)) + 2.0)


def draws(statistics, n=40_000):
    return statistics.draw(n, torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(("stored_as", "tolerance"), [("float16", 1e-3), ("int8", 1e-2)])
def test_the_statistics_are_those_of_principal_component_analysis(cloud, stored_as, tolerance):
    found, known = Statistics.of(cloud, 2, stored_as=stored_as), PCA(2).fit(cloud.numpy())
    assert found.n == 400
    mean, factors, residual = (part.numbers.double() for part in (found.mean, found.factors, found.residual))
    np.testing.assert_allclose(mean, known.mean_, atol=2 * tolerance)
    directions = factors / factors.norm(dim=1, keepdim=True)
    np.testing.assert_allclose((directions.numpy() * known.components_).sum(1).__abs__(), 1.0, atol=tolerance)
    np.testing.assert_allclose(factors.norm(dim=1) ** 2, known.explained_variance_, rtol=2 * tolerance)
    left = np.var(cloud.numpy() - known.inverse_transform(known.transform(cloud.numpy())), axis=0, ddof=1)
    np.testing.assert_allclose(residual, np.sqrt(left), rtol=2 * tolerance)


@pytest.mark.parametrize("modes", [1, 4])
@pytest.mark.parametrize("components", [0, 2, 6])
def test_what_is_drawn_has_the_mean_and_the_variances_of_the_class(cloud, components, modes):
    drawn = draws(Statistics.of(cloud, components, modes=modes, generator=torch.Generator()))
    np.testing.assert_allclose(drawn.mean(0), cloud.mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.var(0), cloud.var(0), rtol=0.05)
    if components:
        expected = np.cov(cloud.numpy().T)
        np.testing.assert_allclose(np.cov(drawn.numpy().T), expected, atol=0.04 * expected.max())


def test_modes_show_that_a_class_consists_of_groups():
    """Two groups along one line, none in between: a bell curve is most likely there, two modes never."""
    along = torch.cat([torch.full((100,), -1.0), torch.full((100,), 1.0)]) + 0.1 * torch.randn(
        200, generator=torch.Generator().manual_seed(1)
    )
    x = along[:, None] * torch.tensor([[3.0, 4.0]])
    near = [
        (draws(Statistics.of(x, 1, modes=modes, generator=torch.Generator()), 2000).norm(dim=1) < 2.5).double().mean()
        for modes in (1, 2)
    ]
    assert near[0] > 0.3  # |N(0, 1)| < 1/2 has probability 0.38
    assert near[1] < 0.01


def test_a_mode_stands_for_ten_samples_at_least():
    x = torch.randn(59, 8, generator=torch.Generator().manual_seed(0))
    of = [Statistics.of(x[:n], 3, modes=20, generator=torch.Generator()).modes for n in (59, 20, 19)]
    assert [modes and len(modes.weights) for modes in of] == [5, 2, None]


@pytest.mark.parametrize("modes", [1, 3])
def test_a_class_that_comes_in_parts_has_the_statistics_of_the_whole(cloud, modes):
    """Exactly, while all components are kept; up to what they leave otherwise."""
    options = {"modes": modes, "generator": torch.Generator().manual_seed(0)}
    parts = None
    for part in (cloud[:100], cloud[100:300], cloud[300:]):
        parts = Statistics.of(part, 6, parts, **options)
    whole = Statistics.of(cloud, 6)
    assert parts.n == whole.n
    np.testing.assert_allclose(parts.mean.numbers, whole.mean.numbers, atol=3e-3)
    covariances = [(s.factors.numbers.double().T @ s.factors.numbers.double()) for s in (parts, whole)]
    np.testing.assert_allclose(*covariances, atol=0.02)
    few = Statistics.of(cloud[200:], 2, Statistics.of(cloud[:200], 2))
    variance = few.factors.numbers.double().square().sum(0) + few.residual.numbers.double().square()
    np.testing.assert_allclose(variance, cloud.var(0), rtol=0.02)


def test_modes_of_a_class_that_comes_in_parts_remember_the_earlier_part():
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.randn(200, 3, generator=generator) * 0.1 + at for at in (torch.eye(3)[0] * 4, torch.zeros(3))
    )
    both = Statistics.of(second, 2, Statistics.of(first, 2, modes=2, generator=generator), modes=2, generator=generator)
    assert float((draws(both, 2000)[:, 0] > 3.0).double().mean()) == pytest.approx(0.5, abs=0.05)


def test_one_sample_and_fewer_samples_than_components_are_dreamt_of():
    one = Statistics.of(torch.ones(1, 4), 3)
    assert torch.equal(one.draw(5, torch.Generator()), torch.ones(5, 4))
    assert Statistics.of(torch.rand(3, 8), 20).factors.codes.shape == (3, 8)


def test_bytes_are_those_of_the_numbers_in_their_form():
    x = torch.randn(100, 50, generator=torch.Generator().manual_seed(0))
    assert Statistics.of(x, 7).nbytes == 2 * 50 * (7 + 2)
    assert Statistics.of(x, 7, stored_as="int8").nbytes == (50 + 4) * (7 + 2)  # a scale has 4 bytes
    with_modes = Statistics.of(x, 7, modes=3, generator=torch.Generator())
    assert with_modes.nbytes == 2 * 50 * (7 + 2) + 2 * 3 * (1 + 2 * 7)


def test_eight_bits_are_wrong_by_half_a_step_of_their_row():
    x = torch.randn(5, 300, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1e-3], [1.0], [50.0], [0], [1]]
    )
    step = x.abs().amax(1, keepdim=True) / 127
    assert bool(((packed(x, "int8").numbers - x).abs() <= 0.5001 * step).all())
