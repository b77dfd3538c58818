"""Statistics over seeds, against closed forms, enumeration and SciPy's own tests."""

import itertools

import numpy as np
import pytest
from scipy import stats

from clep import statistics
from clep.statistics import above_chance, paired, summary

ACCURACIES = {0: 0.61, 1: 0.55, 2: 0.72, 5: 0.58}


def test_a_summary_is_mean_deviation_and_the_t_interval_of_textbooks():
    found = summary(ACCURACIES)
    values = list(ACCURACIES.values())
    mean = sum(values) / 4
    sd = (sum((value - mean) ** 2 for value in values) / 3) ** 0.5
    half = 3.182446305284263 * sd / 2  # the 0.975 quantile of Student's t with three degrees of freedom
    assert found.n == 4
    assert found.by_seed == ACCURACIES
    assert (found.mean, found.sd) == pytest.approx((mean, sd))
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


def test_the_interval_is_that_of_scipys_t_test():
    interval = stats.ttest_1samp(list(ACCURACIES.values()), 0.0).confidence_interval(0.95)
    assert (summary(ACCURACIES).low, summary(ACCURACIES).high) == pytest.approx(tuple(interval))


def test_a_single_seed_has_no_interval_and_no_seed_has_no_mean():
    one = summary({3: 0.5, 4: None, 5: float("nan")})
    assert (one.n, one.mean, one.sd, one.low, one.high) == (1, 0.5, None, None, None)
    assert (summary({}).n, summary({}).mean) == (0, None)


def test_differences_are_taken_within_seeds_and_the_others_are_named():
    found = paired({0: 0.5, 1: 0.75, 7: 1.0}, {1: 0.5, 0: 0.125, 9: 0.0})
    assert found.by_seed == {0: 0.375, 1: 0.25}
    assert (found.only_first, found.only_second) == ((7,), (9,))


def test_a_paired_interval_is_that_of_scipys_paired_t_test():
    a, b = [0.9, 0.8, 0.85, 0.7], [0.6, 0.75, 0.8, 0.5]
    found = paired(dict(enumerate(a)), dict(enumerate(b)))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(interval))
    assert found.effect == pytest.approx(stats.ttest_rel(a, b).statistic / 4**0.5)  # t = d_z sqrt(n)


@pytest.mark.parametrize("n", [6, 8])
def test_the_sign_flip_test_counts_every_pattern_of_signs(n):
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    observed = abs(differences.mean())
    means = [abs(np.mean(differences * signs)) for signs in itertools.product((1, -1), repeat=n)]
    exact = np.mean([mean >= observed - 1e-12 for mean in means])
    found = paired(dict(enumerate(differences)), dict.fromkeys(range(n), 0.0))
    assert found.p == pytest.approx(exact)


def test_six_seeds_that_agree_give_the_lowest_p_there_is_and_five_give_none():
    same_sign = {seed: 0.1 + 0.01 * seed for seed in range(6)}
    assert paired(same_sign, dict.fromkeys(range(6), 0.0)).p == pytest.approx(2 / 2**6)
    assert paired(same_sign, dict.fromkeys(range(5), 0.0)).p is None


def test_with_too_many_seeds_to_enumerate_the_test_is_drawn_and_repeats():
    a = dict(enumerate(np.random.default_rng(0).normal(0.3, 1.0, 30)))
    first, second = (paired(a, dict.fromkeys(a, 0.0)).p for _ in range(2))
    assert first == second == pytest.approx(stats.ttest_1samp(list(a.values()), 0.0).pvalue, abs=0.02)


def test_a_difference_is_shown_only_if_the_interval_and_the_test_agree():
    assert paired({0: 0.5, 1: 0.51, 2: 0.52}, dict.fromkeys(range(3), 0.1)).verdict == "shown with 3 seeds"
    assert paired({0: 0.5, 1: 0.1, 2: 0.2}, dict.fromkeys(range(3), 0.15)).verdict == "not shown with 3 seeds"
    outlier = dict(enumerate([0.1, 0.1, 0.1, 0.1, 0.1, -0.0999]))  # the sign-flip test is the stricter one here
    found = paired(outlier, dict.fromkeys(range(6), 0.0))
    assert found.p > 0.05
    assert not found.shown


def test_cells_that_do_not_differ_are_called_so():
    same = paired(ACCURACIES, ACCURACIES)
    assert same.verdict == "no difference in 4 seeds"
    assert not same.shown
    assert same.effect is None
    assert paired({0: 0.1}, {1: 0.1}).verdict == "no seed in common"


def test_better_seeds_are_counted_in_the_direction_that_is_better():
    found = paired({0: 0.5, 1: 0.2, 2: 0.3}, {0: 0.4, 1: 0.3, 2: 0.3})
    assert (found.agreeing("higher"), found.agreeing("lower")) == (1, 1)


@pytest.mark.parametrize(("hits", "expected"), [(10, False), (15, False), (16, True), (50, True)])
def test_above_chance_means_that_the_exact_binomial_interval_is(hits, expected):
    tail = sum(stats.binom.pmf(k, 100, 0.1) for k in range(hits, 101))  # P(at least so many hits by guessing)
    assert (tail < 0.05) == expected
    assert above_chance(hits / 100, 100, 0.1) == expected
    low = stats.beta.ppf(0.05, hits, 100 - hits + 1)  # Clopper and Pearson's lower end
    assert (low > 0.1) == expected


def test_many_seeds_are_written_as_ranges():
    assert statistics.seeds_in_words(range(10)) == "0-9"
    assert statistics.seeds_in_words([4, 2, 3]) == "2, 3, 4"
