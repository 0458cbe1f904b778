"""Aggregates over runs and maps with their intervals, by rliable (arXiv 2108.13264).

Metrics, resampling and percentiles are those of the package: `rliable.metrics` and `rliable.library`. A score matrix
is (R, M), runs (seeds) x maps, and strata are the maps: a repetition draws R runs with replacement within each map.

rliable draws from numpy's global stream, whatever it is given as a random state; `pinned` seeds that stream for one
call and puts it back, so that the same runs always give the same interval. Its loops run in Python. So there are
`REPETITIONS` repetitions, its default for performance profiles, by which the ends of an interval are known to some
6 % of the standard error of the estimate; statistics of many numbers (every mark, every map) share one bootstrap;
and results are kept for the next table or figure that asks for the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from analysis import statistics
from analysis.statistics import CONFIDENCE, SEED, UNKNOWN, Array, Curve, Estimate, checked

# arch, on which rliable rests, loads numba for models of time series; figures are drawn where there is none.
os.environ.setdefault("ARCH_DISABLE_NUMBA", "1")

from rliable import library, metrics

REPETITIONS = 2000
KEPT = 4096  # bootstraps that are kept
TAUS = np.linspace(0.0, 1.0, 65)  # of a performance profile: every win rate of 32 episodes and the middle between two
METRICS: dict[str, Callable[[Array], float]] = {
    "iqm": metrics.aggregate_iqm,
    "mean": metrics.aggregate_mean,
    "median": metrics.aggregate_median,
    "optimality_gap": metrics.aggregate_optimality_gap,
}


@contextmanager
def pinned(seed: int = SEED) -> Iterator[None]:
    """Seed numpy's global stream inside the block, and leave it as it was found."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def aggregates(scores: Array) -> dict[str, Estimate]:
    """Interquartile mean, mean, median over maps and optimality gap (to a win rate of 1) of a score matrix.

    Args:
      scores: (R, M).
    Returns: key of `METRICS` -> Estimate. An interval has width zero if there is one run or all runs of a map agree.
    Raises: ValueError if scores is not a non-empty finite (R, M) matrix, as all functions here do.
    """
    curve = _bootstrap("aggregates", checked(scores, 2))
    return dict(zip(METRICS, _estimates(curve), strict=True))


def iqm(scores: Array) -> Estimate:
    """Interquartile mean of a score matrix (R, M) alone."""
    return _estimates(_bootstrap("iqm", checked(scores, 2)))[0]


def mean(scores: Array) -> Estimate:
    """Mean of a matrix (R, M) alone: of scores, or of differences between runs with the same seed."""
    return _estimates(_bootstrap("mean", checked(scores, 2)))[0]


def map_means(scores: Array) -> list[Estimate]:
    """Mean over runs of every map, of (R, M) scores. A map with a score that is not known (NaN) gets `UNKNOWN`."""
    known = np.isfinite(scores.sum(axis=0))  # (M,)
    result = [UNKNOWN] * len(known)
    if known.any():
        estimates = iter(_estimates(_bootstrap("map_means", checked(scores[:, known], 2))))
        result = [next(estimates) if there else nothing for there, nothing in zip(known, result, strict=True)]
    return result


def map_curves(scores: Array) -> list[Curve]:
    """Mean over runs of every map and mark with pointwise intervals, of (R, M, T) scores: a Curve per map."""
    scores = checked(scores, 3)
    curve = _bootstrap("map_means", scores)
    parts = (part.reshape(scores.shape[1:]) for part in (curve.value, curve.low, curve.high))
    return [Curve(*rows) for rows in zip(*parts, strict=True)]


def efficiency(scores: Array) -> Curve:
    """Sample efficiency: interquartile mean over runs and maps at every mark, of (R, M, T) scores, pointwise.

    The estimates are rliable's. Within its bootstrap the same numbers are computed by `analysis.statistics.iqm`, at all
    marks at once and thirty times as fast; tests hold the two equal.
    """
    scores = checked(scores, 3)
    curve = _bootstrap("efficiency", scores)
    values = [metrics.aggregate_iqm(scores[..., mark]) for mark in range(scores.shape[-1])]
    return Curve(np.array(values), curve.low, curve.high)


def profile(scores: Array) -> Curve:
    """Performance profile: share of the runs of all maps whose score is above each of `TAUS`, of (R, M) scores.

    Source: arXiv 2108.13264, section 4.2 (score distributions), with pointwise intervals.
    """
    return _profile(*_frozen(checked(scores, 2)))


def improvement(x: Array, y: Array) -> Estimate:
    """Probability that a run of X beats one of Y on a map drawn at random, ties counting one half.

    The estimate is rliable's. Within its bootstrap the same number is computed by `analysis.statistics.improvement`,
    a hundred times as fast as a test of scipy for every map; tests hold the two equal.

    Args:
      x: (R, M).    y: (S, M), same maps in the same order. Both are resampled, independently.
    Raises: ValueError if a matrix is empty or not finite, or if the numbers of maps differ.
    """
    x, y = checked(x, 2), checked(y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must hold the same maps, got {x.shape[1]} and {y.shape[1]} columns")
    value = float(metrics.probability_of_improvement(x, y))
    curve = _bootstrap("improvement", x, y)
    return Estimate(value, float(curve.low[0]), float(curve.high[0]))


def _above(scores: Array, taus: Array) -> Array:
    """`library.score_distributions`: share of scores (R, M) above each threshold, (len(taus),)."""
    return (scores.reshape(-1, 1) > taus).mean(axis=0)


STATISTICS: dict[str, Callable[..., Array]] = {
    "aggregates": lambda scores: np.array([metric(scores) for metric in METRICS.values()]),
    "iqm": lambda scores: np.array([metrics.aggregate_iqm(scores)]),
    "mean": lambda scores: np.array([metrics.aggregate_mean(scores)]),
    "map_means": lambda scores: scores.mean(axis=0).ravel(),
    "efficiency": lambda scores: statistics.iqm(np.moveaxis(scores, -1, 0)),
    "improvement": lambda x, y: np.array([statistics.improvement(x, y)]),
}
Frozen = tuple[tuple[int, ...], bytes]


def _bootstrap(name: str, *scores: Array) -> Curve:
    """`STATISTICS[name]` of one array, or of two that are resampled independently, with intervals: (numbers,) each."""
    return _resampled(name, *map(_frozen, scores))


def _frozen(scores: Array) -> Frozen:
    """What can be looked up: shape and bytes of float64 scores."""
    return scores.shape, scores.tobytes()


def _thawed(scores: Frozen) -> Array:
    shape, raw = scores
    return np.frombuffer(raw, dtype=np.float64).reshape(shape)


@lru_cache(maxsize=KEPT)
def _resampled(name: str, *scores: Frozen) -> Curve:
    arrays = [_thawed(one) for one in scores]
    with pinned():
        values, intervals = library.get_interval_estimates(
            {name: arrays[0] if len(arrays) == 1 else arrays},
            STATISTICS[name],
            reps=REPETITIONS,
            confidence_interval_size=CONFIDENCE,
        )
    return Curve(values[name], *intervals[name])


@lru_cache(maxsize=KEPT)
def _profile(shape: tuple[int, ...], raw: bytes) -> Curve:
    with pinned():
        values, intervals = library.create_performance_profile(
            {"runs": _thawed((shape, raw))},
            TAUS,
            custom_profile_func=_above,  # what rliable computes by default, for all thresholds at once
            reps=REPETITIONS,
            confidence_interval_size=CONFIDENCE,
        )
    return Curve(values["runs"], *intervals["runs"])


def _estimates(curve: Curve) -> list[Estimate]:
    return [Estimate(*map(float, numbers)) for numbers in zip(curve.value, curve.low, curve.high, strict=True)]
