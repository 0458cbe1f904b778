"""Figures of one group: curves per map, sample efficiency, final scores, probability of improvement, steps to a win
rate.

Each function takes the checked table and returns a matplotlib Figure, so that tests can look at what was drawn;
`draw_all` saves them. Points are means over seeds (per map) or interquartile means over runs and maps (per group);
bands and bars are 95 % stratified bootstrap intervals (`analysis/statistics.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis import statistics
from analysis.collect import made_by, score_array
from analysis.comparisons import SCORES, improvements, reference_of
from analysis.statistics import Array, Estimate
from analysis.study import FIGURES, Group, Study, StudyError
from analysis.style import ALL, Look, headline, looks, panels, paper_style, save, steps_axis, thousands

EACH = "each evaluation"
BAND = "band: 95 % bootstrap interval"
BAR = "bar: 95 % bootstrap interval"
# Hollow, so that the runs below it stay in sight, and whole where the win rate is 0 or 1.
DIAMOND: dict[str, Any] = {"markersize": 5, "markerfacecolor": "none", "markeredgewidth": 1.0, "clip_on": False}
LONG_LABEL = 14  # characters: three columns of longer ones do not fit into the width of one panel
BAND_ALPHA = 0.12  # five bands over each other must stay apart


def draw_all(frame: pd.DataFrame, study: Study, directory: Path, *, only: str | None = None) -> list[Path]:
    """Draw every figure of every group (or of group `only`) into directory/<group>/<figure>.{png,pdf,svg}.

    Raises: StudyError if there is no group of that name.
    """
    if only is not None and only not in study.groups:
        raise StudyError(f"unknown group {only!r} in study {study.name}; known: {', '.join(study.groups)}")
    written: list[Path] = []
    for group in study.groups.values():
        if only in (None, group.key):
            with paper_style():
                for name in FIGURES:
                    figure = DRAW[name](frame, study, group)
                    written += save(figure, directory / group.key / name, suffixes=ALL)
    return written


def win_rate(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Win rate over environment steps, one panel per map: mean over seeds, its interval, and a thin line per seed."""
    figure = _curves(frame, study, group, column="win_rate", label="Win rate", title=f"{group.title}: win rate")
    for axes in figure.axes:
        axes.set_ylim(-0.03, 1.03)
    return figure


def episode_return(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Mean evaluation return over environment steps, in the same layout. Every panel has its own scale."""
    title = f"{group.title}: episode return"
    return _curves(frame, study, group, column="return_mean", label="Episode return", title=title, share_y=False)


def hours(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Win rate over wall time on a logarithmic axis, one panel per map: means over seeds of both, and the interval.

    Evaluations before the first step are left out. Times of runs that ran side by side, or on another machine, are what
    they are: the report says where they ran.
    """
    wide = len(group.maps) > 1
    style = looks(study)
    columns = _legend_columns([style[key].label for key in group.algorithms], wide=wide)
    rows = -(-len(group.algorithms) // columns)
    figure, axes_list = panels(len(group.maps), height=1.75 if wide else 2.2, legend_rows=rows)
    for index, (axes, name) in enumerate(zip(axes_list, group.maps, strict=True)):
        for key in group.algorithms:
            scores = score_array(frame, study, group, algorithm=key)[:, index, 1:]  # (R, T - 1)
            seconds = score_array(frame, study, group, algorithm=key, column="wall_seconds")[:, index, 1:]
            curve = statistics.interval_curve(scores[:, None, :], statistics.mean)
            time = seconds.mean(axis=0) / 3600
            axes.fill_between(time, curve.low, curve.high, color=style[key].colour, alpha=BAND_ALPHA, linewidth=0)
            _line(axes, group, style[key], curve.value, x=time)
        axes.set(title=name, xlabel="Hours", xscale="log", ylim=(-0.03, 1.03))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes_list[0].set_ylabel("Win rate")
    _legend(figure, style, group, columns=columns)
    title, note = f"{group.title}: win rate over wall time", f"line: means, {BAND}"
    headline(figure, title, group, made_by=made_by(frame, group), score=EACH, note=note)
    sns.despine(figure)
    return figure


def sample_efficiency(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Interquartile mean of the win rate over all runs and maps of the group at every mark."""
    style = looks(study)
    columns = _legend_columns([style[key].label for key in group.algorithms], wide=False)
    figure, (axes,) = panels(1, height=2.2, legend_rows=-(-len(group.algorithms) // columns))
    for key in group.algorithms:
        curve = statistics.interval_curve(score_array(frame, study, group, algorithm=key), statistics.iqm)
        _line(axes, group, style[key], curve.value)
        axes.fill_between(group.marks, curve.low, curve.high, color=style[key].colour, alpha=BAND_ALPHA, linewidth=0)
    axes.set(ylabel="IQM win rate", xlabel="Environment steps", ylim=(-0.03, 1.03))
    steps_axis(axes, group, ticks=5)
    _legend(figure, style, group, columns=columns)
    over = f" over {len(group.maps)} maps" if len(group.maps) > 1 else f" on {group.maps[0]}"
    headline(
        figure,
        f"{group.title}: sample efficiency{over}",
        group,
        made_by=made_by(frame, group),
        score=EACH,
        note=BAND,
    )
    sns.despine(figure)
    return figure


def final(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Win rate of the last evaluation: mean and interval per algorithm with one dot per seed, one panel per map.

    With several maps a first panel holds the interquartile mean over runs and maps, with one dot per run. A diamond
    shows the same mean of the absolute metric: each run's best policy, played again on other seeds.
    """
    scores = {key: score_array(frame, study, group, algorithm=key)[:, :, -1] for key in group.algorithms}  # (R, M)
    again = {
        key: score_array(frame, study, group, algorithm=key, column="absolute_win_rate")[:, :, -1]
        for key in group.algorithms
    }
    summaries: list[tuple[str, Callable[[Array], Array], slice]] = []
    if len(group.maps) > 1:
        summaries.append(("all maps (IQM)", statistics.iqm, slice(None)))
    summaries += [(name, statistics.mean, slice(index, index + 1)) for index, name in enumerate(group.maps)]
    figure, axes_list = panels(len(summaries), height=0.26 * len(group.algorithms) + 0.55, most_columns=5)
    style = looks(study)
    for axes, (title, statistic, columns) in zip(axes_list, summaries, strict=True):
        for row, key in enumerate(group.algorithms):
            chosen = scores[key][:, columns]
            _bar(axes, row, statistics.interval(chosen, statistic), style[key], dots=chosen.ravel())
            absolute = float(statistic(again[key][:, columns]))
            axes.plot([absolute], [row], "D", color=style[key].colour, **DIAMOND, label="_absolute")
        axes.set(title=title, xlabel="Win rate", xlim=(-0.04, 1.04), xticks=[0, 0.5, 1])
        _algorithm_rows(axes, style, group.algorithms)
    headline(
        figure,
        f"{group.title}: win rate after {thousands(group.env_steps)} environment steps",
        group,
        made_by=made_by(frame, group),
        score="last evaluation",
        note=f"{BAR}, dot: run, diamond: absolute",
    )
    sns.despine(figure)
    return figure


def improvement(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Probability that a run of the reference beats one of each other algorithm, by final score and by area."""
    comparisons = improvements(frame, study, group)
    reference = reference_of(study, group)
    others = [key for key in group.algorithms if key != reference]
    figure, axes_list = panels(2, height=0.26 * max(len(others), 1) + 0.6)
    style = looks(study)
    for axes, (measure, title) in zip(axes_list, SCORES.items(), strict=True):
        for row, key in enumerate(others):
            _bar(axes, row, comparisons[measure][key], style[key])
        axes.axvline(0.5, color="0.35", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(
            title=title,
            xlim=(-0.04, 1.04),
            xticks=[0, 0.5, 1],
            xlabel=f"P({study.algorithms[reference].label} > other)",
        )
        _algorithm_rows(axes, style, others)
        if not others:
            axes.text(0.5, 0.5, "one algorithm only", ha="center", va="center", transform=axes.transAxes)
    headline(
        figure,
        f"{group.title}: probability of improvement",
        group,
        made_by=made_by(frame, group),
        note=f"{BAR}, dotted: no difference",
    )
    sns.despine(figure)
    return figure


def steps_to(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Environment steps to the first evaluation at or above each threshold: median over seeds, a dot per seed.

    Where at least half of the seeds never get there the median does not exist: the row says so, and how many did.
    """
    cells = [(index, name, threshold) for index, name in enumerate(group.maps) for threshold in group.thresholds]
    figure, axes_list = panels(len(cells), height=0.26 * len(group.algorithms) + 0.55)
    style = looks(study)
    marks = np.asarray(group.marks, dtype=np.float64)
    for axes, (index, name, threshold) in zip(axes_list, cells, strict=True):
        for row, key in enumerate(group.algorithms):
            scores = score_array(frame, study, group, algorithm=key)[:, index]  # (R, T)
            _crossing_row(
                axes, row, statistics.first_crossing(marks, scores, threshold), style[key], budget=group.env_steps
            )
        axes.set(title=f"{name}: win rate ≥ {threshold:g}", xlabel="Environment steps")
        _algorithm_rows(axes, style, group.algorithms)
        steps_axis(axes, group, room=0.35)
        axes.axvline(group.env_steps, color="0.6", linewidth=0.7, linestyle=":")
    note = "bar: median over seeds, dot: seed, right: seeds that got there"
    note += ", hatched: at most half got there" if len(cells) > 1 else ""
    headline(
        figure,
        f"{group.title}: environment steps to a win rate",
        group,
        made_by=made_by(frame, group),
        note=note,
    )
    sns.despine(figure)
    return figure


DRAW: dict[str, Callable[[pd.DataFrame, Study, Group], Figure]] = {
    "win_rate": win_rate,
    "return": episode_return,
    "hours": hours,
    "sample_efficiency": sample_efficiency,
    "final": final,
    "improvement": improvement,
    "steps_to": steps_to,
}


def _curves(
    frame: pd.DataFrame, study: Study, group: Group, *, column: str, label: str, title: str, share_y: bool = True
) -> Figure:
    wide = len(group.maps) > 1
    style = looks(study)
    legend_columns = _legend_columns([style[key].label for key in group.algorithms], wide=wide)
    legend_rows = -(-len(group.algorithms) // legend_columns)
    figure, axes_list = panels(len(group.maps), height=1.75 if wide else 2.2, legend_rows=legend_rows, share_y=share_y)
    for index, (axes, name) in enumerate(zip(axes_list, group.maps, strict=True)):
        for key in group.algorithms:
            scores = score_array(frame, study, group, algorithm=key, column=column)[:, index]  # (R, T)
            curve = statistics.interval_curve(scores[:, None, :], statistics.mean)
            for seed in scores:
                axes.plot(group.marks, seed, color=style[key].colour, linewidth=0.5, alpha=0.4, label="_seed")
            axes.fill_between(
                group.marks, curve.low, curve.high, color=style[key].colour, alpha=BAND_ALPHA, linewidth=0
            )
            _line(axes, group, style[key], curve.value)
        axes.set(title=name, xlabel="Environment steps")
        steps_axis(axes, group, ticks=4 if wide else 5)
    axes_list[0].set_ylabel(label)
    _legend(figure, style, group, columns=legend_columns)
    note = f"line: mean, thin: seed, {BAND}"
    headline(figure, title, group, made_by=made_by(frame, group), score=EACH, note=note)
    sns.despine(figure)
    return figure


def _line(axes: Axes, group: Group, look: Look, values: Array, *, x: Array | None = None) -> None:
    axes.plot(
        group.marks if x is None else x,
        values,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=1.5,
        marker=look.marker,
        markersize=3,
        markevery=max(1, len(group.marks) // 6),
        label=look.label,
    )


def _bar(axes: Axes, row: int, estimate: Estimate, look: Look, *, dots: Array | None = None) -> None:
    """Interval as a thick bar, estimate as a stroke across it, and the runs as dots, spread where they coincide."""
    axes.plot(
        [estimate.low, estimate.high],
        [row, row],
        color=look.colour,
        linewidth=6,
        alpha=0.35,
        solid_capstyle="butt",
        label="_interval",
    )
    axes.plot(
        [estimate.value], [row], color=look.colour, marker="|", markersize=12, markeredgewidth=2, label=look.label
    )
    if dots is not None:
        _dots(axes, row, dots)


def _crossing_row(axes: Axes, row: int, steps: Array, look: Look, *, budget: int) -> None:
    reached = steps[np.isfinite(steps)]
    middle = float(np.median(steps))  # inf if at least half of the seeds never get there
    if np.isfinite(middle):
        axes.barh(row, middle, height=0.6, color=look.colour, alpha=0.55, label=look.label)
    else:
        axes.barh(
            row,
            budget,
            height=0.6,
            color="none",
            edgecolor=look.colour,
            linewidth=0.6,
            hatch="////",
            alpha=0.5,
            label=look.label,
        )
    _dots(axes, row, reached)
    axes.text(1.1 * budget, row, f"{len(reached)}/{len(steps)}", va="center", fontsize=7)


def _dots(axes: Axes, row: int, values: Array) -> None:
    axes.plot(
        values, row + _spread(values), ".", color="0.15", markersize=4, markeredgewidth=0, label="_seed", zorder=3
    )


def _spread(values: Array) -> Array:
    """Vertical offsets that keep equal values apart: the k-th of equal values moves down and up in turn."""
    offsets = np.zeros(len(values))
    for value in np.unique(values):
        (same,) = np.nonzero(values == value)
        offsets[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * min(0.14, 0.6 / len(same))
    return offsets


def _algorithm_rows(axes: Axes, style: dict[str, Look], keys: tuple[str, ...] | list[str]) -> None:
    axes.set_yticks(range(len(keys)), [style[key].label for key in keys])
    axes.set_ylim(max(len(keys), 1) - 0.45, -0.55)  # first algorithm on top
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _legend_columns(labels: list[str], *, wide: bool) -> int:
    """As many as the figure has room for, in rows of about equal length."""
    most = 5 if wide else 3 if max(map(len, labels)) <= LONG_LABEL else 2
    return -(-len(labels) // -(-len(labels) // most))


def _legend(figure: Figure, style: dict[str, Look], group: Group, *, columns: int) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=3,
            linewidth=1.5,
            label=look.label,
        )
        for look in (style[key] for key in group.algorithms)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.6, columnspacing=1.2
    )
