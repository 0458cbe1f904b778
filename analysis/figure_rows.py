"""Figures with a row per algorithm: scores of runs, differences of pairs of runs, probability of improvement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import aggregates
from analysis.collect import made_by, score_array
from analysis.comparisons import SCORES, improvements, reference_of, run_scores
from analysis.comparisons import differences as paired
from analysis.coverage import covers
from analysis.figure_parts import BAR, DIAMOND, DRAWS, ROW, algorithm_rows, bar, interval_note
from analysis.statistics import Array
from analysis.study import Group, Study
from analysis.style import TALL_HEADER, Look, headline, looks, panels, thousands

ALL = "all maps (IQM)"
MOST_COLUMNS = 5


def final(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Win rate of the last evaluation: mean and interval per algorithm with one dot per seed, one panel per map.

    With several maps a first panel holds the interquartile mean over runs and maps, with one dot per run. A diamond
    shows the same mean of the absolute metric: each run's best policy, played again on other seeds.
    """
    again = {
        key: score_array(frame, study, group, algorithm=key, column="absolute_win_rate")[:, :, -1]
        for key in group.algorithms
    }
    title = f"{group.title}: win rate after {thousands(group.env_steps)} environment steps"
    return _scores(frame, study, group, "final_win_rate", title=title, xlabel="Win rate", diamonds=again)


def area(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Area under the curve of win rates, as a share of the budget, in the same layout."""
    title = f"{group.title}: area under the curve to {thousands(group.env_steps)} steps"
    return _scores(frame, study, group, "area_under_curve", title=title, xlabel="Mean win rate")


def differences(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Final win rate of the reference minus that of every other algorithm, runs with the same seed paired.

    One panel per map with a dot per seed, and with several maps a first one with the mean over runs and maps.
    """
    pairs = paired(frame, study, group, "final_win_rate")
    style, reference = looks(study), reference_of(study, group)
    names = (["all maps"] if len(group.maps) > 1 else []) + list(group.maps)
    figure, axes_list = panels(
        len(names), height=ROW * max(len(pairs), 1) + 0.55, most_columns=MOST_COLUMNS, header=TALL_HEADER
    )
    for number, (axes, name) in enumerate(zip(axes_list, names, strict=True)):
        index = number - len(names) + len(group.maps)  # of the map; -1: all
        for row, (key, pair) in enumerate(pairs.items()):
            estimate, runs = (pair.overall, pair.runs) if index < 0 else (pair.maps[index], pair.runs[:, index])
            bar(axes, row, estimate, style[key], dots=runs.ravel())
        axes.axvline(0, color="0.35", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(title=name, xlabel="Difference", xlim=(-1.08, 1.08), xticks=[-1, 0, 1])
        _rows_or_nothing(axes, style, list(pairs))
    label = study.algorithms[reference].label
    title = f"{group.title}: final win rate, {label} minus others"
    notes = (f"{BAR}, dot: pair of runs, right: {label} ahead", f"pairs: same seed; {DRAWS}")
    headline(figure, title, group, made_by=made_by(frame, group), score="last evaluation", notes=notes)
    sns.despine(figure)
    return figure


def improvement(frame: pd.DataFrame, study: Study, group: Group) -> Figure:
    """Probability that a run of the reference beats one of each other algorithm, by final score and by area."""
    comparisons = improvements(frame, study, group)
    reference = reference_of(study, group)
    others = [key for key in group.algorithms if key != reference]
    figure, axes_list = panels(2, height=ROW * max(len(others), 1) + 0.6, header=TALL_HEADER)
    style = looks(study)
    for axes, (measure, title) in zip(axes_list, SCORES.items(), strict=True):
        for row, key in enumerate(others):
            bar(axes, row, comparisons[measure][key], style[key])
        axes.axvline(0.5, color="0.35", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(
            title=title,
            xlim=(-0.04, 1.04),
            xticks=[0, 0.5, 1],
            xlabel=f"P({study.algorithms[reference].label} > other)",
        )
        _rows_or_nothing(axes, style, others)
    title = f"{group.title}: probability of improvement"
    notes = (f"{BAR}, dotted: no difference", DRAWS)
    headline(figure, title, group, made_by=made_by(frame, group), notes=notes)
    sns.despine(figure)
    return figure


def _scores(
    frame: pd.DataFrame,
    study: Study,
    group: Group,
    measure: str,
    *,
    title: str,
    xlabel: str,
    diamonds: dict[str, Array] | None = None,
) -> Figure:
    """Rows of one score of a run. Args: diamonds: algorithm -> other scores (R, M), whose means are shown too."""
    scores = run_scores(frame, study, group, measure)  # (R, M) each
    means = {key: aggregates.map_means(matrix) for key, matrix in scores.items()}
    again = {key: aggregates.map_means(matrix) for key, matrix in (diamonds or {}).items()}
    several = len(group.maps) > 1
    names = ([ALL] if several else []) + list(group.maps)
    height = ROW * len(group.algorithms) + 0.55
    figure, axes_list = panels(len(names), height=height, most_columns=MOST_COLUMNS, header=TALL_HEADER)
    style = looks(study)
    for number, (axes, name) in enumerate(zip(axes_list, names, strict=True)):
        index = number - several  # of the map; -1: all
        for row, key in enumerate(group.algorithms):
            estimate, runs = (
                (aggregates.iqm(scores[key]), scores[key].ravel())
                if index < 0
                else (means[key][index], scores[key][:, index])
            )
            bar(axes, row, estimate, style[key], dots=runs)
            if diamonds is not None:
                value = _iqm(diamonds[key]) if index < 0 else again[key][index].value
                axes.plot([value], [row], "D", color=style[key].colour, **DIAMOND, label="_absolute")
        axes.set(title=name, xlabel=xlabel, xlim=(-0.04, 1.04), xticks=[0, 0.5, 1])
        algorithm_rows(axes, style, group.algorithms)
    notes = (f"{BAR}, dot: run" + (", diamond: absolute" if diamonds else ""), _covered(group))
    score = "last evaluation" if measure == "final_win_rate" else "each evaluation"
    headline(figure, title, group, made_by=made_by(frame, group), score=score, notes=notes)
    sns.despine(figure)
    return figure


def _iqm(scores: Array) -> float:
    return float("nan") if np.isnan(scores).any() else float(aggregates.METRICS["iqm"](scores))


def _covered(group: Group) -> str:
    """Of a map, and of the first panel where there are several."""
    count = len(group.seeds)
    note = interval_note("mean", [len(group.seeds)], maps=1)
    if len(group.maps) == 1 or count == 1:
        return note
    over = covers("iqm", seeds=count, maps=len(group.maps))
    return f"{note} on a map, {over} of the IQM over maps"


def _rows_or_nothing(axes: Axes, style: dict[str, Look], others: list[str]) -> None:
    algorithm_rows(axes, style, others)
    if not others:
        axes.text(0.5, 0.5, "one algorithm only", ha="center", va="center", transform=axes.transAxes)
