"""Are two samples from one distribution? The two-sample Kolmogorov-Smirnov test, with exact and asymptotic p.

The exact p counts lattice paths (Hodges, "The significance probability of the Smirnov two-sample test", 1958): all
orders of the n + m values are equally likely under the null hypothesis. With ties, as lengths in steps have them, p is
an upper bound.
"""

from __future__ import annotations

import math

import numpy as np

EXACT_UP_TO = 4_000_000  # n * m; beyond it the asymptotic p is near enough
SMALLEST_P = 1e-300  # p of samples without overlap underflow: their logarithm stays finite


def ks_statistic(first: np.ndarray, second: np.ndarray) -> float:
    """D = sup |F1 - F2| of the empirical distribution functions of (n,) and (m,) values."""
    a, b = np.sort(first), np.sort(second)
    where = np.concatenate([a, b])
    gap = np.searchsorted(a, where, side="right") / len(a) - np.searchsorted(b, where, side="right") / len(b)
    return float(np.abs(gap).max())


def ks_exact(d: float, n: int, m: int) -> float:
    """P(D >= d) for two samples of sizes n and m from one continuous distribution.

    q(i, j) is the chance that a path through (i, j) has already reached |i/n - j/m| >= d. Its last step came from
    (i-1, j) with chance i/(i+j), so  q(i, j) = i/(i+j) q(i-1, j) + j/(i+j) q(i, j-1),  and 1 where the bound is
    reached: sums of positive numbers, exact to rounding even for the smallest p.
    """
    if n > m:
        n, m = m, n
    bound = round(d * n * m)  # |i m - j n| is an integer, so the comparison is exact
    q = np.zeros(n + 2)  # q[i + 1] at (i, k - i); q[0] stands for i = -1
    i = np.arange(n + 1)
    q[1] = float(bound <= 0)
    for k in range(1, n + m + 1):
        j = k - i
        new = (i * q[:-1] + j * q[1:]) / k
        new[np.abs(i * m - j * n) >= bound] = 1.0
        new[(j < 0) | (j > m)] = 0.0
        q[1:] = new
    return float(min(1.0, q[n + 1]))


def ks_asymptotic(d: float, n: int, m: int) -> float:
    """Kolmogorov's limit  2 sum_k (-1)^(k-1) exp(-2 k^2 x^2),  x = d sqrt(n m / (n + m)).

    Below x = 1 its other form is used: 1 - sqrt(2 pi)/x sum_k exp(-(2k-1)^2 pi^2 / (8 x^2)).
    """
    x = d * math.sqrt(n * m / (n + m))
    if x <= 0.0:
        return 1.0
    k = np.arange(1, 101)
    if x < 1.0:
        inside = math.sqrt(2.0 * math.pi) / x * np.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8.0 * x * x)).sum()
        return float(min(1.0, max(0.0, 1.0 - inside)))
    return float(min(1.0, 2.0 * ((-1.0) ** (k - 1) * np.exp(-2.0 * k * k * x * x)).sum()))


def ks_test(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """(D, p) of two samples; p exact as long as n * m <= `EXACT_UP_TO`.

    Raises: ValueError for an empty sample or values that are not finite.
    """
    for sample in (first, second):
        if np.ndim(sample) != 1 or len(sample) == 0 or not np.isfinite(sample).all():
            raise ValueError(
                f"a sample must be a vector of finite numbers, got shape {np.shape(sample)}: "
                "pass at least one value and leave out NaN"
            )
    n, m = len(first), len(second)
    d = ks_statistic(first, second)
    p = ks_exact(d, n, m) if n * m <= EXACT_UP_TO else ks_asymptotic(d, n, m)
    return d, max(p, SMALLEST_P)
