"""Do two backends differ? Tests and intervals for every measure; several tests count as several (Holm).

- Win rate: Fisher's exact test; Newcombe's interval of the difference, from Wilson's intervals (Newcombe,
  "Interval estimation for the difference between independent proportions", 1998, method 10).
- Other measures: two-sample Kolmogorov-Smirnov test, which sees any difference of the distributions (with ties, as
  lengths have them, p is an upper bound); bootstrap interval of the difference of means.
- Curves: permutation test of the largest distance between the mean curves, whole episodes permuted.

A large p is no proof of equality: the interval says how large a difference remains possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from envs.compare.measures import CURVES, MEASURES, Measured

CONFIDENCE = 0.95
LEVEL = 0.05  # of all tests together
REPETITIONS = 10_000  # of the bootstrap
PERMUTATIONS = 10_000
CHUNK = 500  # repetitions at once
SEED = 2024  # intervals and p are the same whenever they are computed from the same episodes
FEWEST = 2  # values of a measure on each side, below which it is not tested


@dataclass(frozen=True)
class Difference:
    """One measure of the second side against the first."""

    measure: str
    test: str
    first: float  # means
    second: float
    counts: tuple[int, int]  # episodes that have a value
    low: float  # of second - first
    high: float
    statistic: float
    p: float
    p_holm: float = math.nan

    @property
    def differs(self) -> bool:
        """Significant, all tests of the comparison counted."""
        return bool(self.p_holm < LEVEL)


def differences(first: Measured, second: Measured) -> list[Difference]:
    """All tests of one comparison, with Holm's correction. Measures without values on one side are left out."""
    found = []
    for measure in MEASURES:
        a, b = (side.values[measure] for side in (first, second))
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if min(len(a), len(b)) >= FEWEST:
            found.append(_win_rate(a, b) if measure == "won" else _means(measure, a, b))
    found += [_curve(side, first.curves[side], second.curves[side]) for side in CURVES]
    corrected = holm([difference.p for difference in found])
    return [Difference(**{**vars(d), "p_holm": p}) for d, p in zip(found, corrected, strict=True)]


def holm(p: list[float]) -> list[float]:
    """Adjusted p. Source: Holm, "A simple sequentially rejective multiple test procedure", 1979."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def newcombe(wins: tuple[int, int], of: tuple[int, int]) -> tuple[float, float]:
    """Interval of the second win rate minus the first."""
    rates = [w / n for w, n in zip(wins, of, strict=True)]
    bounds = [stats.binomtest(w, n).proportion_ci(CONFIDENCE, method="wilson") for w, n in zip(wins, of, strict=True)]
    difference = rates[1] - rates[0]
    low = math.hypot(rates[1] - bounds[1].low, bounds[0].high - rates[0])
    high = math.hypot(bounds[1].high - rates[1], rates[0] - bounds[0].low)
    return difference - low, difference + high


def _win_rate(a: np.ndarray, b: np.ndarray) -> Difference:
    wins, of = (int(a.sum()), int(b.sum())), (len(a), len(b))
    table = [[wins[0], of[0] - wins[0]], [wins[1], of[1] - wins[1]]]
    low, high = newcombe(wins, of)
    p = min(1.0, float(stats.fisher_exact(table).pvalue))
    return Difference("won", "Fisher", a.mean(), b.mean(), of, low, high, wins[1] / of[1] - wins[0] / of[0], p)


def _means(measure: str, a: np.ndarray, b: np.ndarray) -> Difference:
    tested = stats.ks_2samp(a, b)
    rng = np.random.default_rng(SEED)
    drawn = [_resampled_means(values, rng) for values in (a, b)]
    low, high = np.percentile(drawn[1] - drawn[0], [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    means = float(a.mean()), float(b.mean())
    return Difference(
        measure, "Kolmogorov-Smirnov", *means, (len(a), len(b)), low, high, tested.statistic, tested.pvalue
    )


def _resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(REPETITIONS,) means of as many values drawn with replacement."""
    return np.concatenate([rng.choice(values, (CHUNK, len(values))).mean(1) for _ in range(0, REPETITIONS, CHUNK)])


def _curve(side: str, a: np.ndarray, b: np.ndarray) -> Difference:
    """Means, interval: of the mark at which the mean curves are farthest apart (the interval by bootstrap)."""
    together, n = np.concatenate([a, b]), len(a)
    gap = b.mean(0) - a.mean(0)
    mark = int(np.abs(gap).argmax())
    rng, total, beyond = np.random.default_rng(SEED), together.sum(0), 1
    for _ in range(0, PERMUTATIONS, CHUNK):
        chosen = rng.permuted(np.tile(np.arange(len(together)) < n, (CHUNK, 1)), axis=1).astype(np.float64)
        sums = chosen @ together
        apart = np.abs((total - sums) / len(b) - sums / n).max(1)
        beyond += int((apart >= abs(gap[mark]) - 1e-12).sum())
    p = beyond / (PERMUTATIONS + 1)
    at = _means(f"health_{side}", a[:, mark], b[:, mark])
    return Difference(**{**vars(at), "test": "permutation", "statistic": float(gap[mark]), "p": p})
