"""Aggregates are rliable's, repeat exactly, leave numpy's global stream alone, and agree with definitions by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rliable import library, metrics

from analysis import aggregates, statistics
from analysis.statistics import Curve, Estimate
from tests.analysis.conftest import FEW
from tests.analysis.measured import beats

RNG = np.random.default_rng(4)
SCORES = RNG.integers(0, 33, (4, 3)) / 32  # (R, M)
CURVES = RNG.integers(0, 33, (4, 3, 5)) / 32  # (R, M, T)


pytestmark = pytest.mark.usefixtures("few_repetitions")


def of_rliable(function: Callable[..., Any], *scores: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """What a user of rliable gets who seeds numpy's global stream right before."""
    np.random.seed(statistics.SEED)
    values, intervals = library.get_interval_estimates(
        {"x": scores[0] if len(scores) == 1 else list(scores)}, lambda *x: np.atleast_1d(function(*x)), reps=FEW
    )
    return values["x"].tolist(), *intervals["x"].tolist()


def numbers(*estimates: Estimate) -> tuple[list[float], list[float], list[float]]:
    return [e.value for e in estimates], [e.low for e in estimates], [e.high for e in estimates]


def parts(curve: Curve) -> tuple[list[float], list[float], list[float]]:
    return curve.value.tolist(), curve.low.tolist(), curve.high.tolist()


def test_aggregates_are_those_of_rliable() -> None:
    functions = {
        "iqm": metrics.aggregate_iqm,
        "mean": metrics.aggregate_mean,
        "median": metrics.aggregate_median,
        "optimality_gap": metrics.aggregate_optimality_gap,
    }
    found = aggregates.aggregates(SCORES)
    assert list(found) == list(functions)
    for name, function in functions.items():  # the same draws, whatever else is computed of them
        wanted = [part[0] for part in of_rliable(function, SCORES)]
        assert [found[name].value, found[name].low, found[name].high] == pytest.approx(wanted, abs=1e-12)
    assert found["iqm"] == aggregates.iqm(SCORES) and found["mean"] == aggregates.mean(SCORES)


def test_means_of_maps() -> None:
    assert numbers(*aggregates.map_means(SCORES)) == of_rliable(lambda x: x.mean(axis=0), SCORES)
    holes = SCORES.copy()
    holes[2, 1] = np.nan
    first, unknown, last = aggregates.map_means(holes)
    assert all(math.isnan(number) for number in (unknown.value, unknown.low, unknown.high))
    assert (first.value, last.value) == pytest.approx((SCORES[:, 0].mean(), SCORES[:, 2].mean()))
    assert all(math.isnan(estimate.value) for estimate in aggregates.map_means(np.full((2, 2), np.nan)))


def test_curves_of_maps() -> None:
    curves = aggregates.map_curves(CURVES)
    values, lows, highs = of_rliable(lambda x: x.mean(axis=0).ravel(), CURVES)
    for index, curve in enumerate(curves):
        own = slice(5 * index, 5 * index + 5)
        assert parts(curve) == (values[own], lows[own], highs[own])
        assert curve.value == pytest.approx(CURVES[:, index].mean(axis=0))
    assert len(curves) == 3


def test_sample_efficiency_is_the_iqm_at_every_mark() -> None:
    wanted = of_rliable(lambda x: [metrics.aggregate_iqm(x[..., mark]) for mark in range(5)], CURVES)
    for found, part in zip(parts(aggregates.efficiency(CURVES)), wanted, strict=True):
        assert found == pytest.approx(part, abs=1e-12)


def test_performance_profile() -> None:
    np.random.seed(statistics.SEED)
    values, intervals = library.create_performance_profile({"x": SCORES}, aggregates.TAUS, reps=FEW)
    found = aggregates.profile(SCORES)
    assert parts(found) == (values["x"].tolist(), *intervals["x"].tolist())
    ordered = sorted(SCORES.ravel())
    by_hand = [sum(score > tau for score in ordered) / 12 for tau in aggregates.TAUS]
    assert found.value.tolist() == pytest.approx(by_hand)
    assert (aggregates.TAUS[0], aggregates.TAUS[-1]) == (0, 1) and set(np.arange(33) / 32) <= set(aggregates.TAUS)


def test_improvement() -> None:
    x, y = SCORES, RNG.integers(0, 33, (2, 3)) / 32
    found = aggregates.improvement(x, y)
    value, low, high = (part[0] for part in of_rliable(metrics.probability_of_improvement, x, y))
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
    assert found.value == pytest.approx(beats(x, y))


def test_interval_follows_the_exact_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs of a map: of all 27 resamplings, 1/27 holds the least run alone, more than the 2.5 % left out."""
    runs = np.array([[0.0], [0.5], [1.0]])
    means = [np.mean(draw) for draw in itertools.product((0.0, 0.5, 1.0), repeat=3)]
    monkeypatch.setattr(aggregates, "REPETITIONS", 2000)  # 74 of which are expected there, where 50 are left out
    estimate = aggregates.mean(runs)
    assert (estimate.low, estimate.value, estimate.high) == (min(means), 0.5, max(means))


@pytest.mark.parametrize("function", [aggregates.aggregates, aggregates.map_means, aggregates.profile])
def test_the_same_runs_give_the_same_interval_and_the_global_stream_goes_on(function: Callable[..., Any]) -> None:
    np.random.seed(1)
    expected = np.random.random(3).tolist()
    np.random.seed(1)
    first = function(SCORES)
    assert np.random.random(3).tolist() == expected  # as if nothing had drawn
    aggregates._resampled.cache_clear()
    aggregates._profile.cache_clear()
    again = function(SCORES)
    assert parts(first) == parts(again) if isinstance(first, Curve) else first == again


def test_the_stream_is_put_back_after_an_error() -> None:
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    with pytest.raises(ZeroDivisionError), aggregates.pinned():
        raise ZeroDivisionError
    assert np.random.random() == expected
    with aggregates.pinned(3):
        inside = np.random.random()
    assert inside == np.random.RandomState(3).random_sample()


def test_what_was_computed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = aggregates.iqm(SCORES)

    def gone(*arguments: Any, **options: Any) -> None:
        raise AssertionError("resampled again")

    monkeypatch.setattr(library, "get_interval_estimates", gone)
    assert aggregates.iqm(SCORES.copy()) == first
    with pytest.raises(AssertionError, match="again"):
        aggregates.iqm(SCORES[::-1])  # other runs


def test_one_run_has_an_interval_of_width_zero() -> None:
    for estimate in (*aggregates.aggregates(SCORES[:1]).values(), *aggregates.map_means(SCORES[:1])):
        assert estimate.low == estimate.value == estimate.high
    assert aggregates.improvement(SCORES[:1], SCORES[:1]) == Estimate(0.5, 0.5, 0.5)


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.zeros(3), np.array([[np.nan, 1.0]])])
@pytest.mark.parametrize("function", [aggregates.aggregates, aggregates.iqm, aggregates.mean, aggregates.profile])
def test_bad_scores_are_refused(function: Callable[..., Any], scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"non-empty finite \(R, M\) array, got shape"):
        function(scores)


def test_bad_curves_and_other_maps_are_refused() -> None:
    for function in (aggregates.map_curves, aggregates.efficiency):
        with pytest.raises(ValueError, match=r"non-empty finite \(R, M, T\) array, got shape \(4, 3\)"):
            function(SCORES)
    with pytest.raises(ValueError, match="same maps, got 3 and 2 columns"):
        aggregates.improvement(SCORES, SCORES[:, :2])
