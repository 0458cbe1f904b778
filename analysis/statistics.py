"""Measures of single runs, and a stratified bootstrap of our own for what rliable lacks.

What figures and tables show over runs and maps is computed by rliable (`analysis.aggregates`). This module keeps

- measures of a curve: area under it, first crossing of a threshold;
- the same metrics and the same resampling (Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
  Precipice", NeurIPS 2021, arXiv 2108.13264), vectorised over repetitions and over any number of studies at once. It
  draws by a seeded generator and makes the millions of intervals by which their coverage is known
  (`analysis.coverage`). rliable is its oracle in the tests, and `analysis.two_bootstraps` measures how far they differ.

A score matrix is always (R, M): R runs (seeds) x M maps. Strata are the maps: a repetition draws R runs with
replacement within each map, independently of the other maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]  # (..., R, M) -> (...), repetitions and marks in front

REPETITIONS = 10_000
CONFIDENCE = 0.95
SEED = 2024  # of the resampling: intervals are the same whenever they are computed from the same runs
CHUNK_NUMBERS = 4_000_000  # most resampled scores held at once (32 MB)


@dataclass(frozen=True)
class Estimate:
    """A point estimate with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))  # of scores that a table does not hold


@dataclass(frozen=True)
class Curve:
    """Point estimates with intervals at T marks, each (T,)."""

    value: Array
    low: Array
    high: Array


def iqm(scores: Array) -> Array:
    """Interquartile mean over the last two axes: the mean after floor(n / 4) scores are cut off at each end, n = R M.

    Args:
      scores: (..., R, M).
    Returns: (...). With fewer than four scores nothing is cut and it is the mean.
    Source: arXiv 2108.13264, section 4.3 (scipy's trim_mean with a share of 0.25).
    """
    ordered = np.sort(_flatten(scores), axis=-1)  # (..., R * M)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def mean(scores: Array) -> Array:
    """Mean over runs and maps: (..., R, M) -> (...)."""
    return _flatten(scores).mean(axis=-1)


def median(scores: Array) -> Array:
    """Median over maps of the mean over runs: (..., R, M) -> (...). Source: arXiv 2108.13264, section 2."""
    return np.median(scores.mean(axis=-2), axis=-1)


def optimality_gap(scores: Array) -> Array:
    """Mean shortfall from a win rate of 1, surplus not counted: (..., R, M) -> (...). Smaller is better."""
    return 1.0 - _flatten(np.minimum(scores, 1.0)).mean(axis=-1)


METRICS: dict[str, Statistic] = {"iqm": iqm, "mean": mean, "median": median, "optimality_gap": optimality_gap}


def interval(scores: Array, statistic: Statistic, *, repetitions: int = REPETITIONS, seed: int = SEED) -> Estimate:
    """`statistic` of a score matrix with its 95 % stratified bootstrap percentile interval.

    Args:
      scores: (R, M).
      statistic: maps (..., R, M) to (...).
    Returns: Estimate. The interval has width zero when there is one run, or when all runs of every map agree.
    Raises: ValueError if scores is not a non-empty finite (R, M) matrix.
    """
    curve = interval_curve(checked(scores, 2)[..., None], statistic, repetitions=repetitions, seed=seed)
    return Estimate(float(curve.value[0]), float(curve.low[0]), float(curve.high[0]))


def interval_curve(scores: Array, statistic: Statistic, *, repetitions: int = REPETITIONS, seed: int = SEED) -> Curve:
    """`statistic` at every mark with pointwise 95 % stratified bootstrap percentile intervals.

    A repetition draws whole runs, so that all marks of one repetition come from the same runs.

    Args:
      scores: (R, M, T) one score per run, map and mark.
    Returns: Curve of (T,) arrays.
    Raises: ValueError if scores is not a non-empty finite (R, M, T) array.
    """
    scores = checked(scores, 3)
    runs, maps, marks = scores.shape
    drawn = np.empty((repetitions, marks))
    rng = np.random.default_rng(seed)
    for rows in _chunks(repetitions, runs * maps * marks):
        index = rng.integers(runs, size=(rows.stop - rows.start, runs, maps))
        resampled = scores[index, np.arange(maps)]  # (reps, R, M, T)
        drawn[rows] = statistic(np.moveaxis(resampled, -1, 1))
    low, high = _percentiles(drawn)
    return Curve(statistic(np.moveaxis(scores, -1, 0)), low, high)


def improvement(x: Array, y: Array) -> Array:
    """Probability that a run of X beats a run of Y on a map drawn at random, ties counting one half.

    Args:
      x: (..., R, M) scores of X.    y: (..., S, M) scores of Y on the same maps.
    Returns: (...).
    Source: arXiv 2108.13264, section 4.3: mean over maps of the Mann-Whitney statistic U / (R S).
    """
    difference = x[..., :, None, :] - y[..., None, :, :]  # (..., R, S, M)
    return (0.5 * (1.0 + np.sign(difference))).mean(axis=(-3, -2, -1))


def improvement_interval(x: Array, y: Array, *, repetitions: int = REPETITIONS, seed: int = SEED) -> Estimate:
    """Probability of improvement of X over Y with its 95 % interval; X and Y are resampled independently.

    Args:
      x: (R, M).    y: (S, M), same maps in the same order.
    Raises: ValueError if a matrix is empty or not finite, or if the numbers of maps differ.
    """
    x, y = checked(x, 2), checked(y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must hold the same maps, got {x.shape[1]} and {y.shape[1]} columns")
    maps = np.arange(x.shape[1])
    drawn = np.empty(repetitions)
    rng = np.random.default_rng(seed)
    for rows in _chunks(repetitions, x.size * len(y)):
        size = rows.stop - rows.start
        index_x = rng.integers(len(x), size=(size, *x.shape))
        index_y = rng.integers(len(y), size=(size, *y.shape))
        drawn[rows] = improvement(x[index_x, maps], y[index_y, maps])
    low, high = _percentiles(drawn)
    return Estimate(float(improvement(x, y)), float(low), float(high))


def area_under_curve(marks: Array, scores: Array) -> Array:
    """Mean height of a curve over the budget: trapezoids divided by the length of the x axis.

    Args:
      marks: (T,) increasing environment steps.    scores: (..., T).
    Returns: (...), in units of the score; the plain score if there is a single mark.
    """
    marks = np.asarray(marks, dtype=np.float64)
    if marks.size == 1:
        return scores[..., 0]
    return np.trapezoid(scores, marks, axis=-1) / (marks[-1] - marks[0])


def first_crossing(marks: Array, scores: Array, threshold: float) -> Array:
    """First mark at which a score is at or above `threshold`.

    Args:
      marks: (T,), or (..., T) where every curve has its own, as hours.    scores: (..., T).
    Returns: (...) float64; inf where the threshold is never reached: the run is censored at its last mark.
    """
    reached = scores >= threshold  # (..., T)
    places = np.broadcast_to(np.asarray(marks, dtype=np.float64), scores.shape)
    first = np.take_along_axis(places, reached.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), first, np.inf)


def _flatten(scores: Array) -> Array:
    return scores.reshape(*scores.shape[:-2], -1)


def checked(scores: Array, dimensions: int) -> Array:
    """Scores as float64.

    Args: dimensions: 2 for (R, M), 3 for (R, M, T).
    Raises: ValueError if they are not a non-empty finite array of so many dimensions.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != dimensions or scores.size == 0 or not np.isfinite(scores).all():
        axes = "(R, M)" if dimensions == 2 else "(R, M, T)"
        raise ValueError(
            f"scores must be a non-empty finite {axes} array, got shape {scores.shape}; collect the runs again"
        )
    return scores


def _chunks(repetitions: int, numbers: int) -> Iterator[slice]:
    """Slices of repetitions that hold at most CHUNK_NUMBERS resampled scores (at least one repetition each)."""
    size = max(1, CHUNK_NUMBERS // numbers)
    for start in range(0, repetitions, size):
        yield slice(start, min(start + size, repetitions))


def _percentiles(drawn: Array) -> tuple[Array, Array]:
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100.0 - tail], axis=0)
    return low, high
