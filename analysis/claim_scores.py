"""What claims compare: scores of two algorithms on every map, their difference, and the same by the paper's figures.

    area      mean height of the curve of win rates up to the budget
    hours     the same over wall time, up to the hour at which the first of the two ends, by its mean over seeds
    final     win rate of the last evaluation
    absolute  that of the best policy, played again
    ahead     of pairs of runs, the share in which the first ends higher minus that in which it ends lower: 2P - 1, if P
              is the probability of improvement
    search    last evaluation of the first with search, and of the other without; with itself, runs stay paired

Differences are means over maps; runs are resampled within each map and algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import collect, paper_bars, statistics
from analysis.paper_curves import DATA, HOURS, PaperCurve, paper_curve
from analysis.statistics import Array, Estimate
from analysis.study import Group, Study

TABLE_8 = DATA / "mazero_paper_table8.csv"
COLUMNS = {"absolute": "absolute_win_rate"}  # the others are of win_rate
CHUNK = 1000  # draws of pairs at once
Place = tuple[Group, str]  # and one of its maps
Pair = tuple[Array, Array]  # scores of runs, (R,) and (S,)


def pairs(metric: str, keys: tuple[str, str], study: Study, frame: pd.DataFrame, places: Sequence[Place]) -> list[Pair]:
    """Scores of both algorithms, one pair of arrays a map. `frame`: as `analysis.collect` returns it."""
    return [_pair(metric, keys, study, frame, group, group.maps.index(name)) for group, name in places]


def difference(metric: str, found: Sequence[Pair]) -> Estimate:
    """Mean over maps of the difference of both, with the percentile interval of resampled runs."""
    value = float(np.mean([_compared(metric, x[None], y[None])[0] for x, y in found]))
    rng, drawn = np.random.default_rng(statistics.SEED), np.zeros(statistics.REPETITIONS)
    for x, y in found:
        sides = [scores[rng.integers(len(scores), size=(len(drawn), len(scores)))] for scores in (x, y)]
        drawn += _compared(metric, sides[0], sides[1]) / len(found)
    tail = 50 * (1 - statistics.CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def published(metric: str, keys: tuple[str, str], study: Study, places: Sequence[Place]) -> float | None:
    """The same difference by the paper's curves, bars or Table 8; None if it shows that not for all of the maps."""
    if metric == "ahead":
        first, other = (place.curve if (place := study.algorithms[key].in_paper) else None for key in keys)
        beaten = paper_bars.bar("improvement", other).value if first == paper_bars.WINNER else np.nan
        return 2 * beaten - 1 if np.isfinite(beaten) and len(places) == paper_bars.MAPS else None
    values = [_published(metric, keys, study, group, name) for group, name in places]
    return float(np.mean(values)) if np.isfinite(values).all() else None


def _pair(metric: str, keys: tuple[str, str], study: Study, frame: pd.DataFrame, group: Group, index: int) -> Pair:
    def scores(key: str, column: str) -> Array:
        return collect.score_array(frame, study, group, algorithm=key, column=column)[:, index]  # (R, T)

    if metric == "search":
        first, other = scores(keys[0], "win_rate")[:, -1], scores(keys[1], collect.BARE)[:, -1]
        return (first - other, np.zeros(1)) if keys[0] == keys[1] else (first, other)
    curves = [scores(key, COLUMNS.get(metric, "win_rate")) for key in keys]
    if metric == "area":
        marks = np.asarray(group.marks)
        return statistics.area_under_curve(marks, curves[0]), statistics.area_under_curve(marks, curves[1])
    if metric == "hours":
        hours = [scores(key, "wall_seconds") / 3600 for key in keys]
        end = min(float(time[:, -1].mean()) for time in hours)
        first, other = (
            np.array([_height(*run, end) for run in zip(time, curve, strict=True)])
            for time, curve in zip(hours, curves, strict=True)
        )
        return first, other
    return curves[0][:, -1], curves[1][:, -1]


def _height(x: Array, values: Array, end: float) -> float:
    """Mean height of a curve over [0, end], linear between points, level before the first and after the last."""
    grid = np.unique(np.concatenate([[0.0, end], x[(x > 0) & (x < end)]]))
    return float(statistics.area_under_curve(grid, np.interp(grid, x, values)))


def _compared(metric: str, x: Array, y: Array) -> Array:
    """Differences of draws, (N, R) and (N, S) -> (N,)."""
    if metric != "ahead":
        return x.mean(axis=1) - y.mean(axis=1)
    parts = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    return np.concatenate([np.sign(x[part, :, None] - y[part, None, :]).mean(axis=(1, 2)) for part in parts])


def _published(metric: str, keys: tuple[str, str], study: Study, group: Group, name: str) -> float:
    """On one map; NaN where the paper shows no such thing, or not after our budget."""
    if metric == "search":
        row = pd.read_csv(TABLE_8).set_index("map").reindex([name]).iloc[0]
        same = row["env_steps"] == group.env_steps and not any(study.algorithms[key].overrides for key in keys)
        return float(row["with_search"] - row["without_search"]) if same else np.nan
    curves = [_curve(study, key, name) for key in keys]
    first, other = curves
    if first is None or other is None or any((curve.unit == HOURS) != (metric == "hours") for curve in (first, other)):
        return np.nan
    if metric == "hours":
        end = min(first.x[-1], other.x[-1])
        return _height(first.x, first.win_rate, end) - _height(other.x, other.win_rate, end)
    marks = np.asarray(group.marks)
    values = first.at(marks) - other.at(marks)
    if metric == "area":
        return float(statistics.area_under_curve(marks, values))
    return float(values[-1]) if metric == "final" else np.nan


def _curve(study: Study, key: str, name: str) -> PaperCurve | None:
    place = study.algorithms[key].in_paper
    return paper_curve(name, place.curve, figure=place.figure) if place else None
