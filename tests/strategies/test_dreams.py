"""Dreams: statistics of classes instead of samples, and training on what is drawn from them."""

import numpy as np
import pytest
import torch
from clep.strategies.dreams import Dreams, Statistics
from sklearn.decomposition import PCA

import clep
from clep.errors import ConfigError


@pytest.fixture
def cloud():
    """400 points in 6 dimensions, most of their variance along two."""
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(2, 6)) * np.array([[3.0], [1.5]])
    return torch.as_tensor(generator.normal(size=(400, 2)) @ factors + 0.3 * generator.normal(size=(400, 6)) + 2.0)


def test_the_statistics_are_those_of_principal_component_analysis(cloud):
    found, known = Statistics.of(cloud, 2), PCA(2).fit(cloud.numpy())
    assert found.n == 400
    np.testing.assert_allclose(found.mean, known.mean_, atol=2e-3)
    directions = found.factors.double() / found.factors.double().norm(dim=1, keepdim=True)
    np.testing.assert_allclose((directions.numpy() * known.components_).sum(1).__abs__(), 1.0, atol=1e-3)
    np.testing.assert_allclose(found.factors.double().norm(dim=1) ** 2, known.explained_variance_, rtol=2e-3)
    left = np.var(cloud.numpy() - known.inverse_transform(known.transform(cloud.numpy())), axis=0, ddof=1)
    np.testing.assert_allclose(found.residual, np.sqrt(left), rtol=2e-3)


@pytest.mark.parametrize("components", [0, 2, 6])
def test_what_is_drawn_has_the_mean_and_the_variances_of_the_class(cloud, components):
    drawn = Statistics.of(cloud, components).draw(40_000, torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(drawn.mean(0), cloud.mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.var(0), cloud.var(0), rtol=0.05)
    if components:
        expected = np.cov(cloud.numpy().T)
        np.testing.assert_allclose(np.cov(drawn.numpy().T), expected, atol=0.04 * expected.max())


def test_a_class_that_comes_in_parts_has_the_statistics_of_the_whole(cloud):
    """Exactly, while all components are kept; up to what they leave otherwise."""
    parts = Statistics.of(cloud[300:], 6, Statistics.of(cloud[100:300], 6, Statistics.of(cloud[:100], 6)))
    whole = Statistics.of(cloud, 6)
    assert parts.n == whole.n
    np.testing.assert_allclose(parts.mean, whole.mean, atol=3e-3)
    covariances = [(s.factors.double().T @ s.factors.double()) for s in (parts, whole)]
    np.testing.assert_allclose(*covariances, atol=0.02)
    few = Statistics.of(cloud[200:], 2, Statistics.of(cloud[:200], 2))
    variance = few.factors.double().square().sum(0) + few.residual.double().square()
    np.testing.assert_allclose(variance, cloud.var(0), rtol=0.02)


def test_one_sample_and_fewer_samples_than_components_are_dreamt_of():
    one = Statistics.of(torch.ones(1, 4), 3)
    assert torch.equal(one.draw(5, torch.Generator()), torch.ones(5, 4))
    assert Statistics.of(torch.rand(3, 8), 20).factors.shape == (3, 8)


def dreamt(components=5, **options):
    """What five experiences of digits leave: the strategy, its result, and the data of each experience."""
    sizes = []

    class Count(clep.Strategy):
        def before_training_exp(self, strategy, **kwargs):
            sizes.append(len(strategy.adapted_dataset))

    stream = clep.stream("digits", experiences=5, samples_per_experience=100)
    dreams = Dreams(components=components, **options)
    training = clep.Training(clep.Learner(clep.Network([64, 64, 10]), lr=0.05), [dreams, Count()], epochs=5, seed=0)
    return dreams, training.run(stream), sizes, stream


def test_dreams_keep_earlier_classes_without_a_sample():
    dreams, result, sizes, stream = dreamt()
    assert sizes == [100, 200, 300, 400, 500]  # as many of each earlier class as a new one has
    assert result.matrix[-1].mean() > 0.75  # 0.20 without dreams
    classes = dreams.state["classes"]
    assert set(classes) == set(stream.class_order)
    assert dreams.memory().exemplars == 0
    assert dreams.memory().statistics_bytes == 10 * 2 * 64 * (5 + 2)
    low, high = dreams.state["range"]
    drawn = dreams.dream(stream.class_order[0], 50)
    assert drawn.shape == (50, 1, 8, 8)
    assert low <= float(drawn.min()) <= float(drawn.max()) <= high


def test_the_number_of_dreams_can_be_set():
    assert dreamt(samples=7)[2] == [100, 114, 128, 142, 156]


@pytest.mark.parametrize("options", [{"components": -1}, {"samples": 0}, {"component": 3}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Dreams(**options)
