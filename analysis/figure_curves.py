"""Figures whose x axis is experience, time or score: curves per map, sample efficiency, performance profiles."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from analysis import aggregates
from analysis.collect import made_by, score_array
from analysis.comparisons import reference_of, run_scores
from analysis.figure_parts import BAND, EACH, band, hours_axis, interval_note, legend, legend_columns, line
from analysis.study import Group, Study
from analysis.style import TALL_HEADER, headline, looks, panels, steps_axis

MANY = 6  # algorithms, beyond which lines of single seeds, and bands of all but the reference, only hide the means


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
    columns = legend_columns([style[key].label for key in group.algorithms], wide=wide)
    rows = -(-len(group.algorithms) // columns)
    figure, axes_list = panels(len(group.maps), height=1.75 if wide else 2.2, legend_rows=rows, header=TALL_HEADER)
    banded, band_note = _banded(study, group)
    for key in group.algorithms:
        curves = aggregates.map_curves(score_array(frame, study, group, algorithm=key)[:, :, 1:])  # (T - 1,) a map
        seconds = score_array(frame, study, group, algorithm=key, column="wall_seconds")[:, :, 1:]  # (R, M, T - 1)
        for axes, curve, time in zip(axes_list, curves, seconds.mean(axis=0) / 3600, strict=True):
            if key in banded:
                band(axes, time, curve, style[key])
            line(axes, group, style[key], curve.value, x=time)
    for axes, name in zip(axes_list, group.maps, strict=True):
        axes.set(title=name, ylim=(-0.03, 1.03))
        hours_axis(axes)
    axes_list[0].set_ylabel("Win rate")
    legend(figure, style, group, columns=columns)
    title, note = f"{group.title}: win rate over wall time", f"line: means, {band_note}"
    notes = (note, interval_note("mean", [len(group.seeds)], maps=1))
    headline(figure, title, group, made_by=made_by(frame, group), score=EACH, notes=notes)
    sns.despine(figure)
    return figure


def sample_efficiency(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Interquartile mean of the win rate over all runs and maps of the group at every mark."""
    style = looks(study)
    columns = legend_columns([style[key].label for key in group.algorithms], wide=False)
    rows = -(-len(group.algorithms) // columns)
    figure, (axes,) = panels(1, height=2.2, legend_rows=rows, header=TALL_HEADER)
    banded, band_note = _banded(study, group)
    for key in group.algorithms:
        curve = aggregates.efficiency(score_array(frame, study, group, algorithm=key))
        line(axes, group, style[key], curve.value)
        if key in banded:
            band(axes, group.marks, curve, style[key])
    axes.set(ylabel="IQM win rate", xlabel="Environment steps", ylim=(-0.03, 1.03))
    steps_axis(axes, group, ticks=5)
    legend(figure, style, group, columns=columns)
    over = f" over {len(group.maps)} maps" if len(group.maps) > 1 else f" on {group.maps[0]}"
    title, notes = (
        f"{group.title}: sample efficiency{over}",
        (band_note, interval_note("iqm", [len(group.seeds)], maps=len(group.maps))),
    )
    headline(figure, title, group, made_by=made_by(frame, group), score=EACH, notes=notes)
    sns.despine(figure)
    return figure


def profile(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Performance profiles: share of the runs of all maps whose last win rate is above a threshold.

    One panel per algorithm, in its colour, over those of all others in grey; that of the reference is in every panel.
    """
    style, reference = looks(study), reference_of(study, group)
    scores = run_scores(frame, study, group, "final_win_rate")
    curves = {key: aggregates.profile(matrix) for key, matrix in scores.items()}
    figure, axes_list = panels(len(group.algorithms), height=1.45, header=TALL_HEADER)
    for axes, key in zip(axes_list, group.algorithms, strict=True):
        for other, curve in curves.items():
            if other not in (key, reference):
                axes.step(aggregates.TAUS, curve.value, color="0.8", linewidth=0.8, where="post", label="_other")
        own, look = curves[key], style[key]
        axes.fill_between(aggregates.TAUS, own.low, own.high, color=look.colour, alpha=0.25, linewidth=0, step="post")
        if key != reference:
            thin: dict[str, Any] = {
                "color": style[reference].colour,
                "linewidth": 0.9,
                "where": "post",
                "label": "_reference",
            }
            axes.step(aggregates.TAUS, curves[reference].value, **thin)
        axes.step(aggregates.TAUS, own.value, color=look.colour, linewidth=1.6, where="post", label=look.label)
        axes.set_title(look.label)
        axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xlabel("Win rate τ")
    axes_list[0].set_ylabel("Runs above τ")
    runs = scores[reference].size
    beside = f"; thin: {study.algorithms[reference].label}, grey: others" if len(scores) > 1 else ""
    notes = (BAND, f"{aggregates.REPETITIONS:,} draws (rliable); {runs} runs{beside}")
    title = f"{group.title}: performance profiles"
    headline(figure, title, group, made_by=made_by(frame, group), score="last evaluation", notes=notes)
    sns.despine(figure)
    return figure


def _banded(study: Study, group: Group) -> tuple[tuple[str, ...], str]:
    """Whose intervals are drawn, and what to say of them."""
    if len(group.algorithms) <= MANY:
        return group.algorithms, BAND
    reference = reference_of(study, group)
    return (reference,), f"{BAND} of {study.algorithms[reference].label}"


def _curves(
    frame: pd.DataFrame, study: Study, group: Group, *, column: str, label: str, title: str, share_y: bool = True
) -> Figure:
    wide, many = len(group.maps) > 1, len(group.algorithms) > MANY
    style = looks(study)
    columns = legend_columns([style[key].label for key in group.algorithms], wide=wide)
    rows = -(-len(group.algorithms) // columns)
    figure, axes_list = panels(
        len(group.maps), height=1.75 if wide else 2.2, legend_rows=rows, share_y=share_y, header=TALL_HEADER
    )
    banded, band_note = _banded(study, group)
    for key in group.algorithms:
        scores = score_array(frame, study, group, algorithm=key, column=column)  # (R, M, T)
        for index, (axes, curve) in enumerate(zip(axes_list, aggregates.map_curves(scores), strict=True)):
            for seed in () if many else scores[:, index]:
                axes.plot(group.marks, seed, color=style[key].colour, linewidth=0.5, alpha=0.4, label="_seed")
            if key in banded:
                band(axes, group.marks, curve, style[key])
            line(axes, group, style[key], curve.value)
    for axes, name in zip(axes_list, group.maps, strict=True):
        axes.set(title=name, xlabel="Environment steps")
        steps_axis(axes, group, ticks=4 if wide else 5)
    axes_list[0].set_ylabel(label)
    legend(figure, style, group, columns=columns)
    note = f"line: mean, {band_note}" if many else f"line: mean, thin: seed, {band_note}"
    notes = (note, interval_note("mean", [len(group.seeds)], maps=1))
    headline(figure, title, group, made_by=made_by(frame, group), score=EACH, notes=notes)
    sns.despine(figure)
    return figure
