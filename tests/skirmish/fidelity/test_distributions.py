"""The Kolmogorov-Smirnov test, by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats

from skirmish.fidelity.distributions import ks_asymptotic, ks_exact, ks_statistic, ks_test


def test_by_hand():
    """Two against two values, all below the others: of the 6 orders 2 are so extreme."""
    assert ks_statistic(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert ks_exact(1.0, 2, 2) == pytest.approx(2 / 6)
    # Orders of 1 against 3: the single value is first, second, third or last; D = 1 at both ends, 2/3 between.
    assert ks_exact(1.0, 1, 3) == pytest.approx(1 / 2)
    assert ks_exact(2 / 3, 1, 3) == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (16, 16), (21, 256), (15, 1024), (128, 5)])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_against_scipy(n, m, shift):
    rng = np.random.default_rng(n * m)
    a, b = rng.normal(size=n), rng.normal(size=m) + shift
    d, p = ks_test(a, b)
    expected = stats.ks_2samp(a, b, method="exact")
    assert d == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, rel=1e-7)
    assert ks_test(b, a) == pytest.approx((d, p))


def test_ties_as_lengths_have_them():
    rng = np.random.default_rng(0)
    a, b = rng.integers(20, 30, 16), rng.integers(22, 33, 300)
    expected = stats.ks_2samp(a, b, method="exact")
    assert ks_test(a, b) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-7)


@pytest.mark.parametrize("x", [0.05, 0.3, 0.7, 0.99, 1.0, 1.5, 3.0])
def test_asymptotic_against_scipy(x):
    n, m = 4000, 3000
    d = x / np.sqrt(n * m / (n + m))
    assert ks_asymptotic(d, n, m) == pytest.approx(stats.kstwobign.sf(x), abs=1e-12)


def test_limits():
    assert ks_test(np.arange(5), np.arange(5)) == (0.0, 1.0)
    assert ks_asymptotic(0.0, 10, 10) == 1.0
    _, p = ks_test(np.zeros(600), np.ones(600))
    assert 0.0 < p < 1e-250  # logarithms stay finite


@pytest.mark.parametrize("bad", [np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_samples_that_are_none(bad):
    with pytest.raises(ValueError, match="a sample must be a vector of finite numbers"):
        ks_test(bad, np.ones(3))
