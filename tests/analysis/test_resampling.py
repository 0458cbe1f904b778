"""The bootstrap against plain loops over the same random draws: equal to the last bit that a sum leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis import statistics
from analysis.collect import score_array
from analysis.statistics import Estimate, improvement, improvement_interval, interval, interval_curve, iqm
from tests.analysis.measured import MARKS, WIN_RATES, beats, measured

Loop = Callable[[np.ndarray], float]
RNG = np.random.default_rng(8)
CURVES = RNG.random((3, 2, 4))  # (R, M, T)
X, Y = RNG.integers(0, 4, (3, 2)) / 4, RNG.integers(0, 4, (2, 2)) / 4


def ends(drawn: list[float]) -> tuple[float, float]:
    """2.5 % and 97.5 % of the draws, linear between two of them."""
    ordered, values = sorted(drawn), []
    for share in (0.025, 0.975):
        place = share * (len(ordered) - 1)
        below = int(place)
        after = ordered[min(below + 1, len(ordered) - 1)]
        values.append(ordered[below] + (place - below) * (after - ordered[below]))
    return values[0], values[1]


def resampled(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of every map the runs that were drawn for it."""
    return np.array([[scores[rows[r, m], m] for m in range(scores.shape[1])] for r in range(scores.shape[0])])


@pytest.mark.parametrize("chunk", [1, 24 * 7, 10**6])
def test_curve(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """However many repetitions are drawn at once, they are the same."""
    monkeypatch.setattr(statistics, "CHUNK_NUMBERS", chunk)
    curve = interval_curve(CURVES, iqm, repetitions=30, seed=5)
    rows = np.random.default_rng(5).integers(3, size=(30, 3, 2))
    for mark in range(4):
        # Six scores, one of which is cut at each end.
        drawn = [float(np.mean(sorted(resampled(CURVES[:, :, mark], row).ravel())[1:-1])) for row in rows]
        value = np.mean(sorted(CURVES[:, :, mark].ravel())[1:-1])
        assert (curve.value[mark], curve.low[mark], curve.high[mark]) == pytest.approx((value, *ends(drawn)), rel=1e-12)


def test_scores() -> None:
    """The same with one mark, and with the numbers of repetitions and the seed of all figures when none is given."""
    matrix = CURVES[:, :, 0]
    for options, count, seed in (({"repetitions": 40, "seed": 9}, 40, 9), ({}, 10_000, 2024)):
        seen: list[int] = []

        def counted(scores: np.ndarray, seen: list[int] = seen) -> np.ndarray:
            seen.append(len(scores))
            return statistics.mean(scores)

        found = interval(matrix, counted, **options)  # type: ignore[arg-type]
        drawn = [
            float(resampled(matrix, row).mean()) for row in np.random.default_rng(seed).integers(3, size=(count, 3, 2))
        ]
        assert (found.value, found.low, found.high) == pytest.approx((matrix.mean(), *ends(drawn)), rel=1e-12)
        assert seen == [count, 1]


@pytest.mark.parametrize("size", [7, 25, 100])  # repetitions of one chunk
def test_improvement(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Of each chunk, rows of X are drawn first, then rows of Y."""
    monkeypatch.setattr(statistics, "CHUNK_NUMBERS", size * 3 * 2 * 2)
    found = improvement_interval(X, Y, repetitions=25, seed=3)
    rng, drawn = np.random.default_rng(3), []
    for start in range(0, 25, size):
        count = min(size, 25 - start)
        rows_x, rows_y = rng.integers(3, size=(count, 3, 2)), rng.integers(2, size=(count, 2, 2))
        drawn += [beats(resampled(X, x), resampled(Y, y)) for x, y in zip(rows_x, rows_y, strict=True)]
    assert (found.value, found.low, found.high) == pytest.approx((beats(X, Y), *ends(drawn)), rel=1e-12)
    assert improvement(X, Y) == pytest.approx(beats(X, Y))


def test_improvement_without_a_seed_has_that_of_all_figures() -> None:
    x, y = np.random.default_rng(1).random((2, 6, 3))
    found = improvement_interval(x, y, repetitions=50)
    assert found == improvement_interval(x, y, repetitions=50, seed=2024)
    assert found != improvement_interval(x, y, repetitions=50, seed=2025)


def test_chunks() -> None:
    assert list(statistics._chunks(5, statistics.CHUNK_NUMBERS // 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(statistics._chunks(2, statistics.CHUNK_NUMBERS + 1)) == [slice(0, 1), slice(1, 2)]
    assert list(statistics._chunks(4, 1)) == [slice(0, 4)]


@pytest.mark.parametrize("scores", [np.zeros((2, 0, 1)), np.zeros((1, 1, 1, 1)), [[[0.0, np.inf]]], [[[np.nan]]]])
def test_bad_curves_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"non-empty finite \(R, M, T\) array, got shape"):
        interval_curve(scores, statistics.mean)
    for pair in ((scores, np.zeros((1, 1))), (np.zeros((1, 1)), scores)):
        with pytest.raises(ValueError, match=r"non-empty finite \(R, M\) array, got shape"):
            improvement_interval(*pair)


def test_scores_may_be_lists_of_integers() -> None:
    assert interval([[0], [1]], statistics.mean) == Estimate(0.5, 0.0, 1.0)  # type: ignore[arg-type]
    assert improvement_interval([[1]], [[0]]) == Estimate(1.0, 1.0, 1.0)  # type: ignore[arg-type]


def test_an_estimate_as_text() -> None:
    assert str(Estimate(0.5, 0.126, 1.0)) == "0.50 [0.13, 1.00]"


def test_areas_and_crossings_of_many_runs_at_once() -> None:
    marks, scores = [0, 100, 400], RNG.random((2, 3, 3))
    areas, crossings = statistics.area_under_curve(marks, scores), statistics.first_crossing(marks, scores, 0.6)
    for place in np.ndindex(2, 3):
        first, second, third = scores[place]
        area = (100 * (first + second) / 2 + 300 * (second + third) / 2) / 400
        assert areas[place] == pytest.approx(area)
        assert crossings[place] == next((m for m, s in zip(marks, scores[place]) if s >= 0.6), np.inf)
    assert np.isinf(crossings).any() and (crossings == 100).any()
    moved = statistics.area_under_curve(np.array([100, 200, 500]), scores)
    assert moved == pytest.approx(areas)
    assert statistics.area_under_curve([50], scores[..., :1]).tolist() == scores[..., 0].tolist()


def test_score_array_of_another_column(tmp_path: Path) -> None:
    """(R, M, T) in the order of the study, whatever the order of the table; a return is 10 x win rate - seed."""
    frame, study = measured(tmp_path)
    scores = score_array(frame, study, study.groups["matrix"], algorithm="no_awpo", column="return_mean")
    assert scores.shape == (2, 2, len(MARKS["matrix"])) and scores.dtype == np.float64
    for column, name in enumerate(("matrix_1", "matrix_2")):
        for row, (seed, curve) in enumerate(zip((5, 2), WIN_RATES[name, "no_awpo"], strict=True)):
            assert scores[row, column].tolist() == [10 * value - seed for value in curve]
    wins = score_array(frame, study, study.groups["smac"], algorithm="mazero")
    assert wins.tolist() == [[[0, 0.5, 1]], [[0, 0.75, 0.75]]]
