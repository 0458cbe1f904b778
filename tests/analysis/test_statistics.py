"""Metrics by hand, the bootstrap against rliable and against exact enumeration, and the promise of the seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rliable import library, metrics

from analysis import statistics
from analysis.statistics import (
    METRICS,
    area_under_curve,
    first_crossing,
    improvement,
    improvement_interval,
    interval,
    interval_curve,
)

ORACLES = {
    "iqm": metrics.aggregate_iqm,
    "mean": metrics.aggregate_mean,
    "median": metrics.aggregate_median,
    "optimality_gap": metrics.aggregate_optimality_gap,
}


def test_metrics_by_hand() -> None:
    scores = np.array([[0.0, 0.2], [0.4, 0.6], [0.8, 1.0], [1.0, 1.0]])  # sorted: 0 .2 .4 .6 .8 1 1 1
    assert statistics.iqm(scores) == pytest.approx((0.4 + 0.6 + 0.8 + 1.0) / 4)
    assert statistics.mean(scores) == pytest.approx(5.0 / 8)
    assert statistics.median(scores) == pytest.approx((0.55 + 0.7) / 2)  # means of the two maps
    assert statistics.optimality_gap(scores) == pytest.approx(3.0 / 8)


def test_iqm_of_fewer_than_four_scores_is_their_mean_and_of_five_cuts_one_at_each_end() -> None:
    assert statistics.iqm(np.array([[0.0], [0.3], [0.9]])) == pytest.approx(0.4)
    assert statistics.iqm(np.array([[0.0], [0.1], [0.2], [0.3], [0.9]])) == pytest.approx(0.2)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 4), (5, 3), (10, 8)])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_agree_with_rliable(name: str, shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(7).uniform(-0.2, 1.3, shape)
    assert METRICS[name](scores) == pytest.approx(ORACLES[name](scores), abs=1e-12)
    stacked = np.stack([scores, scores**2])
    assert METRICS[name](stacked) == pytest.approx([ORACLES[name](scores), ORACLES[name](scores**2)], abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_interval_agrees_with_rliable(name: str) -> None:
    """Ends of intervals of 2,000 and 4,000 repetitions have a standard error of about 0.003 (metric spread 0.05)."""
    scores = np.random.default_rng(3).beta(2, 1, (6, 4))
    np.random.seed(0)  # rliable ignores its random_state: only the global seed repeats it
    _, oracle = library.get_interval_estimates({"x": scores}, lambda x: np.array([ORACLES[name](x)]), reps=2000)
    ours = interval(scores, METRICS[name], repetitions=4000)
    assert ours.value == pytest.approx(ORACLES[name](scores))
    assert [ours.low, ours.high] == pytest.approx(oracle["x"].ravel(), abs=0.015)


def test_curve_interval_agrees_with_rliable() -> None:
    scores = np.random.default_rng(5).random((5, 3, 4))
    np.random.seed(0)
    iqm = library.get_interval_estimates(
        {"x": scores}, lambda x: np.array([metrics.aggregate_iqm(x[..., mark]) for mark in range(4)]), reps=1000
    )
    curve = interval_curve(scores, statistics.iqm, repetitions=4000)
    assert curve.value == pytest.approx(iqm[0]["x"])
    assert np.stack([curve.low, curve.high]) == pytest.approx(iqm[1]["x"], abs=0.05)


def test_improvement_agrees_with_rliable() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.integers(0, 5, (6, 3)) / 4, rng.integers(0, 4, (4, 3)) / 4  # ties are common
    assert improvement(x, y) == pytest.approx(metrics.probability_of_improvement(x, y))
    np.random.seed(0)
    point, oracle = library.get_interval_estimates(
        {"x": (x, y)}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]), reps=300
    )
    ours = improvement_interval(x, y, repetitions=4000)
    assert ours.value == pytest.approx(point["x"].item())
    assert [ours.low, ours.high] == pytest.approx(oracle["x"].ravel(), abs=0.05)


def test_bootstrap_follows_the_exact_distribution_of_the_mean() -> None:
    """Two runs of one map give means a, (a + b) / 2 and b with shares 1/4, 1/2 and 1/4; three runs are enumerated."""
    seen = interval(np.array([[0.2], [0.6]]), statistics.mean)
    assert (seen.low, seen.value, seen.high) == pytest.approx((0.2, 0.4, 0.6))
    runs = np.array([0.0, 0.5, 1.0])
    exact = np.array([np.mean(draw) for draw in itertools.product(runs, repeat=3)])  # all 27 equally likely
    estimate = interval(runs[:, None], statistics.mean)
    # 1/27 of the draws lie at each end, more than the 2.5 % that the interval leaves out.
    assert (estimate.low, estimate.high) == (exact.min(), exact.max())


def test_strata_are_resampled_independently_and_never_mixed() -> None:
    scores = np.array([[0.0, 10.0], [1.0, 11.0]])
    seen: list[np.ndarray] = []
    interval(scores, lambda x: (seen.append(x.copy()), statistics.mean(x))[1], repetitions=200)  # type: ignore[func-returns-value]
    drawn = seen[0].reshape(-1, 2, 2)  # (reps, R, M); the point estimate comes last
    assert set(np.unique(drawn[..., 0])) == {0.0, 1.0} and set(np.unique(drawn[..., 1])) == {10.0, 11.0}
    low, high = drawn[..., 0] > 0, drawn[..., 1] > 10
    assert {(a, b) for a, b in zip(low.sum(1).tolist(), high.sum(1).tolist(), strict=True)} == set(
        itertools.product(range(3), range(3))
    )


def test_seed_is_a_promise_that_global_seeding_does_not_touch() -> None:
    scores = np.random.default_rng(0).random((4, 3))
    np.random.seed(1)
    first = interval(scores, statistics.iqm, repetitions=500)
    np.random.seed(2)
    assert interval(scores, statistics.iqm, repetitions=500) == first
    assert interval(scores, statistics.iqm, repetitions=500, seed=1) != first


def test_chunks_do_not_change_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random((3, 2, 4))
    whole = interval_curve(scores, statistics.iqm, repetitions=101)
    monkeypatch.setattr(statistics, "CHUNK_NUMBERS", 10 * scores.size)
    parts = interval_curve(scores, statistics.iqm, repetitions=101)
    assert np.array_equal(whole.low, parts.low) and np.array_equal(whole.high, parts.high)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31))
def test_interval_holds_within_the_scores(runs: int, maps: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random((runs, maps))
    for statistic in (statistics.iqm, statistics.mean, statistics.median):
        estimate = interval(scores, statistic, repetitions=100)
        assert scores.min() - 1e-12 <= estimate.low <= estimate.high <= scores.max() + 1e-12
    if runs == 1:
        assert estimate.low == estimate.high == estimate.value
    other = improvement_interval(scores, scores[::-1] ** 2, repetitions=100)
    assert 0 <= other.low <= other.high <= 1
    assert improvement(scores, scores**2) + improvement(scores**2, scores) == pytest.approx(1)


def test_degenerate_scores_give_intervals_of_width_zero() -> None:
    zeros = np.zeros((3, 2, 5))
    curve = interval_curve(zeros, statistics.iqm)
    assert not curve.value.any() and not curve.low.any() and not curve.high.any()
    assert improvement_interval(zeros[..., 0], zeros[..., 0]) == statistics.Estimate(0.5, 0.5, 0.5)


def test_area_and_first_crossing_by_hand() -> None:
    marks = np.array([0.0, 100.0, 200.0, 400.0])
    scores = np.array([[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.2, 0.0]])
    # (25 + 75 + 200) / 400 and (0 + 10 + 20) / 400
    assert area_under_curve(marks, scores) == pytest.approx([0.75, 0.075])
    assert area_under_curve(np.array([0.0]), np.array([[0.3]])) == pytest.approx([0.3])
    assert first_crossing(marks, scores, 0.5).tolist() == [100.0, np.inf]
    assert first_crossing(marks, scores, 0.2).tolist() == [100.0, 200.0]


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.zeros(3), np.array([[np.nan, 1.0]])])
def test_bad_scores_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"non-empty finite \(R, M\) array"):
        interval(scores, statistics.mean)


def test_other_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="same maps, got 2 and 3 columns"):
        improvement_interval(np.zeros((2, 2)), np.zeros((2, 3)))
