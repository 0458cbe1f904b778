"""Figures of what it takes to reach a win rate: environment steps, and hours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import statistics
from analysis.collect import made_by, score_array
from analysis.figure_parts import algorithm_rows, hours_axis, spread
from analysis.statistics import Array
from analysis.study import Group, Study
from analysis.style import TALL_HEADER, Look, headline, looks, panels, steps_axis

LANE = 0.115  # inches of one threshold in a row
GAP = 0.07  # inches between two rows, at least
LEAST_ROW = 0.26
STROKE = 30.0  # points of a stroke as high as a row
DOT: dict[str, Any] = {"color": "0.15", "markersize": 3, "markeredgewidth": 0}
TRIANGLE: dict[str, Any] = {
    "color": "0.15",
    "markerfacecolor": "white",
    "markersize": 3,
    "markeredgewidth": 0.5,
    "clip_on": False,
}


def steps_to(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Environment steps to the first evaluation at or above each threshold, one panel per map.

    A row per algorithm with a lane per threshold, the lowest on top: median over seeds as a bar and a dot per seed. A
    seed that never gets there stands as a hollow triangle at the budget, where it was censored. Where at least half of
    the seeds never get there the median does not exist, and there is no bar.
    """
    figure, axes_list = _panels(group)
    style = looks(study)
    for key in group.algorithms:
        scores = score_array(frame, study, group, algorithm=key)  # (R, M, T)
        x = np.broadcast_to(np.asarray(group.marks, dtype=np.float64), scores.shape)
        _lanes(axes_list, group, style[key], scores, x, row=group.algorithms.index(key), bars=True)
    for axes in axes_list:
        axes.set(xlabel="Environment steps")
        steps_axis(axes, group, room=0.25)
        axes.axvline(group.env_steps, color="0.6", linewidth=0.7, linestyle=":")
    _finish(figure, axes_list, frame, study, group, title="environment steps to a win rate", median="bar")
    return figure


def hours_to(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Hours of wall time to the same, on a logarithmic axis; a seed that never gets there stands where it ended.

    Times of runs that ran side by side, or on another machine, are what they are: the report says where they ran.
    """
    figure, axes_list = _panels(group)
    style = looks(study)
    for key in group.algorithms:
        scores = score_array(frame, study, group, algorithm=key)
        time = score_array(frame, study, group, algorithm=key, column="wall_seconds") / 3600  # (R, M, T)
        time = np.maximum(time, time[:, :, 1:2] / 2)  # before the first step: at the left, where a logarithm exists
        _lanes(axes_list, group, style[key], scores, time, row=group.algorithms.index(key), bars=False)
    for axes in axes_list:
        hours_axis(axes, room=0.25)  # for the shares at the right
    _finish(figure, axes_list, frame, study, group, title="hours to a win rate", median="stroke")
    return figure


def _panels(group: Group) -> tuple[Figure, list[Axes]]:
    row = max(LEAST_ROW, LANE * len(group.thresholds) + GAP)
    return panels(len(group.maps), height=row * len(group.algorithms) + 0.55, header=TALL_HEADER)


def _lanes(axes_list: list[Axes], group: Group, look: Look, scores: Array, x: Array, *, row: int, bars: bool) -> None:
    """All lanes of one algorithm. Args: scores, x: (R, M, T)."""
    count = len(group.thresholds)
    lane = 0.6 if count == 1 else 0.84 / count
    for index, axes in enumerate(axes_list):
        for number, threshold in enumerate(group.thresholds):
            middle = row + (number - (count - 1) / 2) * lane
            reached = statistics.first_crossing(x[:, index], scores[:, index], threshold)  # (R,)
            _lane(axes, middle, reached, x[:, index, -1], look, height=0.8 * lane if count > 1 else lane, bars=bars)


def _lane(axes: Axes, y: float, reached: Array, ends: Array, look: Look, *, height: float, bars: bool) -> None:
    """Median, and every run: where it got there, or where it ended without. Args: reached, ends: (R,)."""
    there = np.isfinite(reached)
    middle = float(np.median(reached))  # inf if at least half of the seeds never get there
    if np.isfinite(middle) and bars:
        axes.barh(y, middle, height=height, color=look.colour, alpha=0.55, label=look.label)
    elif np.isfinite(middle):
        size = STROKE * height
        axes.plot([middle], [y], "|", color=look.colour, markersize=size, markeredgewidth=2, label=look.label)
    for label, values, marker, shape in (
        ("_seed", reached[there], ".", DOT),
        ("_never", np.unique(ends[~there]), ">", TRIANGLE),
    ):
        if values.size:
            axes.plot(values, y + spread(values, room=height), marker, label=label, zorder=3, **shape)
    axes.text(
        0.99,
        y,
        f"{there.sum()}/{len(there)}",
        va="center",
        ha="right",
        fontsize=min(7.0, 25 * height),
        transform=axes.get_yaxis_transform(),
    )


def _finish(
    figure: Figure, axes_list: list[Axes], frame: pd.DataFrame, study: Study, group: Group, *, title: str, median: str
) -> None:
    for axes, name in zip(axes_list, group.maps, strict=True):
        axes.set_title(name)
        algorithm_rows(axes, looks(study), group.algorithms)
    lanes = ", ".join(f"{threshold:g}" for threshold in group.thresholds)
    order = " (from the top)" if len(group.thresholds) > 1 else ""
    notes = (
        f"win rate ≥ {lanes}{order}; {median}: median, dot: seed",
        "triangle: ended without; right: seeds that got there",
    )
    headline(figure, f"{group.title}: {title}", group, made_by=made_by(frame, group), notes=notes)
    sns.despine(figure)
